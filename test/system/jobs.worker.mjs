// A worker that can be told to die: DIE=before or after it has said the thing in the room, each time before the job is
// acknowledged.
import { createBus, Rooms } from '../../dist/libs/broadcast/src/index.js';

const { DIE, ATTEMPTS = '4' } = process.env;
const bus = createBus(undefined, {});
bus.on('error', ({ message }) => console.error(message));
const rooms = new Rooms(bus);
const die = () => process.kill(process.pid, 'SIGKILL');

async function handle({ id, data }) {
  if (DIE === 'before') die();
  await rooms.publish({ room: data.rooms[0], event: data.event, data: data.data, id });
  await new Promise((resolve) => process.stdout.write(`said ${id}\n`, resolve));
  if (DIE === 'after') die();
}

await bus.connect();
const options = { attempts: Number(ATTEMPTS), retryDelays: [500] };
await bus.jobs.consume('rooms', { handle, ...options }, { lease: 1_000 }).ready();
console.log('is at work');
