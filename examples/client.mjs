/*
 * Two clients, one on each of two servers: both join a room, the second says something, and the first shows what it
 * hears and whom the servers know in the room. The npm packages of the repository are all it needs.
 *
 *   node client.mjs 3000 3001
 *   node client.mjs 3000 3001 change     asks the first server to change its adapter before that (socketio/both.mjs)
 */
import { io } from 'socket.io-client';

const [first = '3000', second = first, request] = process.argv.slice(2);
const [here, there] = [first, second].map((port) => io(`http://127.0.0.1:${port}`, { forceNew: true }));
const ask = (socket, ...question) => socket.timeout(5_000).emitWithAck(...question);

const heard = new Promise((resolve) => here.on('said', resolve));
if (request) await ask(here, request);
await ask(here, 'join', 'lobby');
await ask(there, 'join', 'lobby');
there.emit('say', { room: 'lobby', text: 'Hello!' });
console.log(`heard: ${await heard}`);
console.log(`in the room: ${(await ask(here, 'who', 'lobby')).join(', ')}`);
here.disconnect();
there.disconnect();
