/*
 * What a transport with a network has to keep through cuts, black holes, refusals, slow lines, and the death of its broker.
 */
import { collect, until, type Heard } from './conditions.js';
import { codeOfRejection, listen, QUICK, say, type Stage } from './stage.js';

/** Registers the cases, inside a `describe`. */
export function outages(stage: Stage): void {
  /** A bus behind a gate, and one with a straight way to the same broker. */
  async function behindGate() {
    const { transport: gatedTransport, gate } = await stage.set.gated!(stage.prefix);
    const gated = await stage.bus({ on: gatedTransport });
    const straight = await stage.bus();
    return { gate, gated, straight };
  }

  it('counts as ready only what is really heard, over a slow line too', async () => {
    const { gate, gated, straight } = await behindGate();
    gate.slow(100); // a probe takes 200 ms to come back: longer than from one to the next
    for (let i = 0; i < 10; i++) {
      const heard = collect(gated, `room:slow.${i}`);
      await heard.ready(10_000);
      await say(straight, `room:slow.${i}`, 'x');
      await until('it arrives over the slow line', () => heard.messages.length === 1);
    }
    expect(gated.counts.outages).toBe(0);
  });

  it('comes through five outages in a row, each told once', async () => {
    const { gate, gated, straight } = await behindGate();
    const errors: string[] = [];
    let gaps = 0;
    gated.on('error', ({ code }) => errors.push(code));
    gated.on('gap', () => gaps++);
    const [inbound, outbound] = await Promise.all([listen(gated, 'room:in'), listen(straight, 'room:out')]);
    const outages: [string, () => void][] = [
      ['a cut', () => gate.cut()],
      ['a black hole', () => gate.blackhole()],
      ['a refusal', () => gate.refuse()],
      ['a line too slow to be of use', () => gate.slow(10_000)],
      ['another cut', () => gate.cut()],
    ];
    for (const [index, [what, begin]] of outages.entries()) {
      begin();
      await until(`${what} is noticed`, () => gated.counts.outages === index + 1);
      await new Promise((resolve) => setTimeout(resolve, 300)); // several attempts fail, none of them is told
      gate.pass();
      await gated.ready(15_000);
      expect(inbound.live).toBe(true);
      await say(straight, 'room:in', what);
      await say(gated, 'room:out', what);
      const arrived = (heard: Heard) => heard.messages.includes(what);
      await until(`both ways work after ${what}`, () => arrived(inbound) && arrived(outbound));
    }
    expect(errors).toEqual(outages.map(() => 'LINK_LOST'));
    expect(gaps).toBe(outages.length);
    expect(inbound.messages).toEqual(outages.map(([what]) => what));
  });

  it('notices a cut without the probe, and asks for what is joined before the very next attempt', async () => {
    const { transport: gatedTransport, gate } = await stage.set.gated!(stage.prefix);
    const gated = await stage.bus({ on: gatedTransport, probeInterval: 60_000 });
    const joined: Heard[] = [];
    gated.on('state', (state) => {
      if (state === 'down') joined.push(collect(gated, 'room:joined'));
    });
    gate.cut();
    await until('the outage is noticed', () => joined.length > 0);
    await gated.ready(15_000);
    expect(joined.map(({ live }) => live)).toEqual([true]);
  });

  it('has the room of everyone who joined or left during an outage right, afterwards', async () => {
    const { gate, gated, straight } = await behindGate();
    const [kept, left] = await Promise.all([listen(gated, 'room:kept'), listen(gated, 'room:left')]);
    gate.refuse();
    await until('the outage is noticed', () => gated.state === 'down');
    const joined = collect(gated, 'room:joined');
    left.close();
    expect([kept.live, joined.live]).toEqual([false, false]);
    expect(await codeOfRejection(joined.ready(100))).toBe('UNAVAILABLE');
    gate.pass();
    await joined.ready(15_000);
    for (const room of ['left', 'joined', 'kept']) await say(straight, `room:${room}`, room);
    await until('the others are heard', () => joined.messages.length > 0 && kept.messages.length > 0);
    expect([kept.messages, joined.messages, left.messages]).toEqual([['kept'], ['joined'], []]);
  });

  it('sends after a short outage what waited, in order, and before what is said later', async () => {
    const { gate, gated, straight } = await behindGate();
    const heard = await listen(straight, 'room:a');
    const down = new Promise((resolve) => gated.once('state', resolve));
    gate.cut();
    expect(await down).toBe('down');
    const sent = ['1', '2', '3'].map((text) => say(gated, 'room:a', text));
    await gated.ready(15_000);
    await Promise.all([...sent, say(gated, 'room:a', '4')]);
    await until('all arrive', () => heard.messages.length === 4);
    expect(heard.messages).toEqual(['1', '2', '3', '4']);
  });

  it('refuses, in a bounded time, what cannot be sent, and never sends it late', async () => {
    const { gate, gated, straight } = await behindGate();
    const heard = await listen(straight, 'room:a');
    gate.refuse();
    await until('the outage is noticed', () => gated.state === 'down');
    const began = Date.now();
    expect(await codeOfRejection(say(gated, 'room:a', 'too late'))).toBe('UNAVAILABLE');
    expect(Date.now() - began).toBeLessThan(QUICK.outboxAge! + 2_000);
    gate.pass();
    await gated.ready(15_000);
    await say(gated, 'room:a', 'in time');
    await until('the later one arrives', () => heard.messages.length > 0);
    expect(heard.messages).toEqual(['in time']);
  });

  it('says UNCERTAIN when the link breaks before the answer', async () => {
    const { gate, gated } = await behindGate();
    gate.blackhole();
    const began = Date.now();
    expect(await codeOfRejection(say(gated, 'room:a', 'x'))).toBe('UNCERTAIN');
    expect(Date.now() - began).toBeLessThan(QUICK.callTimeout!);
    gate.pass();
    await gated.ready(15_000);
  });

  it('is not up while the broker is away at the start, and then is', async () => {
    const { transport: gatedTransport, gate } = await stage.set.gated!(stage.prefix);
    gate.refuse();
    const errors: string[] = [];
    const late = await stage.bus({ on: gatedTransport, connect: false });
    late.on('error', ({ code }) => errors.push(code));
    const heard = collect(late, 'room:a');
    const began = Date.now();
    expect(await codeOfRejection(late.connect(500))).toBe('UNAVAILABLE');
    expect(Date.now() - began).toBeLessThan(QUICK.callTimeout!);
    expect([late.state, late.everUp]).toEqual(['connecting', false]);
    gate.pass();
    await late.ready(15_000);
    expect(heard.live).toBe(true);
    await say(await stage.bus(), 'room:a', 'x');
    await until('it is heard', () => heard.messages.length === 1);
    expect(errors).toEqual(['LINK_LOST']);
  });

  it.each(['refuse', 'blackhole', 'pass'] as const)(
    'closes in a bounded time while the gate is at %s',
    async (mode) => {
      const { transport: gatedTransport, gate } = await stage.set.gated!(stage.prefix);
      const gated = await stage.bus({ on: gatedTransport, backoff: { base: 60_000, max: 60_000 } });
      await listen(gated, 'room:a');
      gate[mode]();
      if (mode === 'refuse') await until('the outage is noticed', () => gated.state === 'down');
      const began = Date.now();
      await gated.close();
      // Less than the deadline that the bus puts on closing a link: the driver has one of its own.
      expect(Date.now() - began).toBeLessThan(QUICK.callTimeout! - 500);
      // Before the gate passes again: that would reset what was left in the black hole.
      await until('no connection stays', () => gate.connections === 0);
      gate.pass();
    },
  );

  it('closes in a bounded time while it is connecting into a black hole', async () => {
    const { transport: gatedTransport, gate } = await stage.set.gated!(stage.prefix);
    gate.blackhole();
    const stuck = await stage.bus({ on: gatedTransport, connect: false });
    const connecting = codeOfRejection(stuck.connect());
    await until('it is connecting', () => gate.connections > 0);
    const began = Date.now();
    await stuck.close();
    expect(Date.now() - began).toBeLessThan(1_000);
    expect(await connecting).toBe('CLOSED');
    // Sooner than a driver's own deadline for connecting would end it.
    await until('no connection stays', () => gate.connections === 0, 1_000);
    gate.pass();
  });

  it('comes back when the broker is killed and started again, under load', async () => {
    const { transport: mortalTransport, broker } = await stage.set.mortal!(stage.prefix);
    const [speaker, hearer] = await Promise.all([
      stage.bus({ on: mortalTransport }),
      stage.bus({ on: mortalTransport }),
    ]);
    const heard = await listen(hearer, 'room:a');
    let n = 0;
    const load = setInterval(() => void say(speaker, 'room:a', String(n++)).catch(() => undefined), 2);
    await until('messages flow', () => heard.messages.length > 20);
    await broker.kill();
    await until('both have noticed', () => speaker.state === 'down' && hearer.state === 'down');
    await broker.start();
    await Promise.all([speaker.ready(30_000), hearer.ready(30_000)]);
    const before = heard.messages.length;
    await until('messages flow again', () => heard.messages.length > before + 20);
    clearInterval(load);
    const numbers = heard.messages.map(Number);
    expect(numbers).toEqual([...new Set(numbers)].sort((a, b) => a - b));
    await Promise.all([speaker.close(), hearer.close()]);
  }, 60_000);
}
