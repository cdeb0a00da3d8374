/*
 * What a server does with its own sockets because another one asks: the kinds of control messages between adapters, and
 * how each is answered.
 */
import type { BroadcastOptions, Room } from 'socket.io-adapter';
import { decodeArgs, encode, isReservedEvent, isReservedServerEvent, textOf, type Message } from '../envelope.js';
import { BroadcastError } from '../errors.js';

/** The adapter, as far as its own sockets go. */
export interface Here {
  addSockets(opts: BroadcastOptions, rooms: Room[]): unknown;
  delSockets(opts: BroadcastOptions, rooms: Room[]): unknown;
  disconnectSockets(opts: BroadcastOptions, close: boolean): unknown;
  fetchSockets(opts: BroadcastOptions): Promise<SocketDetails[]>;
  /** Emits to the sockets and collects what their clients answer, for `timeout` ms. Returns how many there are. */
  askHere(event: unknown[], opts: BroadcastOptions, timeout: number, ack: (response: unknown) => void): number;
  /** Runs the listeners of a server-side event. */
  hearEvent(event: unknown[]): void;
  /** Resolves when every join so far is heard at the broker. */
  settled(): Promise<void>;
  sizes(rooms: readonly string[]): number[];
  stats(): [room: string, sockets: number][];
  roomNames(): string[];
  /** Another server tells something about a topic of the application. */
  hearTold(topic: string, value: unknown, from: string): void;
  /** What another server is answered about a topic of the application; `null`: there is no such topic here. */
  consulted(topic: string, value: unknown, from: string): Promise<[unknown] | null>;
  /** An answer could not be sent, and nobody here waits for it. */
  dropped(error: unknown): void;
}

/** What travels of a socket. */
export interface SocketDetails {
  id: string;
  handshake: unknown;
  rooms: Iterable<Room>;
  data: unknown;
}

/** What the clients of one instance answer to a broadcast: together, or in parts where some are slow. */
export interface Acks {
  /** Sockets that were asked. */
  clients: number;
  responses: unknown[];
}

/** Says something to who asked. Rejects with `BAD_REQUEST` when the value cannot be encoded. */
export type Reply = (value: unknown, last?: boolean) => Promise<void>;

/**
 * Answers that are still missing are sent this long before who asked gives up, in ms: time for the way back. At most a
 * quarter of the time that there is.
 */
const WAY_BACK = 200;

type Handler = (
  here: Here,
  args: unknown[],
  opts: BroadcastOptions,
  reply: Reply,
  from: string,
) => void | Promise<void>;

const HANDLERS = new Map<string, Handler>(
  Object.entries<Handler>({
    'sockets.join': (here, [rooms], opts) => void here.addSockets(opts, names(rooms)),
    'sockets.leave': (here, [rooms], opts) => void here.delSockets(opts, names(rooms)),
    'sockets.disconnect': (here, [close], opts) => void here.disconnectSockets(opts, close === true),
    'sockets.settle': (here, _args, _opts, reply) => here.settled().then(() => reply(null)),
    'sockets.fetch': (here, _args, opts, reply) => fetch(here, opts, reply),
    'sockets.ask': (here, [timeout, ...event], opts, reply) => ask(here, milliseconds(timeout), event, opts, reply),
    'servers.event': (here, event) => here.hearEvent(serverEventOf(event)),
    'servers.ask': (here, event, _opts, reply) => askServer(here, event, reply),
    'servers.tell': (here, [topic, value], _opts, _reply, from) => here.hearTold(textOf(topic), value, from),
    'servers.consult': (here, [topic, value], _opts, reply, from) =>
      here.consulted(textOf(topic), value, from).then((answer) => reply(answer)),
    'rooms.sizes': (here, [rooms], _opts, reply) => reply(here.sizes(names(rooms).map(String))),
    'rooms.stats': (here, _args, _opts, reply) => reply(here.stats()),
    'rooms.list': (here, _args, _opts, reply) => reply(here.roomNames()),
  }),
);

/** Kinds of messages that adapters send each other. */
export const KINDS: readonly string[] = [...HANDLERS.keys()];
const COMMANDS = new Set(['sockets.join', 'sockets.leave', 'sockets.disconnect', 'servers.event', 'servers.tell']);

/** Whether who sent it waits for an answer. */
export function isQuestion(kind: string): boolean {
  return !COMMANDS.has(kind);
}

