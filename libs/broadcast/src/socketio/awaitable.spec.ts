import type { Namespace } from 'socket.io';
import { lazily, makeAwaitable } from './awaitable.js';

/** A namespace whose operators, as Socket.IO's, drop what the adapter returns. */
function namespace() {
  const calls: unknown[][] = [];
  const call =
    (name: string) =>
    (...args: unknown[]) => {
      calls.push([name, ...args]);
      return `promise of ${name}`;
    };
  const adapter = Object.fromEntries(
    ['addSockets', 'delSockets', 'disconnectSockets'].map((name) => [name, call(name)]),
  );
  class Operator {
    readonly adapter = adapter;
    readonly exceptRooms = new Set(['not these']);
    readonly flags = { local: true };

    constructor(readonly rooms: Set<string>) {}

    socketsJoin(): void {}
    socketsLeave(): void {}
    disconnectSockets(): void {}
    emit(): string {
      return 'as ever';
    }
  }
  const nsp = { in: (rooms: string[]) => new Operator(new Set(rooms)) } as unknown as Namespace;
  return { nsp, calls, prototype: Operator.prototype };
}

const opts = { rooms: new Set(['r']), except: new Set(['not these']), flags: { local: true } };

describe('operators', () => {
  it('hand on what there is to wait for', () => {
    const { nsp, calls } = namespace();
    makeAwaitable(nsp);
    const returned: unknown[] = [
      nsp.in(['r']).socketsJoin('one'),
      nsp.in(['r']).socketsLeave(['one', 'two']),
      nsp.in(['r']).disconnectSockets(),
      nsp.in(['r']).disconnectSockets(true),
    ];
    expect(calls).toEqual([
      ['addSockets', opts, ['one']],
      ['delSockets', opts, ['one', 'two']],
      ['disconnectSockets', opts, false],
      ['disconnectSockets', opts, true],
    ]);
    expect(returned).toEqual(calls.map(([name]) => `promise of ${String(name)}`));
  });

  it('are changed once, and otherwise left as they are', () => {
    const { nsp, prototype } = namespace();
    makeAwaitable(nsp);
    const { socketsJoin } = Object.getOwnPropertyDescriptors(prototype);
    makeAwaitable(nsp);
    expect(Object.getOwnPropertyDescriptor(prototype, 'socketsJoin')?.value).toBe(socketsJoin.value);
    expect(socketsJoin.enumerable).toBe(false);
    expect(prototype.emit()).toBe('as ever');
  });
});

describe('a lazy wait', () => {
  it('does not begin before somebody awaits it, and begins once', async () => {
    const wait = jest.fn(() => Promise.resolve());
    const lazy = lazily(wait);
    await Promise.resolve();
    expect(wait).not.toHaveBeenCalled();
    await lazy;
    await Promise.all([lazy, lazy]);
    expect(wait).toHaveBeenCalledTimes(1);
  });
});
