/*
 * Joins a room on the first server, says something in it on the second, and shows what the first hears:
 *
 *   node client.mjs 3000 3001
 */
import { io } from 'socket.io-client';

const [here, there] = process.argv
  .slice(2)
  .map((port) => io(`http://127.0.0.1:${port}`, { transports: ['websocket'] }));
here.on('said', (text) => {
  console.log(`heard: ${text}`);
  here.disconnect();
  there.disconnect();
});
await here.timeout(5_000).emitWithAck('join', 'lobby');
there.emit('say', { room: 'lobby', text: 'Hello!' });
