// Asks a worker to announce something in rooms: `npm run announce -- 123 "Back at noon"`. Needs a broker, since the
// embedded transport does not leave its process.
import { lastValueFrom } from 'rxjs';
import { APP_DEFAULTS, BroadcastClient, createBus, readEnvironment } from '../dist/libs/broadcast/src/nest.js';

const [room, text] = process.argv.slice(2);
const environment = settings();
if (!room || !text) stop('npm run announce -- <room>[,<room>…] "<text>"');
if (environment.BROADCAST_TRANSPORT === 'memory') {
  stop('announce speaks over a broker: set BROADCAST_TRANSPORT=redis or rabbitmq, as for the gateways and workers.');
}

const bus = createBus({ ...environment, INSTANCE_ID: undefined });
bus.on('error', ({ message }) => console.error(message));
try {
  await bus.connect();
  const command = { rooms: room.split(','), text };
  console.log(await lastValueFrom(new BroadcastClient(bus).send('room.announce', command)));
} catch (error) {
  console.error(`${error.code ?? 'ERROR'}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await bus.close();
}

function settings() {
  try {
    return readEnvironment(process.env, APP_DEFAULTS);
  } catch (error) {
    return stop(error.message);
  }
}

function stop(why) {
  console.error(why);
  process.exit(1);
}
