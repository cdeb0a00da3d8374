/*
 * The books of a soak: what was acknowledged against what each client received. In a room with history every client
 * receives every acknowledged message once and in order, or is told that this cannot be promised.
 */

/**
 * What one client heard of one room between two moments at which it was told that messages may be missing.
 *
 * @typedef {{ from?: string, openedAt: number, closedAt?: number, entries: { id: string, pos: string, at: number, how: string }[] }} Span
 */

/** One client in one room: its place, and what it has heard. */
export class Account {
  /** @type {Span[]} */
  spans = [];
  /** Where it was last: what it resumes from. @type {{ pos: string, id?: string } | undefined} */
  last;
  /** By epoch and id: in another log, whose history is gone, it is said anew, and everyone has been told. */
  #heard = new Set();
  #ledger;

  constructor(ledger, client, room) {
    this.#ledger = ledger;
    this.client = client;
    this.room = room;
  }

  /** It has entered the room anew, at this place. */
  enter(mark) {
    this.#open(mark.pos);
    this.last = mark;
  }

  /** It was told that messages may be missing. With a place: those up to there. */
  told(how, mark) {
    this.#ledger.counts.gaps++;
    this.#ledger.note(this, `told of a gap by ${how}`);
    this.#open(mark?.pos);
    if (mark) this.last = mark;
  }

  /** @param {'live' | 'missed'} how */
  take({ id, pos }, how) {
    const { counts } = this.#ledger;
    counts.delivered++;
    if (how === 'missed') counts.missed++;
    const span = this.spans.at(-1);
    if (!span) return this.#ledger.complain('disorder', this, id, pos, 'arrived before the answer of the join');
    if (this.has(id, pos)) return this.#ledger.complain('doubled', this, id, pos, `arrived again (${how})`);
    this.#heard.add(`${split(pos).epoch}\n${id}`);
    const before = span.entries.at(-1)?.pos ?? span.from;
    if (before !== undefined && !isAfter(pos, before)) {
      this.#ledger.complain('disorder', this, id, pos, `arrived after ${before} (${how})`);
    }
    span.entries.push({ id, pos, at: Date.now(), how });
    this.last = { id, pos };
    this.#ledger.place(this.room, id, pos, this);
  }

  /** Whether it has heard a message of the log that the position is of. */
  has(id, pos) {
    return this.#heard.has(`${split(pos).epoch}\n${id}`);
  }

  #open(from) {
    const now = Date.now();
    const open = this.spans.at(-1);
    if (open) open.closedAt = now;
    this.spans.push({ from, openedAt: now, entries: [] });
  }
}

export class Ledger {
  counts = { sent: 0, acknowledged: 0, unavailable: 0, delivered: 0, missed: 0, gaps: 0, reconnects: 0 };
  /** @type {{ kind: 'lost' | 'doubled' | 'disorder', text: string }[]} */
  complaints = [];
  /** What happened besides messages, for whoever looks for a cause. @type {{ at: number, text: string, client?: string, room?: string }[]} */
  notes = [];
  /** @type {Account[]} */
  #accounts = [];
  /** By room and id: when it was first sent, when it was acknowledged, and where it is in each log. */
  #said = new Map();
  #startedAt = Date.now();

  account(client, room) {
    const account = new Account(this, client, room);
    this.#accounts.push(account);
    return account;
  }

  note({ client, room } = {}, text) {
    this.notes.push({ at: Date.now(), client, room, text });
  }

  sending(room, id) {
    this.counts.sent++;
    this.#of(room, id).sentAt = Date.now();
  }

  acknowledged(room, id, pos) {
    this.counts.acknowledged++;
    this.#of(room, id).acknowledgedAt = Date.now();
    if (pos !== undefined) this.place(room, id, pos, { client: 'the answer', room });
  }

  /** All who name the place of a message name the same. */
  place(room, id, pos, account) {
    const said = this.#of(room, id);
    const { epoch } = split(pos);
    const known = said.places.get(epoch);
    if (known === undefined) said.places.set(epoch, pos);
    else if (known !== pos) this.complain('disorder', account, id, pos, `was at ${known} for others`);
  }

  /** Where a message is in the newest log that has it. */
  placeOf(room, id) {
    return [...this.#of(room, id).places.values()].at(-1);
  }

  complain(kind, { client, room }, id, pos, what) {
    const seconds = (this.#now() / 1_000).toFixed(1);
    this.complaints.push({ kind, text: `${seconds} s: ${client} in ${room}: ${id} at ${pos} ${what}`, client, room });
  }

  /** Looks for what was acknowledged and never came. */
  close() {
    const byRoom = new Map();
    for (const said of this.#said.values()) {
      if (said.acknowledgedAt !== undefined) byRoom.set(said.room, [...(byRoom.get(said.room) ?? []), said]);
    }
    for (const account of this.#accounts) {
      for (const said of byRoom.get(account.room) ?? []) {
        // What nobody has ever seen: whoever was there all the time should have.
        const owed = said.places.size === 0 ? [undefined] : [...said.places.values()];
        const missing = owed
          .filter((pos) => pos === undefined || !account.has(said.id, pos))
          .map((pos) => ({ pos, span: account.spans.find((each) => belongs(said, pos, each)) }))
          .find(({ span }) => span !== undefined);
        if (!missing) continue;
        const { pos, span } = missing;
        const sent = ((said.sentAt - this.#startedAt) / 1_000).toFixed(1);
        const got = ((said.acknowledgedAt - this.#startedAt) / 1_000).toFixed(1);
        const around = neighbours(span, pos, this.#startedAt);
        this.complain('lost', account, said.id, pos, `never came; sent at ${sent}, acknowledged at ${got}; ${around}`);
      }
    }
  }

  count(kind) {
    return this.complaints.filter((each) => each.kind === kind).length;
  }

  /** What was noted of a client's room, and of everyone. */
  notesOf({ client, room }) {
    return this.notes
      .filter((note) => note.client === undefined || (note.client === client && (note.room ?? room) === room))
      .map(({ at, text }) => `${((at - this.#startedAt) / 1_000).toFixed(1)} s: ${text}`);
  }

  #of(room, id) {
    const key = `${room}\n${id}`;
    let said = this.#said.get(key);
    if (!said) this.#said.set(key, (said = { room, id, places: new Map() }));
    return said;
  }

  #now() {
    return Date.now() - this.#startedAt;
  }
}

/** Whether it would have had to come within the span. */
function belongs({ sentAt, acknowledgedAt }, pos, { from, openedAt, closedAt, entries }) {
  const first = from ?? entries[0]?.pos;
  const last = entries.at(-1)?.pos;
  if (pos === undefined) return openedAt < sentAt && (closedAt ?? Infinity) > acknowledgedAt;
  return first !== undefined && last !== undefined && isAfter(pos, first) && isAfter(last, pos);
}

function neighbours({ entries }, pos, startedAt) {
  const next = pos === undefined ? -1 : entries.findIndex((each) => isAfter(each.pos, pos));
  if (next < 0) return 'nobody heard it';
  const show = (entry) =>
    entry ? `${entry.pos} (${entry.how}, ${((entry.at - startedAt) / 1_000).toFixed(2)})` : 'the start';
  return `between ${show(entries[next - 1])} and ${show(entries[next])}`;
}

function isAfter(one, other) {
  const [a, b] = [split(one), split(other)];
  return a.epoch === b.epoch && a.offset > b.offset;
}

function split(pos) {
  const dot = pos.lastIndexOf('.');
  return { epoch: pos.slice(0, dot), offset: Number(pos.slice(dot + 1)) };
}
