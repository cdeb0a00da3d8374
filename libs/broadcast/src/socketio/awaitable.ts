/*
 * Makes `await io.in(room).socketsJoin(other)` mean something. Socket.IO's operator calls the adapter and drops what it
 * returns; ours returns what there is to wait for, so the operator has to hand it on.
 */
import type { Namespace } from 'socket.io';
import type { Adapter, BroadcastOptions } from 'socket.io-adapter';

/** What an operator is inside. */
interface Operator {
  readonly adapter: Adapter;
  readonly rooms: BroadcastOptions['rooms'];
  readonly exceptRooms: BroadcastOptions['except'];
  readonly flags: BroadcastOptions['flags'];
}

const DONE = Symbol.for('roomcast.awaitable');

/** The class is not exported; it is found by one of its objects, and changed once. */
export function makeAwaitable(nsp: Namespace): void {
  const prototype = Object.getPrototypeOf(nsp.in([])) as Record<PropertyKey, unknown>;
  if (prototype[DONE]) return;
  Object.defineProperties(prototype, {
    [DONE]: { value: true },
    socketsJoin: method((operator, room: string | string[]) =>
      operator.adapter.addSockets(optionsOf(operator), [room].flat()),
    ),
    socketsLeave: method((operator, room: string | string[]) =>
      operator.adapter.delSockets(optionsOf(operator), [room].flat()),
    ),
    disconnectSockets: method((operator, close: boolean = false) =>
      operator.adapter.disconnectSockets(optionsOf(operator), close),
    ),
  });
}

/** Does what it does at once, and waits only if somebody awaits it: waiting costs messages. Never rejects. */
export function lazily(wait: () => Promise<void>): PromiseLike<void> {
  let waiting: Promise<void> | undefined;
  return { then: (...callbacks) => (waiting ??= wait()).then(...callbacks) };
}

function method<A>(call: (operator: Operator, argument: A) => unknown): PropertyDescriptor {
  return {
    configurable: true,
    writable: true,
    value(this: Operator, argument: A) {
      return call(this, argument);
    },
  };
}

function optionsOf({ rooms, exceptRooms, flags }: Operator): BroadcastOptions {
  return { rooms, except: exceptRooms, flags };
}
