/*
 * `roomcast tail` and `roomcast publish`: hearing a room, and saying something in one.
 */
import { decode, decodeArgs, NEWER, Rooms, type Bus, type Position } from '@app/broadcast';
import { environment, withBus } from './bus.js';
import { sendRequest, userName } from '../../gateway/src/requests.js';
import type { Command } from './command.js';
import type { Output } from './output.js';
import { check, duration, json, textOf, wholeNumber } from './values.js';

/** What the gateway lets clients say, and who they can be. */
const saying = sendRequest.extend({ from: userName.optional() });
const listening = sendRequest.pick({ room: true });

export const tail: Command = {
  name: 'tail',
  summary: 'print what is said in a room, as it is said, until Ctrl-C',
  args: ['<room>'],
  options: {
    last: { type: 'string', short: 'n', value: '<n>', help: 'begin with the last ones of its history', default: '10' },
    for: { type: 'string', value: '<time>', help: 'end after so long' },
    namespace: { type: 'string', value: '<name>', help: 'Socket.IO namespace', default: '/' },
  },
  notes: 'Listens at the broker. It is no member of the room, and nobody sees it there.',
  run: ({ args: [room = ''], values, out, ending }) => {
    check(listening, { room });
    const last = wholeNumber(values, 'last', 0, 1_000)!;
    const time = duration(values, 'for');
    const namespace = textOf(values, 'namespace')!;
    return withBus(out, async (bus) => {
      const lines = new Lines(out, room, namespace);
      const rooms = new Rooms(bus);
      const hear = (payload: Buffer, _channel?: unknown, pos?: Position) => lines.hear(payload, pos);
      const subscription = rooms.keeps(room)
        ? bus.logs.follow(room, (payload, pos) => lines.hear(payload, pos))
        : bus.subscribe(`room:${room}`, hear);
      bus.on('gap', ({ message }, inRoom) => {
        if (inRoom === undefined || inRoom === room) out.progress(`gap: ${message}`);
      });
      try {
        await subscription.ready();
        const history =
          rooms.keeps(room) && last > 0 ? await rooms.history({ room, namespace, limit: last }) : undefined;
        lines.begin(history?.messages ?? []);
        await ended(ending(), time);
      } finally {
        subscription.close();
      }
    });
  },
};

export const publish: Command = {
  name: 'publish',
  summary: 'say something in a room',
  args: ['<room>', '<event>', '[<json>]'],
  options: {
    id: { type: 'string', value: '<id>', help: 'the same id again is the same message' },
    from: { type: 'string', value: '<name>', help: 'who says it' },
    namespace: { type: 'string', value: '<name>', help: 'Socket.IO namespace', default: '/' },
  },
  run: ({ args: [room = '', event = '', data = 'null'], values, out }) => {
    const message = {
      room,
      event,
      data: json(data, 'the data'),
      id: textOf(values, 'id'),
      from: textOf(values, 'from'),
    };
    check(saying, message);
    return withBus(out, async (bus: Bus) => {
      const rooms = new Rooms(bus, { maxMessageBytes: environment().MAX_MESSAGE_BYTES });
      const published = await rooms.publish({ ...message, namespace: textOf(values, 'namespace') });
      out.result(published, [published.id, published.pos].filter((part) => part !== undefined).join(' '));
    });
  },
};

interface Said {
  event: string;
  data: unknown;
  id?: string;
  at?: number;
  from?: string;
  pos?: string;
}

/** What is heard while the history is read follows it, without what was in it. */
class Lines {
  readonly #out: Output;
  readonly #room: string;
  readonly #namespace: string;
  #waiting: Said[] | undefined = [];

  constructor(out: Output, room: string, namespace: string) {
    this.#out = out;
    this.#room = room;
    this.#namespace = namespace;
  }

  begin(history: readonly Said[]): void {
    const known = new Set(history.map(({ pos }) => pos));
    const waiting = this.#waiting ?? [];
    this.#waiting = undefined;
    for (const said of history) this.#print(said);
    for (const said of waiting) if (said.pos === undefined || !known.has(said.pos)) this.#print(said);
  }

  hear(payload: Buffer, pos?: Position): void {
    const message = decode(payload);
    if (message === NEWER || message.header.kind !== undefined) return;
    const { nsp = '/', id, at, from } = message.header;
    if (nsp !== this.#namespace) return;
    const [event, ...data] = decodeArgs(message);
    const said = { event: String(event), data: data.length > 1 ? data : data[0], id, at, from, pos };
    if (this.#waiting) this.#waiting.push(said);
    else this.#print(said);
  }

  #print({ event, data, id, at, from, pos }: Said): void {
    const time = at === undefined ? '-' : new Date(at).toISOString();
    this.#out.line(
      { room: this.#room, event, data, id, at, from, pos },
      `${time} ${from ?? '-'} ${event} ${JSON.stringify(data) ?? ''}`.trimEnd(),
    );
  }
}

function ended(signal: AbortSignal, time: number | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      resolve();
    };
    // Without a handle the process would end between two messages of a broken link.
    const timer = setTimeout(end, time ?? 2 ** 31 - 1);
    if (signal.aborted) end();
    signal.addEventListener('abort', end, { once: true });
  });
}
