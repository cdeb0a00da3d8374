/*
 * RabbitMQ (3.10 and later), through amqplib. Each link has two connections, since a broker short of memory stops
 * reading from whoever publishes; one exclusive queue; and a binding per room (see rabbitmq.bindings.ts). Nothing is
 * repaired here: the first failure of any part ends both connections and tells the bus, once.
 */
import { randomBytes } from 'node:crypto';
import type { Channel as AmqpChannel, ChannelModel } from 'amqplib';
import { checkOptions, checkUrl } from '../checks.js';
import { BroadcastError, toError } from '../errors.js';
import type { Link, LinkEvents, OpenOptions, Transport } from '../transport.js';
import { Life, RabbitmqLink } from './rabbitmq.link.js';
import { brokerNames, EVERY_ROOM, MARK_KEY, type BrokerNames } from './rabbitmq.names.js';

export interface RabbitmqOptions {
  /** `amqp://user:password@host:port/vhost`, or `amqps://` for TLS. @default 'amqp://127.0.0.1:5672' */
  url?: string;
  /** In front of every exchange and queue name. @default '' */
  prefix?: string;
  /** Seconds between signs of life; a silent connection is given up after two to three of them. @default 5 */
  heartbeat?: number;
  /** Messages on their way to this instance that it has not acknowledged. @default 500 */
  prefetch?: number;
  /** Messages that wait for a slow instance; the oldest then go to the dead letters. @default 50_000 */
  queueLength?: number;
  /** The same in bytes. @default 64_000_000 */
  queueBytes?: number;
  /** Bytes of all histories together; the oldest go, in segments of a twentieth. @default 1_000_000_000 */
  logBytes?: number;
  /** Ids of late that are known at once, so that a second copy is passed over. Above about so many in `idWindow` the oldest go. @default 200_000 */
  maxIds?: number;
  /** With more live rooms than this the queue hears every room and filters, instead of a binding for each. @default 2000 */
  maxBindings?: number;
  /** @internal `false`: a binding for each room and nothing else, for comparison. @default true */
  adaptive?: boolean;
}

const KINDS = {
  url: 'text',
  prefix: 'text',
  heartbeat: 'count',
  prefetch: 'count',
  queueLength: 'count',
  queueBytes: 'bytes',
  logBytes: 'bytes',
  maxIds: 'size',
  maxBindings: 'size',
  adaptive: 'flag',
} as const;

