/*
 * A client of a soak: in a few rooms, on some gateway, comes and goes, and goes on where it was.
 */
import { io } from 'socket.io-client';

/** How long an answer may take, in ms: the gateway's own bounds, and a frozen gateway. */
const PATIENCE = 15_000;
/** The same for reading a history: at RabbitMQ many gateways look through the messages of all rooms at once. */
const READING = 60_000;
/** How long a message is said again, in ms. */
const GIVE_UP = 120_000;

export class Member {
  #soak;
  #random;
  #socket;
  #accounts;
  #joined = new Set();
  #stopped = false;
  #restless = true;
  #leaving;
  #pause;

  /** @param soak { ledger, urls } */
  constructor(soak, name, rooms, random) {
    this.#soak = soak;
    this.#random = random;
    this.name = name;
    this.#accounts = new Map(rooms.map((room) => [room, soak.ledger.account(name, room)]));
  }

  /** Whether it is in all of its rooms. */
  get isIn() {
    return this.#joined.size === this.#accounts.size;
  }

  /** The rooms that it is in. */
  get rooms() {
    return [...this.#joined];
  }

  hasHeard(room, id) {
    const account = this.#accounts.get(room);
    const pos = this.#soak.ledger.placeOf(room, id);
    return account === undefined || (pos !== undefined && account.has(id, pos));
  }

  connect() {
    clearTimeout(this.#pause);
    if (this.#stopped) return;
    const { ledger, urls } = this.#soak;
    const gateway = this.#random.between(0, urls.length - 1);
    const socket = io(urls[gateway], {
      auth: { user: this.name },
      transports: ['websocket'],
      forceNew: true,
      reconnection: false,
      timeout: 5_000,
    });
    this.#socket = socket;
    socket.on('connect', () => {
      ledger.note({ client: this.name }, `connected to gateway ${gateway + 1}`);
      for (const room of this.#accounts.keys()) this.#join(socket, room);
    });
    socket.on('m', (_data, meta) => {
      if (socket === this.#socket) this.#accounts.get(meta.room)?.take(meta, 'live');
    });
    socket.on('room:gap', ({ room, reason }) => this.#accounts.get(room)?.told(`room:gap: ${reason}`));
    for (const end of ['disconnect', 'connect_error']) {
      socket.on(end, (why) => {
        ledger.note({ client: this.name }, `${end}: ${why.message ?? why}`);
        this.#comeBack(socket);
      });
    }
    clearTimeout(this.#leaving);
    if (this.#restless) this.#leaving = setTimeout(() => this.#comeBack(socket), this.#random.between(5_000, 30_000));
  }

  /** Says something in a room, under one id until it is acknowledged. */
  async say(room, id, data) {
    const { ledger } = this.#soak;
    ledger.sending(room, id);
    for (const until = Date.now() + GIVE_UP; Date.now() < until && !this.#stopped;) {
      const answer = this.#joined.has(room)
        ? await this.#ask(this.#socket, 'room:send', { room, event: 'm', data, id })
        : undefined;
      if (answer?.ok) return void ledger.acknowledged(room, id, answer.pos);
      if (answer && answer.error.code !== 'UNAVAILABLE' && answer.error.code !== 'NOT_IN_ROOM') {
        throw new Error(`${this.name}: ${answer.error.code} ${answer.error.message}`);
      }
      if (answer) ledger.counts.unavailable++;
      await new Promise((resolve) => setTimeout(resolve, this.#random.between(50, 500)));
    }
  }

  /** Reads the end of a room's history. */
  history(room) {
    return this.#socket && this.#ask(this.#socket, 'room:history', { room, limit: 100 }, READING);
  }

  /** Stays where it is from now on, if it can. */
  settle() {
    this.#restless = false;
    clearTimeout(this.#leaving);
  }

  stop() {
    this.#stopped = true;
    clearTimeout(this.#leaving);
    clearTimeout(this.#pause);
    this.#socket?.disconnect();
  }

  #comeBack(socket) {
    if (socket !== this.#socket) return;
    this.#socket = undefined;
    this.#joined.clear();
    socket.disconnect();
    if (this.#stopped) return;
    this.#soak.ledger.counts.reconnects++;
    this.#pause = setTimeout(() => this.connect(), this.#random.between(0, 500));
  }

  #join(socket, room) {
    if (socket !== this.#socket) return;
    const account = this.#accounts.get(room);
    const since = account.last;
    // In the callback itself: what is said right after the answer may be handled before a promise of it is.
    socket.timeout(PATIENCE).emit('room:join', { room, ...(since && { since }) }, (late, answer) => {
      if (socket !== this.#socket) return;
      if (late) return this.#comeBack(socket);
      if (!answer.ok) {
        this.#soak.ledger.counts.unavailable++;
        setTimeout(() => this.#join(socket, room), this.#random.between(100, 1_000));
        return;
      }
      const mark = { pos: answer.pos, ...(answer.id !== undefined && { id: answer.id }) };
      this.#soak.ledger.note(account, `joined at ${mark.pos}, since ${since?.pos}, recovered ${answer.recovered}`);
      if (!since) account.enter(mark);
      else if (!answer.recovered) account.told('recovered: false', mark);
      for (const message of answer.missed ?? []) account.take(message, 'missed');
      this.#joined.add(room);
    });
  }

  #ask(socket, request, body, patience = PATIENCE) {
    return socket
      .timeout(patience)
      .emitWithAck(request, body)
      .catch(() => undefined);
  }
}
