/*
 * Websockets without Socket.IO, as instances of the bench: what one writes by hand with `ws` and Redis, and the floor, which
 * only writes frames into sockets.
 */
import { Redis } from 'ioredis';
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { packet } from '../messages.mjs';

/** Each message is published to its room's channel, and sent to every socket of the room. */
export async function byHand({ redis, prefix }) {
  const [publisher, subscriber] = [new Redis(redis), new Redis(redis)];
  const { port, rooms, close } = await listen((room) => subscriber.subscribe(prefix + room));
  subscriber.on('message', (channel, said) => {
    for (const socket of rooms.get(channel.slice(prefix.length)) ?? []) socket.send(said);
  });
  return {
    port,
    emit: (room, said) => publisher.publish(prefix + room, packet(said)),
    async close() {
      await close();
      publisher.disconnect();
      subscriber.disconnect();
    },
  };
}

/** Speaks to its own clients only: so many frames at a time, in one write to each. */
export async function floor({ coalesce }) {
  const { port, rooms, close } = await listen(() => {});
  let waiting = [];
  return {
    port,
    close,
    coalesce: (frames) => (coalesce = frames),
    emit(room, said) {
      const payload = Buffer.from(packet(said));
      const head = payload.length < 126 ? Buffer.from([0x81, payload.length]) : Buffer.from([0x81, 126, 0, 0]);
      if (head.length === 4) head.writeUInt16BE(payload.length, 2);
      waiting.push(head, payload);
      if (waiting.length >= 2 * coalesce) this.flush(room);
    },
    flush(room) {
      const frames = Buffer.concat(waiting);
      waiting = [];
      if (frames.length > 0) for (const { _socket: socket } of rooms.get(room) ?? []) socket.write(frames);
    },
  };
}

async function listen(opened) {
  const http = createServer();
  const server = new WebSocketServer({ server: http, perMessageDeflate: false });
  const rooms = new Map();
  server.on('connection', (socket, { url }) => {
    const room = new URL(url, 'http://here').searchParams.get('room');
    if (rooms.get(room)?.add(socket)) return;
    rooms.set(room, new Set([socket]));
    opened(room);
  });
  await new Promise((resolve) => http.listen({ port: 0, host: '127.0.0.1', backlog: 1_024 }, resolve));
  const close = async () => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    http.close();
  };
  return { port: http.address().port, rooms, close };
}
