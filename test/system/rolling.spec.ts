/*
 * A rollout at noon: four gateways behind a balancer are replaced one after the other, under their clients.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { io, type Socket } from 'socket.io-client';
import { openBalancer, type Balancer } from './balancer.js';
import { endAll, runGateway, type Answer, type RunningGateway } from './processes.js';

interface Said {
  id: string;
  pos: string;
}

/** A client that is in one room, comes back by itself, and puts what it has missed where it belongs. */
class Member {
  readonly socket: Socket;
  readonly ids: string[] = [];
  /** When it lost its connection, each time. */
  readonly left: number[] = [];
  unrecovered = 0;
  inside = false;
  #last?: Said;

  /** @param listens whether it goes when it is told to, as page authors may have it, or is sent away */
  constructor(
    url: string,
    readonly room: string,
    listens: boolean,
  ) {
    this.socket = io(url, {
      transports: ['websocket'],
      forceNew: true,
      reconnectionDelay: 100,
      reconnectionDelayMax: 500,
    });
    this.socket.on('connect', () => this.#enter());
    this.socket.on('disconnect', () => {
      this.inside = false;
      this.left.push(performance.now());
    });
    this.socket.on('chat', (_data: unknown, meta: Said) => this.#take(meta));
    if (!listens) return;
    this.socket.on('server:drain', ({ retryAfter }: { retryAfter: number }) => {
      const { id } = this.socket;
      setTimeout(() => {
        if (this.socket.id === id) this.socket.disconnect().connect();
      }, retryAfter).unref();
    });
  }

  /** Says it again until it is acknowledged. */
  async say(id: string): Promise<void> {
    for (;;) {
      const asked = this.socket
        .timeout(3_000)
        .emitWithAck('room:send', { room: this.room, event: 'chat', data: id, id });
      const answer = (await asked.catch(() => undefined)) as Answer | undefined;
      if (answer?.ok) return;
      await sleep(50);
    }
  }

  #enter(): void {
    const request = { room: this.room, ...(this.#last && { since: this.#last }) };
    this.socket.emit('room:join', request, (answer: Answer) => {
      if (!answer.ok) return void setTimeout(() => this.socket.connected && this.#enter(), 200);
      if (answer.recovered === false) this.unrecovered++;
      for (const message of answer.missed ?? []) this.#take(message);
      this.#last ??= { pos: answer.pos!, id: answer.id! };
      this.inside = true;
    });
  }

  #take({ id, pos }: Said): void {
    this.ids.push(id);
    this.#last = { id, pos };
  }
}

/** The most of these moments that lie within one second. */
function mostInASecond(moments: number[]): number {
  moments.sort((one, other) => one - other);
  let [most, from] = [0, 0];
  moments.forEach((moment, index) => {
    while (moment - moments[from]! >= 1_000) from++;
    most = Math.max(most, index - from + 1);
  });
  return most;
}

afterAll(endAll);

describe.each([
  // A gateway sends away 0.15 of its clients in a second, of which it has a third while another one is away: 50. The rest is for
  // a process with a thousand clients, which sees in one moment what happened in several.
  {
    transport: 'redis',
    variable: 'REDIS_URL',
    url: process.env['TEST_REDIS_URL']!,
    clients: 1_000,
    mostPerSecond: 100,
  },
  // At this size it is the 20 that are taken for no wave.
  {
    transport: 'rabbitmq',
    variable: 'RABBITMQ_URL',
    url: process.env['TEST_RABBITMQ_URL']!,
    clients: 200,
    mostPerSecond: 40,
  },
])('a rolling restart over $transport', ({ transport, variable, url, clients, mostPerSecond }) => {
  const BROADCAST_PREFIX = `r${randomBytes(4).toString('hex')}.`;
  const environment = {
    BROADCAST_TRANSPORT: transport,
    [variable]: url,
    BROADCAST_PREFIX,
    HISTORY_SIZE: '500',
    SHUTDOWN_GRACE: '20s',
    DRAIN_DELAY: '300ms',
    DRAIN_SHARE: '0.15',
    // All of them come from one address.
    HANDSHAKE_RATE: 'off',
    MAX_CONNECTIONS_PER_USER: 'off',
  };
  const rooms = clients / 25;
  let balancer: Balancer;
  let gateways: RunningGateway[] = [];
  const members: Member[] = [];

  beforeAll(async () => {
    balancer = await openBalancer();
    gateways = await Promise.all([1, 2, 3, 4].map((n) => runGateway({ ...environment, INSTANCE_ID: `gw-${n}` })));
    for (const gateway of gateways) balancer.add(gateway.url);
  }, 90_000);
  afterAll(async () => {
    for (const { socket } of members) socket.disconnect();
    await balancer.close();
    await Promise.all(gateways.map((gateway) => gateway.end('SIGTERM')));
  }, 60_000);

  it(`of four gateways with ${clients} clients loses nothing, and never sends many of them away at once`, async () => {
    // A hundred at a time: what is looked at is how they leave, not how they come.
    while (members.length < clients) {
      for (let i = 0; i < 100; i++) {
        const place = members.length;
        members.push(new Member(balancer.url, `r${place % rooms}`, place % 2 === 0));
      }
      await until('everyone is inside', () => members.every(({ inside }) => inside), 30_000);
    }

    let over = false;
    const said = Array.from({ length: rooms }, (): string[] => []);
    const speaking = said.map(async (ids, room) => {
      const speaker = members[room]!;
      while (!over) {
        const id = `${room}-${ids.length}`;
        await speaker.say(id);
        ids.push(id);
        await sleep(1_000 + 1_500 * Math.random());
      }
    });

    for (const [place, old] of gateways.entries()) {
      expect(await old.end('SIGTERM')).toBe(0);
      balancer.remove(old.url);
      gateways[place] = await runGateway({ ...environment, INSTANCE_ID: `gw-${place + 1}` });
      balancer.add(gateways[place].url);
    }
    await until('everyone is back', () => members.every(({ inside }) => inside), 30_000);
    over = true;
    await Promise.all(speaking);

    const complete = ({ ids, room }: Member) => ids.length >= said[Number(room.slice(1))]!.length;
    await until('everyone has heard everything', () => members.every(complete), 20_000);
    for (const { ids, room } of members) expect(ids).toEqual(said[Number(room.slice(1))]);
    expect(members.filter(({ unrecovered }) => unrecovered > 0)).toEqual([]);

    const departures = members.flatMap(({ left }) => left);
    // Each gateway had its share of them, and was left by all of these.
    expect(departures.length).toBeGreaterThan(clients * 0.9);
    expect(mostInASecond(departures)).toBeLessThanOrEqual(mostPerSecond);
  }, 240_000);
});
