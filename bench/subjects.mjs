/*
 * What is measured: Roomcast over each broker, what people use today, and floors. Each opens with the addresses of the
 * brokers and a prefix of its own, so that nobody hears another's messages.
 */
import { createAdapter as createClassic, createShardedAdapter } from '@socket.io/redis-adapter';
import { createAdapter as createStreams } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Bus, createAdapter, memory, rabbitmq, redis, Rooms } from '../dist/libs/broadcast/src/index.js';
import { socketIo } from './hosts/socketio.mjs';
import { byHand, floor } from './hosts/ws.mjs';
import { EVENT } from './messages.mjs';

export const SUBJECTS = {
  'Roomcast, Redis': roomcast((options) => redis({ url: options.redis, prefix: options.prefix })),
  'Roomcast, RabbitMQ': roomcast((options) => rabbitmq({ url: options.rabbitmq, prefix: options.prefix })),
  'Roomcast, memory': roomcast(() => memory()),
  'redis-adapter': theirs((clients, key) => createClassic(...clients, { key })),
  'sharded adapter': theirs((clients, channelPrefix) => createShardedAdapter(...clients, { channelPrefix })),
  'streams adapter': theirs(([client], name) => createStreams(client, { streamName: name, channelPrefix: name })),
  'socket.io alone': () => socketIo({ close: async () => {} }),
  'ws by hand': byHand,
  'bare writes': floor,
};

/** Those that do not speak Socket.IO. */
export const PLAIN = new Set(['ws by hand', 'bare writes']);

function roomcast(transportOf) {
  return async ({ history, ...options }) => {
    const transport = transportOf(options);
    let link;
    const watched = {
      ...transport,
      open: (events, how) => transport.open((link = events), how),
    };
    const bus = new Bus(watched, { backoff: { base: 1 }, ...(history && { history }) });
    bus.on('error', ({ code, message }) => console.error(`${code}: ${message}`));
    await bus.connect();
    const rooms = new Rooms(bus);
    return socketIo({
      adapter: createAdapter(bus),
      /** As a service says it: with an id and meta, and into the history where the room has one. */
      publish: (room, said) => rooms.publish({ room, event: EVENT, data: said }),
      /** Loses the link, and resolves when every room is heard again. */
      async cut() {
        const down = new Promise((resolve) => bus.once('state', resolve));
        bus.removeAllListeners('error').on('error', () => {});
        link.lost(new Error('cut by the measurement'));
        await down;
        await bus.ready(60_000);
      },
      close: () => bus.close(),
    });
  };
}

function theirs(create) {
  return async ({ redis: url, prefix }) => {
    const clients = [new Redis(url), new Redis(url)];
    return socketIo({
      adapter: create(clients, prefix),
      close: async () => clients.forEach((client) => client.disconnect()),
    });
  };
}
