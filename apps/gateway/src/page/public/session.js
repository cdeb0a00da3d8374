/*
 * One client in one room: connects, joins, says, and joins again from where it was whenever the line comes back. What
 * it learns it tells by the functions it was given; it knows nothing of the document.
 */
import { io } from './socket.io.js';

/** How long a line that was cut stays cut, in ms. */
const HELD = 10_000;
const PATIENCE = 10_000;
/** Pause before what was refused for now is asked again, in ms. */
const AGAIN = 1_000;
const RECONNECTING = { delay: 300, max: 3_000, jitter: 0.5 };

export class Session {
  #room;
  #tell;
  #socket;
  /** The place of the last message that was heard. */
  #since;
  #everIn = false;
  #in = false;
  /** When the line was lost, and why. */
  #lostAt;
  #cut = false;
  /** Said, and not acknowledged: by id. */
  #unsaid = new Map();
  #presence = true;
  #asking;

  /** @param tell `state`, `instance`, `message`, `recovered`, `gap`, `history`, `members`, `count`, `said`, `refused` */
  constructor({ address, user, room, token }, tell) {
    this.#room = room;
    this.#tell = tell;
    this.#socket = io(address, {
      auth: token ? { token } : { user },
      transports: ['websocket'],
      forceNew: true,
    });
    this.#relax();
    this.#socket.on('connect', () => this.#connected());
    this.#socket.on('connect_error', (error) => this.#failed(error));
    this.#socket.on('disconnect', (reason) => this.#disconnected(reason));
    this.#socket.onAny((event, data, meta) => this.#heard(event, data, meta));
    tell.state({ name: 'connecting' });
  }

  /** Says it now, or when the line is back. The id is the message's: said again, it is the same message. */
  say(event, data) {
    const id = newId();
    this.#unsaid.set(id, { event, data });
    if (this.#in) this.#send(id);
    return id;
  }

  /** What was said before a position. */
  async earlier(before) {
    const answer = await this.#ask('room:history', { room: this.#room, before, limit: 50 });
    if (answer.ok) this.#tell.history(answer);
  }

  /** Closes the connection below Socket.IO, as a network does, and keeps it closed for a while. */
  cut() {
    const { io: manager } = this.#socket;
    this.#cut = true;
    manager.reconnectionDelay(HELD);
    manager.reconnectionDelayMax(HELD);
    manager.randomizationFactor(0);
    manager.engine.close();
  }

  /** Ends the cut at once. */
  mend() {
    this.#socket.disconnect();
    this.#relax();
    this.#tell.state({ name: 'connecting' });
    this.#socket.connect();
  }

  leave() {
    clearTimeout(this.#asking);
    this.#tell = nobody;
    this.#socket.disconnect();
  }

  #relax() {
    const { io: manager } = this.#socket;
    manager.reconnectionDelay(RECONNECTING.delay);
    manager.reconnectionDelayMax(RECONNECTING.max);
    manager.randomizationFactor(RECONNECTING.jitter);
  }

  #connected() {
    this.#cut = false;
    this.#relax();
    this.#ask('server:info', {}).then((answer) => answer.ok && this.#tell.instance(answer));
    this.#join();
  }

  #join() {
    const request = { room: this.#room, ...(this.#since && { since: this.#since }) };
    // In the callback: what comes right after the answer may be handled before a promise of it is.
    this.#socket.timeout(PATIENCE).emit('room:join', request, (error, answer) => {
      if (error || !this.#socket.connected) {
        if (this.#socket.connected) this.#join();
      } else if (answer.ok) this.#entered(answer);
      else if (answer.error.retryAfter === undefined) this.#refuse(answer.error);
      else {
        this.#tell.state({ name: 'waiting', why: answer.error.message });
        setTimeout(() => this.#socket.connected && this.#join(), answer.error.retryAfter);
      }
    });
  }

  #entered({ count, pos, id, recovered, missed = [] }) {
    const away = this.#lostAt === undefined ? undefined : performance.now() - this.#lostAt;
    this.#lostAt = undefined;
    this.#in = true;
    this.#tell.state({ name: 'live' });
    this.#tell.count(count);
    if (this.#everIn) {
      if (recovered) this.#tell.recovered({ away, count: missed.length });
      else
        this.#tell.gap(
          pos === undefined ? 'this room keeps no history' : 'too much was said, or it is not kept any more',
        );
      for (const { event, data, ...meta } of missed) this.#message(event, data, meta, true);
    }
    if (!recovered && pos !== undefined) this.#since = { pos, ...(id !== undefined && { id }) };
    if (!this.#everIn && pos !== undefined) this.earlier();
    this.#everIn = true;
    for (const unsaid of [...this.#unsaid.keys()]) this.#send(unsaid);
    this.#members();
  }

  #heard(event, data, meta) {
    if (event === 'room:gap') this.#tell.gap(data.reason);
    else if (event === 'room:presence') this.#changed(data);
    else if (event === 'room:closed')
      this.#refuse({ code: 'CLOSED', message: data.message ?? data.reason ?? 'the room was closed' });
    else if (event === 'server:drain') this.#tell.state({ name: 'draining' });
    else if (!/^(room|server):/.test(event)) this.#message(event, data, meta ?? {}, false);
  }

  #message(event, data, meta, recovered) {
    if (meta.pos !== undefined) this.#since = { pos: meta.pos, ...(meta.id !== undefined && { id: meta.id }) };
    this.#tell.message({ event, data, ...meta }, recovered);
  }

  async #send(id) {
    const unsaid = this.#unsaid.get(id);
    if (!unsaid) return;
    const { event, data } = unsaid;
    const answer = await this.#ask('room:send', { room: this.#room, event, data, id });
    if (answer.ok) {
      this.#unsaid.delete(id);
      this.#tell.said(id);
    } else if (answer.error.retryAfter !== undefined) {
      setTimeout(() => this.#in && this.#unsaid.has(id) && this.#send(id), answer.error.retryAfter || AGAIN);
    } else if (answer.error.code !== 'LINE') {
      this.#unsaid.delete(id);
      this.#tell.refused(id, answer.error.message);
    }
  }

  #failed(error) {
    // With a code it is a refusal of the gateway, which the same request would meet again.
    const { code, message, retryAfter } = error.data ?? {};
    if (code && code !== 'UNAVAILABLE' && retryAfter === undefined) return this.#refuse({ code, message });
    this.#tell.state({ name: this.#everIn ? 'lost' : 'unreachable', why: message ?? error.message });
    // Socket.IO does not try again where the gateway has said no.
    if (code) setTimeout(() => !this.#socket.connected && this.#socket.connect(), retryAfter ?? AGAIN);
  }

  #disconnected(reason) {
    this.#in = false;
    this.#lostAt ??= performance.now();
    this.#tell.state(this.#cut ? { name: 'cut', until: Date.now() + HELD } : { name: 'lost', why: reason });
    if (reason === 'io server disconnect')
      this.#refuse({ code: 'DISCONNECTED', message: 'the gateway has disconnected you' });
  }

  #refuse({ code, message }) {
    this.#socket.disconnect();
    this.#tell.state({ name: 'refused', code, why: message });
  }

  #changed({ room, count }) {
    if (room !== this.#room) return;
    this.#tell.count(count);
    clearTimeout(this.#asking);
    this.#asking = setTimeout(() => this.#members(), 200);
  }

  /** Not every gateway tells who is there. */
  async #members() {
    if (!this.#presence || !this.#in) return;
    const answer = await this.#ask('room:presence', { room: this.#room });
    if (answer.ok) this.#tell.members(answer);
    else if (answer.error.code === 'BAD_REQUEST') this.#presence = false;
  }

  async #ask(request, body) {
    try {
      return await this.#socket.timeout(PATIENCE).emitWithAck(request, body);
    } catch (error) {
      return { ok: false, error: { code: 'LINE', message: error.message } };
    }
  }
}

const nobody = new Proxy({}, { get: () => () => undefined });

/** `crypto.randomUUID()` is not there on pages without TLS. */
function newId() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
