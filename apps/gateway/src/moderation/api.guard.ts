/*
 * Which services may use the HTTP API: those that whoever knows the keys lets in. Without one, nobody.
 */
import { Inject, Injectable, Optional, type CanActivate, type ExecutionContext } from '@nestjs/common';
import { RequestError } from '../answer.js';

/** Says whether a request may be answered, by its `Authorization` header. */
export interface ApiAccess {
  allows(authorization: string | undefined): boolean;
}

export const API_ACCESS = Symbol('API_ACCESS');

@Injectable()
export class ApiGuard implements CanActivate {
  readonly #access?: ApiAccess;

  constructor(@Optional() @Inject(API_ACCESS) access?: ApiAccess) {
    this.#access = access;
  }

  canActivate(context: ExecutionContext): boolean {
    const { headers } = context.switchToHttp().getRequest<{ headers: Record<string, string | undefined> }>();
    if (this.#access?.allows(headers['authorization'])) return true;
    throw new RequestError('UNAUTHENTICATED', 'an API key is needed: Authorization: Bearer <key>');
  }
}
