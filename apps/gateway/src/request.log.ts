/*
 * Every request of a client as a line of the log, at level `debug`: which, in which room, by whom, how long it took, and
 * the id of the message. Nothing of what was said.
 */
import { Injectable, Logger, type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { finalize, tap, type Observable } from 'rxjs';
import type { Socket } from 'socket.io';

interface Named {
  readonly room?: unknown;
  readonly id?: unknown;
}

@Injectable()
export class RequestLog implements NestInterceptor {
  readonly #logger = new Logger('Request');

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'ws') return next.handle();
    const ws = context.switchToWs();
    const request = ws.getPattern();
    const { room, id } = ws.getData<Named | null>() ?? {};
    const { user } = ws.getClient<Socket<object, object, object, { user?: string }>>().data;
    const fields: Record<string, unknown> = { request, room, id, user };
    const began = performance.now();
    return next.handle().pipe(
      tap((answer) => {
        const { id: given } = (answer ?? {}) as Named;
        if (given !== undefined) fields['id'] = given;
      }),
      finalize(() => {
        const ms = Math.round(performance.now() - began);
        this.#logger.debug(`${request} took ${ms} ms`, { ...fields, ms });
      }),
    );
  }
}
