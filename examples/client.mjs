/*
 * Two clients, one on each of two servers: both join a room, the second says something, and the first shows what it
 * hears and whom the servers know in the room. The npm packages of the repository are all it needs.
 *
 *   node client.mjs 3000 3001
 *   node client.mjs 3000 3001 change     asks the first server to change its adapter before that (both.mjs, both.ts)
 */
import { once } from 'node:events';
import { io } from 'socket.io-client';

const [first = '3000', second = first, request] = process.argv.slice(2);
const sockets = [];

try {
  const [here, there] = [await connect(first), await connect(second)];
  if (request) console.log(`${request}: ${await ask(here, request)}`);
  await ask(here, 'join', 'lobby');
  await ask(there, 'join', 'lobby');
  const heard = once(here, 'said', { signal: AbortSignal.timeout(3_000) }).catch(() => {
    throw new Error(
      `What was said on port ${second} was not heard on port ${first} within 3 s: the servers are not on one broker. ` +
        'Compare what they print, and their BROADCAST_TRANSPORT, REDIS_URL or RABBITMQ_URL, BROADCAST_PREFIX, ' +
        'BROADCAST_SECRET and ADAPTER.',
    );
  });
  there.emit('say', { room: 'lobby', text: 'Hello!' });
  console.log(`heard: ${(await heard)[0]}`);
  console.log(`in the room: ${(await ask(here, 'who', 'lobby')).join(', ')}`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  for (const socket of sockets) socket.disconnect();
}

function connect(port) {
  const url = `http://127.0.0.1:${port}`;
  const socket = io(url, { forceNew: true, reconnection: false, timeout: 5_000 });
  sockets.push(socket);
  return new Promise((resolve, reject) => {
    socket.on('connect', () => resolve(socket));
    socket.on('connect_error', ({ message }) =>
      reject(new Error(`No server answers at ${url} (${message}): start one there, or give the port of another.`)),
    );
  });
}

async function ask(socket, ...question) {
  try {
    return await socket.timeout(8_000).emitWithAck(...question);
  } catch {
    throw new Error(
      `The server at ${socket.io.uri} did not answer "${question[0]}" within 8 s: look at what it prints.`,
    );
  }
}