/**
 * Does what the message asks for.
 *
 * @throws BroadcastError `UNREADABLE`, at once or through the promise; what `reply` says, through the promise
 */
export function answer(message: Message, here: Here, reply: Reply): void | Promise<void> {
  const { kind = '', rooms = [], except = [], flags = {}, origin = '' } = message.header;
  const opts = { rooms: new Set(rooms), except: new Set(except), flags: { ...flags, local: true } };
  return HANDLERS.get(kind)?.(here, decodeArgs(message), opts, reply, origin);
}

async function fetch(here: Here, opts: BroadcastOptions, reply: Reply): Promise<void> {
  const sockets = (await here.fetchSockets(opts)).map(({ id, handshake, rooms, data }) => {
    // A session may hold circular references, and is of no use elsewhere.
    const { sessionStore: _, ...rest } = handshake as Record<string, unknown>;
    return { id, handshake: rest, rooms: [...rooms], data };
  });
  await reply(sockets).catch(async (error: unknown) => {
    if (isBadRequest(error)) await reply(sockets.map(travelling));
    throw error;
  });
}

/** A socket is listed in any case: without what the application has put on it that cannot be encoded. */
function travelling(socket: SocketDetails): SocketDetails {
  const data = canTravel(socket.data) ? socket.data : {};
  const handshake = canTravel(socket.handshake) ? socket.handshake : {};
  return { ...socket, handshake, data };
}

function ask(
  here: Here,
  timeout: number,
  event: unknown[],
  opts: BroadcastOptions,
  reply: Reply,
): void | Promise<void> {
  let responses: unknown[] = [];
  let missing = 0;
  let late = false;
  const send = (last: boolean): Promise<void> => {
    const acks: Acks = { clients, responses };
    responses = [];
    return reply(acks, last).catch(async (error: unknown) => {
      if (!isBadRequest(error)) throw error;
      await reply({ ...acks, responses: acks.responses.map((each) => (canTravel(each) ? each : null)) }, last);
      throw error;
    });
  };
  const clients = here.askHere(eventOf(event), opts, timeout, (response) => {
    responses.push(response);
    missing--;
    if (missing > 0 && !late) return;
    if (missing === 0) clearTimeout(timer);
    send(missing === 0).catch((error: unknown) => here.dropped(error));
  });
  missing = clients;
  if (missing === 0) return send(true);
  const timer = setTimeout(
    () => {
      late = true;
      if (responses.length > 0) send(false).catch((error: unknown) => here.dropped(error));
    },
    timeout - Math.min(WAY_BACK, timeout / 4),
  ).unref();
  return undefined;
}

function askServer(here: Here, event: unknown[], reply: Reply): void {
  let called = false;
  const callback = (value: unknown) => {
    if (called) return;
    called = true;
    reply([value])
      .catch(async (error: unknown) => {
        if (isBadRequest(error)) await reply([null]);
        throw error;
      })
      .catch((error: unknown) => here.dropped(error));
  };
  here.hearEvent([...serverEventOf(event), callback]);
}

function isBadRequest(error: unknown): boolean {
  return error instanceof BroadcastError && error.code === 'BAD_REQUEST';
}

function canTravel(value: unknown): boolean {
  try {
    encode({}, [value]);
    return true;
  } catch {
    return false;
  }
}

/** @throws BroadcastError `UNREADABLE` */
export function names(rooms: unknown): Room[] {
  const isName = (room: unknown) => typeof room === 'string' || typeof room === 'number';
  if (!Array.isArray(rooms) || !rooms.every(isName)) throw new BroadcastError('UNREADABLE', 'expected names of rooms');
  return rooms as Room[];
}

function milliseconds(timeout: unknown): number {
  if (typeof timeout === 'number' && timeout >= 0 && timeout < 2 ** 31) return timeout;
  throw new BroadcastError('UNREADABLE', 'expected a time in ms');
}

function eventOf(values: unknown[]): unknown[] {
  const [event] = values;
  if (typeof event === 'string' && !isReservedEvent(event)) return values;
  throw new BroadcastError('UNREADABLE', 'expected the name of an event that Socket.IO does not reserve');
}

function serverEventOf(values: unknown[]): unknown[] {
  const [event] = values;
  if (typeof event === 'string' && !isReservedServerEvent(event)) return values;
  throw new BroadcastError('UNREADABLE', 'expected the name of an event that Socket.IO does not reserve');
}
