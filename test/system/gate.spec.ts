/*
 * The gate does what it says: other tests build their outages on it.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { type Gate, openGate } from '../brokers/gate.js';

async function eventually(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(5);
}

describe('a gate in front of an echo', () => {
  let echo: Server;
  let gate: Gate;
  const accepted = new Set<Socket>();

  beforeEach(async () => {
    echo = createServer((socket) => {
      accepted.add(socket);
      socket.on('close', () => accepted.delete(socket)).on('error', () => undefined);
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    gate = await openGate((echo.address() as AddressInfo).port);
  });

  afterEach(async () => {
    await gate.close();
    await new Promise((resolve) => echo.close(resolve));
    await eventually(() => accepted.size === 0);
  });

  async function visitor(): Promise<Socket> {
    const socket = connect(gate.port, '127.0.0.1');
    await once(socket, 'connect');
    return socket;
  }

  async function answer(socket: Socket, length: number): Promise<string> {
    let text = '';
    while (text.length < length) text += String(((await once(socket, 'data')) as [Buffer])[0]);
    return text;
  }

  /** How a connection ended: an error's code, or `closed`. */
  function ending(socket: Socket): Promise<string> {
    return new Promise((resolve) => {
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
      socket.once('close', () => resolve('closed'));
    });
  }

  it('passes bytes both ways, and the end of either side', async () => {
    const socket = await visitor();
    socket.write('hello');
    expect(await answer(socket, 5)).toBe('hello');
    expect(gate.connections).toBe(1);
    const end = ending(socket);
    for (const far of accepted) far.end();
    expect(await end).toBe('closed');
  });

  it('cuts what is just ending, and lets go of it', async () => {
    const open = () => process.getActiveResourcesInfo().filter((what) => what === 'TCPSocketWrap').length;
    const before = open();
    const sockets = await Promise.all(Array.from({ length: 50 }, visitor));
    await eventually(() => accepted.size === 50);
    const ends = sockets.map(ending);
    for (const far of [...accepted]) {
      far.end();
      await new Promise(setImmediate);
      gate.cut();
    }
    await Promise.all(ends);
    await eventually(() => open() === before);
  });

  it('cuts what is connected and lets new connections pass', async () => {
    const socket = await visitor();
    const end = ending(socket);
    gate.cut();
    expect(await end).toBe('ECONNRESET');
    const next = await visitor();
    next.write('again');
    expect(await answer(next, 5)).toBe('again');
    next.destroy();
  });

  it('refuses old and new connections until it passes again', async () => {
    const socket = await visitor();
    const end = ending(socket);
    gate.refuse();
    expect(await end).toBe('ECONNRESET');
    expect(await ending(connect(gate.port, '127.0.0.1'))).toBe('ECONNRESET');
    gate.pass();
    const next = await visitor();
    next.write('again');
    expect(await answer(next, 5)).toBe('again');
    next.destroy();
  });

  it('swallows in both directions while black-holed, the end of the far side included, and resets at pass', async () => {
    const [old, quitter] = [await visitor(), await visitor()];
    for (const socket of [old, quitter]) {
      socket.write('x');
      await answer(socket, 1);
    }
    gate.blackhole();
    const young = await visitor();
    const heard = jest.fn();
    const ends = [old, young].map((socket) => ending(socket.on('data', heard)));
    for (const socket of [old, young]) socket.write('lost');
    const left = ending(quitter);
    quitter.end();
    quitter.destroy();
    await left;
    for (const far of accepted) far.write('lost too');
    const sides = [...accepted];
    expect(sides).toHaveLength(2);
    // A second gate, passing: by the time its round trip is over, the first would have delivered.
    const clear = await openGate((echo.address() as AddressInfo).port);
    const witness = connect(clear.port, '127.0.0.1');
    witness.write('w');
    await answer(witness, 1);
    witness.destroy();
    await clear.close();
    expect(heard).not.toHaveBeenCalled();
    expect([old.destroyed, young.destroyed]).toEqual([false, false]);
    expect(sides.map((far) => far.destroyed)).toEqual([false, false]); // the broker does not see that one left
    gate.pass();
    expect(await Promise.all(ends)).toEqual(['ECONNRESET', 'ECONNRESET']);
    expect(heard).not.toHaveBeenCalled();
  });

  it('lets through what clients say while deafened, and nothing back, and resets at pass', async () => {
    const socket = await visitor();
    socket.write('x');
    await answer(socket, 1);
    const [far] = [...accepted];
    const arrived = once(far!, 'data');
    const heard = jest.fn();
    const end = ending(socket.on('data', heard));
    gate.deafen();
    socket.write('said');
    expect(String(((await arrived) as [Buffer])[0])).toBe('said');
    gate.pass();
    expect(await end).toBe('ECONNRESET');
    expect(heard).not.toHaveBeenCalled();
  });

  it('delays each direction and keeps the order, also when it speeds up again', async () => {
    const socket = await visitor();
    gate.slow(100);
    const from = Date.now();
    socket.write('first ');
    expect(await answer(socket, 6)).toBe('first ');
    expect(Date.now() - from).toBeGreaterThanOrEqual(198);
    socket.write('second ');
    (await visitor()).destroy(); // by now the gate has read it
    gate.slow(1);
    socket.write('third');
    expect(await answer(socket, 12)).toBe('second third');
    socket.destroy();
  });

  it('resets whoever comes while nobody listens behind it', async () => {
    await new Promise((resolve) => echo.close(resolve));
    expect(await ending(connect(gate.port, '127.0.0.1'))).toBe('ECONNRESET');
  });
});

describe('a gate in front of Redis', () => {
  /** Unlike events.once(), not upset by an 'error' on the way. */
  const event = (redis: Redis, name: string) => new Promise<void>((resolve) => redis.once(name, () => resolve()));

  it('carries a client through every kind of outage', async () => {
    const url = process.env['TEST_REDIS_URL'] ?? '';
    const gate = await openGate(Number(new URL(url).port));
    const redis = new Redis(gate.url(url), {
      retryStrategy: () => 20,
      commandTimeout: 200,
      maxRetriesPerRequest: null,
    });
    redis.on('error', () => undefined);
    expect(await redis.ping()).toBe('PONG');
    gate.blackhole();
    await expect(redis.ping()).rejects.toThrow('timed out');
    for (const outage of [() => gate.pass(), () => gate.cut()]) {
      const back = event(redis, 'ready');
      outage();
      await back;
      expect(await redis.ping()).toBe('PONG');
    }
    const gone = event(redis, 'close');
    gate.refuse();
    await gone;
    const back = event(redis, 'ready');
    gate.slow(30);
    await back;
    const from = Date.now();
    expect(await redis.ping()).toBe('PONG');
    expect(Date.now() - from).toBeGreaterThanOrEqual(58);
    redis.disconnect();
    await gate.close();
  });
});
