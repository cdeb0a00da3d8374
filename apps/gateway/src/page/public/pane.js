/*
 * A pane: the form that lets one in, and behind it a room. Joins a session to the document.
 */
import { originOf } from './addresses.js';
import { Chart } from './charts.js';
import { Figures, milliseconds, percentile } from './figures.js';
import { Session } from './session.js';
import { Talk } from './talk.js';

/** Ms between two numbers of somebody who counts. */
const BEAT = 200;
/** Names of members that are shown; of the others only the number. */
const SHOWN = 12;
/** Own round trips that the percentiles are taken from. */
const ECHOES = 500;

/** What a name is, by who may enter. */
const ACCESS = {
  guests: 'A name that begins with guest- will do, or a token.',
  tokens: 'You need a token, which says who you are.',
};
const TOKENLESS = 'You need a token here: ask whoever runs this service for one, and put it below “Use a token”.';

export class Pane {
  element;
  /** What it is called on a phone, where one pane is seen at a time. */
  name = '';
  #around;
  #session;
  #talk;
  #charts;
  #figures = new Figures();
  #echoes = [];
  #saidAt = new Map();
  #entered = {};
  #beat;
  #n = 0;
  #countdown;

  /** @param around `remove(pane)`, `renamed()`, `elsewhere(pane, origin)`: the page has to be loaded again for that one */
  constructor(template, { user, room, address, ...around }) {
    this.element = template.content.firstElementChild.cloneNode(true);
    this.#around = around;
    const form = this.#find('.entrance');
    form.user.value = user;
    form.room.value = room;
    form.address.value = address;
    form.addEventListener('submit', (event) => this.#submit(event));
    const [list, scroll, newest, empty] = ['.talk', '.scroll', '.newest', '.empty'].map((name) => this.#find(name));
    this.#talk = new Talk({ list, scroll, newest, empty });
    this.#find('.composer').addEventListener('submit', (event) => this.#say(event));
    this.element.addEventListener('click', ({ target }) => this.#do(target.closest('[data-do]')?.dataset.do));
    this.#charts = {
      rate: new Chart(this.#find('[data-chart=rate]'), ['rate']),
      latency: new Chart(this.#find('[data-chart=latency]'), ['p50', 'p99']),
    };
    const { access } = document.documentElement.dataset;
    if (Object.hasOwn(ACCESS, access)) this.#show('access', ACCESS[access]);
    this.#find('details').open = access === 'tokens';
    this.#rename(originOf(address, location) ?? address);
  }

  /** Where it sits, and in which room, if it is in one. */
  get place() {
    const { address, room } = this.#find('.entrance');
    return { origin: originOf(address.value, location), room: this.#session && room.value };
  }

  focus() {
    this.#find(this.#session ? '.composer input' : '.entrance input').focus();
  }

  /** Enters the room that the form names. */
  enter() {
    const form = this.#find('.entrance');
    const [user, room, token] = [form.user.value.trim(), form.room.value.trim(), form.token.value.trim()];
    const address = originOf(form.address.value, location);
    if (address === undefined)
      return this.#refuse('Gateway: expected an address such as http://127.0.0.1:3001, or a port');
    const wrong = [
      [user, 'Your name'],
      [room, 'Room'],
    ].find(([value, what]) => !/^[\w:.@-]{1,128}$/.test(value) && !(what === 'Your name' && token));
    if (wrong) return this.#refuse(`${wrong[1]}: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -`);
    this.#refuse('');
    this.#entered = { user, room, address };
    this.#figures = new Figures();
    this.#echoes = [];
    this.#talk.clear(user);
    this.#show('room', room);
    // Until it says who it is.
    this.#show('instance', new URL(address).host);
    this.#show('place', new URL(address).host);
    this.#members([]);
    this.#inside(true);
    this.#session = new Session(
      { address, user, room, token },
      {
        state: (state) => this.#state(state),
        instance: (info) => this.#instance(info),
        message: (message, recovered) => this.#hear(message, recovered),
        recovered: ({ away, count }) => this.#recovered(away, count),
        gap: (reason) => this.#gap(reason),
        history: ({ messages, complete }) => this.#history(messages, complete),
        members: ({ members, count }) => {
          this.#counted(count);
          this.#members(members);
        },
        count: (count) => this.#counted(count),
        said: () => undefined,
        refused: (id, why) => this.#talk.refuse(id, why),
      },
    );
    return true;
  }

  /** A second is over. */
  tick() {
    if (!this.#session) return;
    this.#figures.tick();
    const { seconds, recovered, gaps } = this.#figures;
    const latest = seconds.slice(-3);
    const rate = latest.reduce((sum, second) => sum + second.rate, 0) / latest.length;
    this.#show('rate', rate >= 10 || rate === 0 ? Math.round(rate) : rate.toFixed(1));
    const [p50, p99] = [50, 99].map((percent) => milliseconds(percentile(this.#echoes, percent)));
    this.#show('latency', this.#echoes.length > 0 ? `${p50} / ${p99}` : '–');
    this.#show('recovered', recovered);
    this.#show('gaps', gaps);
    for (const chart of Object.values(this.#charts)) chart.draw(seconds);
  }

  leave() {
    this.#session?.leave();
    this.#session = undefined;
    this.#stopCounting();
    clearInterval(this.#countdown);
    this.#inside(false);
    this.#state({ name: 'out' });
  }

  /** The browser keeps the page from connecting there. */
  blocked(origin) {
    if (!this.#session || this.#entered.address !== origin) return;
    this.#turnAway(`This page connects to gateways of its own host. For ${origin}, name that in CORS_ORIGINS here.`);
  }

  get #isLive() {
    return this.element.dataset.state === 'live';
  }

  #submit(event) {
    event.preventDefault();
    const { origin } = this.place;
    if (origin !== undefined && origin !== location.origin && !this.#around.reachable(origin)) {
      return this.#around.elsewhere(this, origin);
    }
    if (this.enter()) this.focus();
  }

  #say(event) {
    event.preventDefault();
    const { text } = event.target;
    const said = text.value.trim();
    if (said === '') return;
    text.value = '';
    this.#talk.say(this.#send('chat', { text: said }), said);
  }

  #send(event, data) {
    const id = this.#session.say(event, data);
    // What waits for the line to come back tells nothing about the way.
    if (this.#isLive) this.#saidAt.set(id, performance.now());
    return id;
  }

  #do(what) {
    switch (what) {
      case 'cut':
        return this.element.dataset.state === 'cut' ? this.#session.mend() : this.#session.cut();
      case 'leave':
        this.leave();
        return this.focus();
      case 'remove':
        return this.#around.remove(this);
      case 'earlier':
        return this.#session.earlier(this.#talk.first);
      case 'counting':
        return this.#beat ? this.#stopCounting() : this.#startCounting();
    }
  }

  #startCounting() {
    this.#find('[data-do=counting]').setAttribute('aria-pressed', 'true');
    this.#beat = setInterval(() => this.#send('count', { n: ++this.#n }), BEAT);
  }

  #stopCounting() {
    this.#find('[data-do=counting]').setAttribute('aria-pressed', 'false');
    clearInterval(this.#beat);
    this.#beat = undefined;
  }

  #hear(message, recovered) {
    if (!this.#talk.hear(message, recovered)) return;
    this.#figures.heard();
    const saidAt = this.#saidAt.get(message.id);
    this.#saidAt.delete(message.id);
    if (saidAt === undefined || recovered) return;
    const took = performance.now() - saidAt;
    this.#figures.echo(took);
    this.#echoes.push(took);
    if (this.#echoes.length > ECHOES) this.#echoes.shift();
  }

  #recovered(away, count) {
    this.#figures.recovered += count;
    const time = away === undefined ? '' : ` after ${(away / 1_000).toFixed(1)} s`;
    const what =
      count === 0 ? 'nothing was missed' : `${count} missed ${count === 1 ? 'message' : 'messages'} recovered`;
    this.#talk.note('recovered', `Back${time}: ${what}`);
  }

  #gap(reason) {
    this.#figures.gaps++;
    this.#talk.note('gap', `Gap: ${reason}`);
  }

  #history(messages, complete) {
    this.#talk.prepend(messages);
    this.#find('.earlier').hidden = complete || messages.length === 0;
  }

  #instance({ instance, transport }) {
    this.#show('instance', instance);
    this.#show('place', `${new URL(this.#entered.address).host} over ${transport}`);
    this.#rename(instance);
  }

  #state({ name, why, until, code }) {
    const before = this.element.dataset.state;
    this.element.dataset.state = name;
    const button = this.#find('[data-do=cut]');
    button.textContent = name === 'cut' ? 'Mend it now' : 'Cut the line';
    button.disabled = name !== 'live' && name !== 'cut';
    clearInterval(this.#countdown);
    if (name !== 'live') this.#saidAt.clear();
    if (name === 'refused') {
      const isTokenless = code === 'UNAUTHENTICATED' && why.startsWith('a token is needed');
      return this.#turnAway(isTokenless ? TOKENLESS : why);
    }
    if (name === 'cut') {
      this.#talk.note('line', 'The line is cut');
      const left = () => Math.max(0, Math.ceil((until - Date.now()) / 1_000));
      const tell = () => this.#tellState('The line is cut.', `It mends itself in ${left()} s.`);
      this.#countdown = setInterval(tell, 1_000);
      return tell();
    }
    if (name === 'lost' && before === 'live') this.#talk.note('line', 'The line is lost');
    this.#tellState(
      {
        connecting: 'Connecting …',
        live: '',
        lost: 'The line is lost. Trying again …',
        unreachable: `No gateway answers there (${why}). Trying again …`,
        waiting: `${why}. Trying again …`,
        draining: 'This instance is shutting down: the next one takes over …',
      }[name] ?? '',
    );
  }

  /** @param countdown what changes every second, which nobody wants to be read aloud */
  #tellState(text, countdown = '') {
    this.#show('state', text);
    this.#show('countdown', countdown);
    this.#find('.state').hidden = text === '';
  }

  /** Back to the form, which says why. */
  #turnAway(why) {
    this.leave();
    const isOfToken = /token/i.test(why);
    if (isOfToken) this.#find('details').open = true;
    this.#refuse(why);
    this.#find(isOfToken ? '.entrance textarea' : '.entrance input').focus();
  }

  #refuse(why) {
    const place = this.#find('.refusal');
    place.textContent = why;
    place.hidden = why === '';
  }

