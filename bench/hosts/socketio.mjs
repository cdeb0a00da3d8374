/*
 * A Socket.IO server as an instance of the bench. A client joins the room that its address names.
 */
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { EVENT } from '../messages.mjs';

/** Long, so that no ping falls into a measurement, in ms. */
const PING = 300_000;

/** @param {{ adapter?: Function, publish?: Function, cut?: Function, close: () => Promise<void> }} subject */
export async function socketIo({ adapter, close: end, ...more }) {
  const http = createServer();
  const server = new Server(http, { ...(adapter && { adapter }), pingInterval: PING, serveClient: false });
  server.on('connection', (socket) => {
    const { room } = socket.handshake.query;
    if (room !== undefined) void socket.join(room);
  });
  await new Promise((resolve) => http.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }, resolve));
  const sockets = () => [...server.of('/').sockets.values()];
  return {
    ...more,
    port: http.address().port,
    emit: (room, said) => server.to(room).emit(EVENT, said),

    /** Lets the sockets join so many rooms at once, in turn, and resolves when all joins have. */
    async join(prefix, rooms) {
      const all = sockets();
      await Promise.all(Array.from({ length: rooms }, (_, i) => all[i % all.length].join(`${prefix}${i}`)));
    },

    /** Resolves with the answers of all clients of the room. */
    ask: (room) => server.to(room).timeout(20_000).emitWithAck(EVENT, 'ask'),

    async close() {
      await server.close();
      await end();
    },
  };
}
