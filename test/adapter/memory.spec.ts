/*
 * What an instance with very many rooms takes.
 */
import { runInNewContext } from 'node:vm';
import { setFlagsFromString } from 'node:v8';
import { until } from '@app/broadcast/testing';
import { transports } from '../transports.js';
import { Stage } from './stage.js';

const ROOMS = 100_000;
const BATCH = 5_000;
/** Measured with Node.js 20: 1.3 to 1.6 kB, of which Socket.IO's own are 0.6. The memory transport keeps its own, too. */
const MAX_BYTES_PER_ROOM = 4_000;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

/** What is in use, in bytes. */
function heap(): number {
  collect();
  collect();
  return process.memoryUsage().heapUsed;
}

describe.each(transports)('an instance with 100,000 rooms, over %s', (_name, prepare) => {
  const stage = new Stage(prepare);

  it('takes a bounded amount of memory for each, and nothing when they are left', async () => {
    const instance = await stage.instance({ bus: { callTimeout: 30_000, linger: 50 } });
    const { socket, heard } = await stage.visit(instance, '/', { transports: ['websocket'] });
    const names = Array.from({ length: ROOMS }, (_, i) => `room-${i}`);
    const before = heap();
    for (let i = 0; i < ROOMS; i += BATCH) await socket.join(names.slice(i, i + BATCH));
    const perRoom = (heap() - before) / ROOMS;
    expect(perRoom).toBeLessThan(MAX_BYTES_PER_ROOM);
    for (let i = 0; i < ROOMS; i += 1_000) instance.server.to(names[i]!).emit('n', i);
    await until('all are heard', () => heard.length === ROOMS / 1_000);
    for (const name of names) await socket.leave(name);
    await until('the rooms are forgotten', () => instance.bus.wanted < 100);
    const left = (heap() - before) / ROOMS;
    expect(left).toBeLessThan(MAX_BYTES_PER_ROOM / 4);
    process.stdout.write(`${_name}: ${perRoom.toFixed(0)} bytes per room, ${left.toFixed(0)} when left\n`);
  }, 120_000);
});