  #counted(count) {
    this.#show('count', `${count} here`);
  }

  /** Names, or what they belong to. */
  #members(members = []) {
    const names = [
      ...new Set(members.map((member) => (typeof member === 'string' ? member : member?.user)).filter(Boolean)),
    ];
    const shown = names.slice(0, SHOWN).map((name) => {
      const item = document.createElement('li');
      item.textContent = name;
      if (name === this.#entered.user)
        item.append(Object.assign(document.createElement('span'), { textContent: ' (you)' }));
      return item;
    });
    if (names.length > SHOWN)
      shown.push(Object.assign(document.createElement('li'), { textContent: `+${names.length - SHOWN}` }));
    const list = this.#find('.members');
    list.replaceChildren(...shown);
    list.hidden = shown.length === 0;
  }

  #inside(inside) {
    this.#find('.entrance').hidden = inside;
    this.#find('.inside').hidden = !inside;
  }

  #rename(name) {
    this.name = name;
    this.element.setAttribute('aria-label', `Pane on ${name}`);
    this.#around.renamed?.();
  }

  #show(what, text) {
    const place = this.#find(`[data-show=${what}]`);
    if (place.textContent !== String(text)) place.textContent = text;
  }

  #find(selector) {
    return this.element.querySelector(selector);
  }
}
