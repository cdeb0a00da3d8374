/*
 * The conversation: what was said, by whom, and what happened to the line. Text is only ever text.
 */

/** Lines that are kept on the page. */
const MOST = 400;
/** Messages of one person within so many ms stand under one name. */
const TOGETHER = 60_000;
const NEAR = 48;

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });

export class Talk {
  #list;
  #scroll;
  #newest;
  #empty;
  #me;
  /** Ids of messages that are here. */
  #known = new Set();
  /** Lines of what was said here and has not come back yet, by id. */
  #waiting = new Map();
  /** Counting that goes on in one line, by who counts. */
  #counting = new Map();
  /** The last number that somebody counted to. */
  #counted = new Map();
  #last;
  #first;
  /** Whether what is new comes into sight: until somebody scrolls away from the end. */
  #follows = true;
  #top = 0;

  constructor({ list, scroll, newest, empty }) {
    this.#list = list;
    this.#scroll = scroll;
    this.#newest = newest;
    this.#empty = empty;
    scroll.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    newest.addEventListener('click', () => this.toEnd());
    // It becomes smaller when what is above it wraps, and its lines become longer when it becomes narrower.
    const sizes = new ResizeObserver(() => this.#follows && this.toEnd());
    for (const each of [scroll, list]) sizes.observe(each);
  }

  /** Begins anew, for somebody. */
  clear(me) {
    this.#me = me;
    this.#list.replaceChildren();
    for (const map of [this.#known, this.#waiting, this.#counting, this.#counted]) map.clear();
    this.#last = this.#first = undefined;
    this.#newest.hidden = true;
    this.#follows = true;
    this.#empty.hidden = false;
  }

  /** The position of the first message that is here. */
  get first() {
    return this.#first;
  }

  /** One's own, before it has come back. */
  say(id, text) {
    const line = this.#line({ from: this.#me, at: Date.now(), text, id });
    line.dataset.waiting = '';
    this.#waiting.set(id, line);
    this.#append(line);
    this.toEnd();
  }

  /** It will not come. */
  refuse(id, why) {
    const line = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (!line) return this.note('gap', `Not sent: ${why}`);
    delete line.dataset.waiting;
    line.dataset.refused = '';
    line.append(element('p', 'why', `Not sent: ${why}`));
  }

  /** @returns whether it was not here yet */
  hear(message, recovered) {
    const { id, pos, from } = message;
    if (id !== undefined && this.#known.has(id)) return false;
    this.#know(id);
    this.#first ??= pos;
    const own = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (message.event === 'count' && Number.isInteger(message.data?.n)) this.#count(from, message.data.n, recovered);
    else if (own) this.#settle(own, message);
    else this.#append(this.#line({ ...message, text: textOf(message), recovered }));
    return true;
  }

  /** What was said before all that is here. */
  prepend(messages) {
    const fresh = messages.filter(({ id }) => id === undefined || !this.#known.has(id));
    const height = this.#scroll.scrollHeight;
    const lines = [];
    const last = this.#last;
    this.#last = undefined;
    for (const message of fresh) {
      this.#know(message.id);
      const { n } = message.data ?? {};
      const counting = message.event === 'count' && Number.isInteger(n);
      const before = lines.at(-1);
      if (counting && before?.counter === message.from && n === before.to + 1) before.to = n;
      else if (counting) lines.push({ counter: message.from, start: n, to: n });
      else lines.push({ line: this.#line({ ...message, text: textOf(message) }) });
    }
    if (fresh[0]?.pos !== undefined) this.#first = fresh[0].pos;
    const elements = lines.map(({ line, counter, start, to }) => line ?? countLine({ from: counter, start, to }));
    this.#list.prepend(...elements);
    this.#last = last ?? this.#last;
    this.#empty.hidden ||= elements.length > 0;
    if (this.#follows) this.toEnd();
    else this.#scroll.scrollTop += this.#scroll.scrollHeight - height;
  }

  /** Something happened to the line. `kind`: `recovered`, `gap` or `line`. */
  note(kind, text) {
    const line = element('li', 'note');
    line.dataset.kind = kind;
    line.append(element('span', '', text));
    this.#append(line);
    this.#last = undefined;
  }

  toEnd() {
    this.#scroll.scrollTop = this.#scroll.scrollHeight;
    this.#follows = true;
    this.#newest.hidden = true;
  }

  #know(id) {
    if (id === undefined) return;
    this.#known.add(id);
    if (this.#known.size > 5_000) this.#known.delete(this.#known.values().next().value);
  }

  /** Its place is where it came back, as for everyone else. */
  #settle(line, { at, from }) {
    delete line.dataset.waiting;
    // With a token, that says who one is.
    this.#me = from ?? this.#me;
    line.querySelector('.from').textContent = this.#me;
    line.querySelector('time')?.replaceWith(timeOf(at));
    if (line === this.#list.lastElementChild) return;
    delete line.dataset.follows;
    this.#last = { from: this.#me, at };
    this.#append(line);
  }

  /** Numbers that follow each other are one line; one that is left out shows. */
  #count(from, n, recovered) {
    const last = this.#counted.get(from);
    this.#counted.set(from, n);
    if (last !== undefined && n > last + 1) {
      this.note(
        'gap',
        `${from} counted on to ${n}: ${last + 1 === n - 1 ? n - 1 : `${last + 1} to ${n - 1}`} not heard`,
      );
    }
    const open = this.#counting.get(from);
    if (open && open.recovered === recovered && n === open.to + 1) {
      open.to = n;
      open.line.querySelector('b').textContent = `${open.start} – ${n}`;
      this.#moved();
      return;
    }
    const line = countLine({ from, start: n, to: n, recovered });
    this.#append(line);
    this.#counting.set(from, { line, start: n, to: n, recovered });
    this.#last = undefined;
  }

  #line({ from, at, text, recovered, event }) {
    const mine = from !== undefined && from === this.#me;
    const line = element('li', mine ? 'said mine' : 'said');
    if (recovered) line.dataset.recovered = '';
    const follows = this.#last?.from === from && at - this.#last.at < TOGETHER && this.#last.recovered === recovered;
    if (follows) line.dataset.follows = '';
    const head = element('p', 'head');
    head.append(element('span', 'from', from ?? 'a service'), ' ', timeOf(at));
    if (recovered) head.append(element('span', 'badge', 'recovered'));
    line.append(head, element('p', event === 'chat' || event === undefined ? 'text' : 'text data', text));
    this.#last = { from, at, recovered };
    return line;
  }

  #append(line) {
    if (!line.classList.contains('counting')) this.#counting.clear();
    this.#list.append(line);
    this.#empty.hidden = true;
    while (this.#list.childElementCount > MOST) this.#list.firstElementChild.remove();
    this.#moved();
  }

  #moved() {
    if (this.#follows) this.toEnd();
    else this.#newest.hidden = false;
  }

  /** Only people scroll back; that the end has moved on since the last time is no scrolling away. */
  #scrolled() {
    const { scrollTop } = this.#scroll;
    if (this.#atEnd()) {
      this.#follows = true;
      this.#newest.hidden = true;
    } else if (scrollTop < this.#top) this.#follows = false;
    this.#top = scrollTop;
  }

  #atEnd() {
    const { scrollHeight, scrollTop, clientHeight } = this.#scroll;
    return scrollHeight - scrollTop - clientHeight < NEAR;
  }
}

function countLine({ from, start, to, recovered }) {
  const line = element('li', 'counting');
  // A screen reader would read all the numbers.
  line.setAttribute('aria-live', 'off');
  if (recovered) line.dataset.recovered = '';
  const numbers = element('b', '', start === to ? String(start) : `${start} – ${to}`);
  line.append(element('span', 'from', from ?? 'a service'), ' counts ', numbers);
  if (recovered) line.append(' ', element('span', 'badge', 'recovered'));
  return line;
}

function textOf({ event, data }) {
  if (event === 'chat' && typeof data?.text === 'string') return data.text;
  if (event === 'chat' && typeof data === 'string') return data;
  return `${event} ${JSON.stringify(data) ?? ''}`;
}

function timeOf(at) {
  const date = new Date(at);
  const time = element('time', '', Number.isNaN(date.getTime()) ? '' : clock.format(date));
  if (time.textContent) time.dateTime = date.toISOString();
  return time;
}

function element(name, className = '', text = '') {
  const made = document.createElement(name);
  if (className) made.className = className;
  if (text) made.textContent = text;
  return made;
}
