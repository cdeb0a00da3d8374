/*
 * The same random script on one stock Socket.IO server and on ours, whose clients are spread over three instances: each
 * client hears the same from each publisher, in the same order. Once more with the script's seed: `SEED=1234`.
 */
import { until } from '@app/broadcast/testing';
import fc from 'fast-check';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server, type Socket as ServerSocket } from 'socket.io';
import { io, type Socket } from 'socket.io-client';
import { transports } from '../transports.js';
import { Stage } from './stage.js';

const ROOMS = ['r', 's', '5'];
const INSTANCES = 3;
const CLIENTS = 5;
const RUNS = Number(process.env['RUNS'] ?? 12);
const SEED = Number(process.env['SEED'] ?? Date.now() % 2 ** 31);

/** One publisher's event, as a client has heard it. */
type Heard = [event: string, publisher: number, n: number, ...content: unknown[]];

interface Guest {
  /** The instance that it is connected to. */
  at: number;
  client: Socket;
  socket: ServerSocket;
  heard: Heard[];
}

/** One server for each instance, or the same for all of them. */
interface World {
  servers: Server[];
  guests: Guest[];
  /** To the sockets of one instance only. */
  local(by: number): { emit(event: string, ...args: unknown[]): unknown };
}

const rooms = fc.uniqueArray(fc.constantFrom(...ROOMS), { maxLength: 2 });
const by = fc.nat(INSTANCES - 1);
const who = fc.nat(CLIENTS - 1);
const content = fc.constantFrom<unknown[]>([], ['ü'], [{ a: [1, null] }], [Buffer.from([1, 2])], ['x'.repeat(70_000)]);
const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('emit' as const), by, rooms, except: rooms, content }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('volatile' as const), by, rooms, content }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('local' as const), by, content }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('direct' as const), who, content }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('ask' as const), by, rooms }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('join' as const, 'leave' as const),
      who,
      room: fc.constantFrom(...ROOMS),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('pause' as const) }) },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

describe.each(transports)('random scripts over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  it(`are heard as from Socket.IO itself (SEED=${SEED})`, async () => {
    const [theirs, ours] = [await stock(stage), await spread(stage)];
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 80 }), async (steps) => {
        const [expected, found] = [await play(theirs, steps), await play(ours, steps)];
        expect(found.map(kept)).toEqual(expected.map(kept));
        const said = new Set(steps.map((_, n) => n));
        for (const heard of found.flat()) {
          expect(heard.filter(isVolatile).every(([, , n]) => said.has(n))).toBe(true);
          expect(new Set(heard.map(([, , n]) => n)).size).toBe(heard.length);
        }
      }),
      { seed: SEED, numRuns: RUNS, endOnFailure: true },
    );
  }, 120_000);
});

/** What each client has heard from each publisher. */
async function play(world: World, steps: readonly Step[]): Promise<Heard[][][]> {
  for (const { socket } of world.guests) for (const room of ROOMS) await socket.leave(room);
  let answers: Promise<unknown>[] = [];
  for (const [n, each] of steps.entries()) {
    switch (each.do) {
      case 'emit':
        world.servers[each.by]!.to(each.rooms)
          .except(each.except)
          .emit('said', each.by, n, ...each.content);
        break;
      case 'volatile':
        world.servers[each.by]!.to(each.rooms).volatile.emit('volatile', each.by, n, ...each.content);
        break;
      case 'local':
        world.local(each.by).emit('said', each.by, n, ...each.content);
        break;
      case 'direct': {
        const { socket, at } = world.guests[each.who]!;
        socket.emit('said', at, n, ...each.content);
        break;
      }
      case 'ask':
        answers.push(world.servers[each.by]!.to(each.rooms).timeout(5_000).emitWithAck('said', each.by, n));
        break;
      case 'pause':
        await new Promise((resolve) => setTimeout(resolve, 1));
        break;
      default: {
        // Who hears what is under way is nobody's promise.
        await arrived(world, n);
        await Promise.all(answers);
        answers = [];
        await world.guests[each.who]!.socket[each.do](each.room);
      }
    }
  }
  await arrived(world, steps.length);
  await Promise.all(answers);
  return world.guests.map(({ heard }) => {
    const all = heard.splice(0).filter(([event]) => event !== 'mark');
    return Array.from({ length: INSTANCES }, (_, publisher) => all.filter((each) => each[1] === publisher));
  });
}

/** Everything that was said before has been heard. */
async function arrived({ servers, guests }: World, n: number): Promise<void> {
  servers.forEach((server, publisher) => server.emit('mark', publisher, n));
  const isMark = ([event, , at]: Heard) => event === 'mark' && at === n;
  await until('the marks arrive', () => guests.every(({ heard }) => heard.filter(isMark).length === INSTANCES));
}

/** Without what may be missed. */
function kept(publishers: Heard[][]): Heard[][] {
  return publishers.map((heard) => heard.filter((each) => !isVolatile(each)));
}

function isVolatile([event]: Heard): boolean {
  return event === 'volatile';
}

async function stock(stage: Stage): Promise<World> {
  const http = createServer();
  const server = new Server(http);
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  stage.after(() => server.close());
  const url = `http://127.0.0.1:${(http.address() as AddressInfo).port}`;
  const guests = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => guest(stage, server, url, i)));
  for (const { socket, at } of guests) await socket.join(`at ${at}`);
  return { servers: [server, server, server], guests, local: (by) => server.to(`at ${by}`) };
}

async function spread(stage: Stage): Promise<World> {
  const instances = await stage.three();
  const guests = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => {
      const { server, url } = instances[i % INSTANCES]!;
      return guest(stage, server, url, i);
    }),
  );
  const servers = instances.map(({ server }) => server);
  return { servers, guests, local: (by) => servers[by]!.local };
}

async function guest(stage: Stage, server: Server, url: string, i: number): Promise<Guest> {
  // One of them polls.
  const client = io(url, { forceNew: true, reconnection: false, transports: [i === 3 ? 'polling' : 'websocket'] });
  stage.after(() => client.disconnect());
  const heard: Heard[] = [];
  client.onAny((...args: unknown[]) => {
    const answer = args.at(-1);
    if (typeof answer === 'function') (answer as (n: number) => void)(i);
    heard.push((typeof answer === 'function' ? args.slice(0, -1) : args) as Heard);
  });
  await until('the client is connected', () => client.connected);
  return { at: i % INSTANCES, client, socket: server.of('/').sockets.get(client.id!)!, heard };
}