/** RabbitMQ 3.10 or later. @throws BroadcastError `BAD_REQUEST` for an address of another kind */
export function rabbitmq(options: RabbitmqOptions = {}): Transport {
  checkUrl('rabbitmq', options, /^amqps?:\/\//i, 'amqp://user:password@host:5672/vhost');
  checkOptions('rabbitmq', options, KINDS);
  const {
    url = 'amqp://127.0.0.1:5672',
    prefix = '',
    heartbeat = 5,
    prefetch = 500,
    queueLength = 50_000,
    queueBytes = 64_000_000,
    logBytes = 1_000_000_000,
    maxIds = 200_000,
    maxBindings = 2000,
    adaptive = true,
  } = options;
  const queue = { prefetch, queueLength, queueBytes };
  const settings = { url, prefix, heartbeat, ...queue, logBytes, maxIds, maxBindings, adaptive };
  return {
    name: 'rabbitmq',
    address: new URL(url).host,
    features: { network: true, redelivers: true, log: 'shared' },
    open: (events, options) => open(settings, events, options),
  };
}

/** Ms that the broker may be silent while a connection is made. */
const CONNECT_TIMEOUT = 5000;
/** AMQP's answer to declaring something that is there with other properties. */
const PRECONDITION_FAILED = 406;
const WEEK = 7 * 24 * 60 * 60 * 1000;

type Settings = Required<RabbitmqOptions>;

async function open(
  settings: Settings,
  events: LinkEvents,
  { instance, signal, retention = 0, idWindow = 0, previous }: OpenOptions,
): Promise<Link> {
  const { connect } = await amqplib();
  const names = brokerNames(settings.prefix, instance, randomBytes(4).toString('hex'));
  const url = new URL(settings.url);
  url.searchParams.set('heartbeat', String(settings.heartbeat));

  const life = new Life();
  const giveUp = () => life.end(toError(signal.reason));
  signal.addEventListener('abort', giveUp);
  if (signal.aborted) giveUp();

  const connection = async (role: string) => {
    const clientProperties = { connection_name: `roomcast ${instance} ${role}` };
    // The signal destroys the socket, in whatever state: amqplib itself only ever says goodbye to it.
    const socket = { noDelay: true, timeout: CONNECT_TIMEOUT, clientProperties, signal: life.signal };
    return life.watch(await connect(url.href, socket));
  };

  try {
    const [publishing, consuming] = await Promise.all([connection('publish'), connection('consume')]);
    // From the first message on, which may be needed to open the link.
    publishing.on('blocked', (why: string) => life.signal.aborted || events.blocked(true, why));
    publishing.on('unblocked', () => life.signal.aborted || events.blocked(false));
    const [publisher, consumer, binder] = await Promise.all([
      publishing.createConfirmChannel().then((channel) => life.watch(channel)),
      consuming.createChannel().then((channel) => life.watch(channel)),
      consuming.createChannel().then((channel) => life.watch(channel)),
    ]);
    await Promise.all([declareShared(publisher, names), declareQueue(consumer, names, settings)]);
    if (retention > 0) await declareLog(publishing, names, retention, settings.logBytes);
    const parts = { publishing, consuming, publisher, consumer, binder };
    const link = new RabbitmqLink(parts, names, events, life, {
      ...settings,
      idWindow,
      keeps: retention > 0,
      previous,
      signal,
    });
    await link.start();
    return link;
  } catch (thrown) {
    const cause = life.signal.aborted ? toError(life.signal.reason) : toError(thrown);
    life.end(cause);
    const why = `no link to RabbitMQ at ${url.host}${url.pathname}: ${explain(cause)}`;
    throw new BroadcastError('UNAVAILABLE', why, { cause });
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
}

/** amqplib shows the frame instead of what it says. */
function explain({ message }: Error): string {
  if (!message.startsWith('Expected ConnectionOpenOk; got <ConnectionClose')) return message;
  return 'the broker refused the vhost: it has to exist, and the user to have permissions in it';
}

async function amqplib() {
  try {
    return await import('amqplib');
  } catch (cause) {
    throw new BroadcastError('DRIVER_MISSING', 'the rabbitmq transport needs amqplib: npm install amqplib', { cause });
  }
}

/** What all instances share. Declaring what is there already changes nothing. */
async function declareShared(channel: AmqpChannel, names: BrokerNames): Promise<void> {
  await channel.assertExchange(names.rooms, 'topic', { durable: true });
  await channel.assertExchange(names.control, 'direct', { durable: true });
  await channel.assertExchange(names.deadLetterExchange, 'direct', { durable: true });
  await channel.assertQueue(names.deadLetters, {
    durable: true,
    arguments: { 'x-queue-type': 'quorum', 'x-max-length': 10_000, 'x-message-ttl': WEEK },
  });
  await channel.bindQueue(names.deadLetters, names.deadLetterExchange, names.deadLetters);
}

/** The stream of the rooms with history, as it is: its age and size are of whoever declared it first. */
async function declareLog(connection: ChannelModel, names: BrokerNames, retention: number, bytes: number) {
  const channel = await connection.createChannel();
  let refusal: Error | undefined;
  channel.on('error', (error: Error) => (refusal = error));
  const declared = channel.assertQueue(names.log, {
    durable: true,
    arguments: {
      'x-queue-type': 'stream',
      'x-max-age': `${Math.ceil(retention / 1_000)}s`,
      'x-max-length-bytes': bytes,
      'x-stream-max-segment-size-bytes': Math.ceil(bytes / 20),
    },
  });
  await declared.catch((error: unknown) => {
    if ((refusal as { code?: number } | undefined)?.code !== PRECONDITION_FAILED) throw error;
  });
  const binding = refusal ? await connection.createChannel() : channel;
  for (const key of [EVERY_ROOM, MARK_KEY]) await binding.bindQueue(names.log, names.rooms, key);
  await binding.close();
}

/** The queue of this link alone, gone with it. Full, it drops: refusing would fail everybody's publishes. */
async function declareQueue(channel: AmqpChannel, names: BrokerNames, settings: Settings): Promise<void> {
  await channel.prefetch(settings.prefetch);
  await channel.assertQueue(names.queue, {
    exclusive: true,
    durable: false,
    arguments: {
      'x-max-length': settings.queueLength,
      'x-max-length-bytes': settings.queueBytes,
      'x-overflow': 'drop-head',
      'x-dead-letter-exchange': names.deadLetterExchange,
      'x-dead-letter-routing-key': names.deadLetters,
    },
  });
}
