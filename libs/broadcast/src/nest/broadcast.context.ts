/*
 * What a handler learns about the message that it handles: `@Ctx() context: BroadcastContext`.
 */
import { BaseRpcContext } from '@nestjs/microservices';
import type { Header } from '../envelope.js';

export class BroadcastContext extends BaseRpcContext<[string, Header]> {
  /** What was said: `room.opened`, also where the handler's pattern has wildcards. */
  getSubject(): string {
    return this.args[0];
  }

  getMessageId(): string | undefined {
    return this.args[1].id;
  }

  /** The instance that said it. */
  getOrigin(): string | undefined {
    return this.args[1].origin;
  }

  /** The trace that it is a part of, as W3C's `traceparent`. */
  getTraceparent(): string | undefined {
    return this.args[1].traceparent;
  }

  /** When it was said, in ms since 1970. */
  getTimestamp(): number | undefined {
    return this.args[1].at;
  }
}
