import { setImmediate as turn } from 'node:timers/promises';
import { websocketFrame } from '../binary.js';
import { Frame } from './frame.js';
import { Outbox } from './outbox.js';
import type { Connection } from './outlet.js';

/** Connections as engine.io has them, as far as an outlet looks at them. */
class Client {
  readonly protocol = 4;
  readonly readyState = 'open';
  readonly writeBuffer: unknown[] = [];
  readonly transport;

  constructor(written: () => void) {
    const socket = {
      readyState: 1,
      bufferedAmount: 0,
      extensions: '',
      terminate() {},
      _sender: { sendFrame: written },
    };
    this.transport = { name: 'websocket', writable: true, supportsBinary: true, socket, once: () => undefined };
  }

  write() {
    return this;
  }
  close() {}
  on() {}
  listenerCount(event: string) {
    return event === 'packetCreate' ? 1 : 0;
  }
}

/** A room whose clients tell when something is written to them. */
function room(outbox: Outbox, name: string, size: number, written: () => void) {
  const outlets = Array.from({ length: size }, () => outbox.outletOf(new Client(written) as Connection));
  const frame = new Frame(websocketFrame(1, [Buffer.from(`42["${name}"]`)]), []);
  return () => {
    const run = outbox.runFor(name, frame);
    for (const outlet of outlets) outbox.put(run, outlet, frame);
    outbox.schedule();
  };
}

describe('an outbox', () => {
  const outbox = () => new Outbox({}, (error) => expect(error).toBeUndefined());

  it('writes to a small room before it goes on with a large one', async () => {
    const order: string[] = [];
    const out = outbox();
    const large = room(out, 'large', 1_000, () => order.push('large'));
    const small = room(out, 'small', 1, () => order.push('small'));
    large();
    small();
    while (order.length < 1_001) await turn();
    expect(order.indexOf('small')).toBe(4);
  });

  it('lets others have their turn after four writes at the latest, however long these take', async () => {
    let writes = 0;
    const out = outbox();
    const slow = () => {
      writes++;
      for (const until = performance.now() + 1; performance.now() < until;);
    };
    room(out, 'large', 40, slow)();
    const inOneTurn: number[] = [];
    for (let before = 0; writes < 40; before = writes) {
      await turn();
      inOneTurn.push(writes - before);
    }
    expect(Math.max(...inOneTurn)).toBe(4);
  });

  it('writes what was said in one turn to a client once, whatever the rooms', async () => {
    let writes = 0;
    const out = outbox();
    const conn = new Client(() => writes++) as Connection;
    const outlet = out.outletOf(conn);
    for (const name of ['a', 'b', 'a', 'c']) {
      const frame = new Frame(websocketFrame(1, [Buffer.from(`42["${name}"]`)]), []);
      out.put(out.runFor(name, frame), outlet, frame);
    }
    out.schedule();
    await turn();
    await turn();
    expect([writes, out.counts.delivered, out.counts.coalesced]).toEqual([1, 4, 4]);
  });
});
