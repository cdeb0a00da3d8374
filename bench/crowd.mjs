/*
 * The clients of one instance: many raw ones, and a few real ones that look at what they receive. It counts what all of them
 * hear, and knows when a message has reached the last of its receivers.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { io } from 'socket.io-client';
import { EVENT, now, numberOf, read, text } from './messages.mjs';
import { RawClient } from './raw-client.mjs';

/** Connections that are being made at a time. */
const AT_ONCE = 50;
/** Nothing has arrived for so long: what is owed is lost, in ms. A pause alone says little, the instance may be busy. */
const PATIENCE = 20_000;
/** Nothing has arrived for so long after a void run: nothing of it will, in ms. */
const AFTERWARDS = 500;

export class Crowd {
  #clients = [];
  #real = [];
  #heard = 0;
  #wrong;
  #void = false;
  /** What the run before was worth. */
  #expected;
  #wake = () => {};
  /** What is waited for. */
  #due = Infinity;
  /** Receivers of each message; 0: nobody looks at the time. */
  #receivers;
  #missing = [];
  #times = [];

  /** @param {{ receivers?: number }} options */
  constructor({ receivers = 0 } = {}) {
    this.#receivers = receivers;
  }

  /** @param {{ port: number, clients: number, real?: number, room?: string, rooms?: number, plain?: boolean, bytes?: number }} options */
  async connect({ port, clients, real = 0, room, rooms, plain, bytes = 100 }) {
    const ended = (why) => this.#complain(why.message);
    const heard = this.#receivers > 0 ? (...where) => this.#time(...where) : () => this.#count();
    for (let i = 0; i < clients - real; i += AT_ONCE) {
      const some = Array.from({ length: Math.min(AT_ONCE, clients - real - i) }, (_, j) => {
        const mine = rooms === undefined ? room : `${room}${(i + j) % rooms}`;
        return new RawClient({ port, room: mine, plain, heard, ended });
      });
      this.#clients.push(...some);
      await Promise.all(some.map(({ connected }) => connected));
    }
    const { length } = text(0, bytes);
    for (let i = 0; i < real; i++) await this.#connectReal(port, room, length);
  }

  async #connectReal(port, room, length) {
    const socket = io(`http://127.0.0.1:${port}`, { forceNew: true, transports: ['websocket'], query: { room } });
    const client = { socket, next: 0 };
    this.#real.push(client);
    socket.on(EVENT, (said) => {
      const number = numberOf(said);
      if (number !== client.next) this.#complain(`message ${number} came where ${client.next} was due`);
      if (said.length !== length) this.#complain(`a message of ${said.length} bytes, not ${length}`);
      client.next = number + 1;
      if (this.#receivers > 0) this.#last(number, Number(said.slice(9, 25)));
      this.#count();
    });
    await new Promise((resolve, reject) => socket.on('connect', resolve).on('connect_error', reject));
    socket.on('disconnect', (why) => this.#complain(`a client was disconnected: ${why}`));
  }

  get heard() {
    return this.#heard;
  }

  /** Bytes and frames of the raw clients so far. */
  get traffic() {
    const sum = (name) => this.#clients.reduce((total, client) => total + client[name], 0);
    return { bytes: sum('bytes'), frames: sum('frames') };
  }

  /** Forgets what was heard, for the next run. What the last one still owes, if it was void, is waited for. */
  async reset() {
    for (let before = -1; this.#void && this.#heard !== before;) {
      before = this.#heard;
      await pause(AFTERWARDS);
    }
    const more = this.#heard - (this.#expected ?? this.#heard);
    this.#void = false;
    this.#expected = undefined;
    this.#wrong = undefined;
    this.#heard = 0;
    this.#missing = [];
    this.#times = [];
    for (const client of this.#real) client.next = 0;
    if (more > 0) throw Object.assign(new Error(`${more} deliveries of the run before came twice`), { lost: true });
  }

  /** Resolves when exactly so many have arrived. Rejects with `lost` when some are owed and nothing comes any more, or more came. */
  async expect(count, patience = PATIENCE) {
    this.#due = count;
    for (let before = -1; this.#heard < count && this.#heard !== before;) {
      before = this.#heard;
      const woken = new Promise((resolve) => (this.#wake = resolve));
      const patient = new AbortController();
      await Promise.race([woken, pause(patience, undefined, patient).catch(() => {})]);
      patient.abort();
    }
    this.#due = Infinity;
    const why = this.#wrong ?? (this.#heard !== count && `${this.#heard} of ${count} deliveries arrived`);
    this.#void = Boolean(why);
    this.#expected = why ? undefined : count;
    if (why) throw Object.assign(new Error(why), { lost: true });
  }

  /** From saying it until the last of its receivers had it, in ms, of each message. */
  get times() {
    return this.#times;
  }

  close() {
    for (const client of this.#clients) client.close();
    for (const { socket } of this.#real) socket.off('disconnect').disconnect();
  }

  #count() {
    if (++this.#heard >= this.#due) this.#wake();
  }

  #time(bytes, at) {
    const { number, moment } = read(bytes, at);
    this.#last(number, moment);
    this.#count();
  }

  #last(number, moment) {
    const missing = (this.#missing[number] ?? this.#receivers) - 1;
    this.#missing[number] = missing;
    if (missing === 0) this.#times.push((now() - moment) / 1_000);
  }

  #complain(why) {
    this.#wrong ??= why;
  }
}
