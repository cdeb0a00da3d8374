/*
 * Two clients who behave, and talk to each other for as long as strangers do their worst. A word that does not arrive in
 * time is a finding.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';

export const PAIR_ROOM = 'pair:talk';
/** Longest time that a word may be under way, in ms. */
const PATIENCE = 10_000;
const PAUSE = 100;

export class Pair {
  words = 0;
  /** Longest time that a word was under way, in ms. */
  longest = 0;
  /** How often one of them was put out of the gateway: who reaches the broker may order so. */
  putOut = 0;
  #clients;
  #tally;
  #heard = new Set();
  #talking;
  #stopped = false;

  /** @param {(user: string) => Promise<string>} tokenOf */
  constructor(url, tally, tokenOf) {
    this.#tally = tally;
    this.#clients = ['pair-1', 'pair-2'].map((user) =>
      io(url, { auth: (answer) => void tokenOf(user).then((token) => answer({ token })), reconnectionDelayMax: 500 }),
    );
    for (const client of this.#clients) {
      client.on('word', (word) => this.#heard.add(word));
      client.on('connect', () => client.emit('room:join', { room: PAIR_ROOM }));
      client.on('disconnect', (reason) => {
        if (this.#stopped) return;
        this.putOut++;
        if (reason === 'io server disconnect') setTimeout(() => this.#stopped || client.connect(), PAUSE);
      });
    }
  }

  async start() {
    await Promise.all(
      this.#clients.map(async (client) => {
        await new Promise((resolve) => client.once('connect', resolve));
        await client.emitWithAck('room:join', { room: PAIR_ROOM });
      }),
    );
    this.#talking = this.#talk();
  }

  async #talk() {
    for (; !this.#stopped; await sleep(PAUSE)) await this.exchange();
  }

  /** A word goes from the one to the other. */
  async exchange() {
    const word = `word ${++this.words}`;
    const [one] = this.words % 2 ? this.#clients : [...this.#clients].reverse();
    const begun = Date.now();
    let answer;
    while (Date.now() - begun < PATIENCE) {
      answer = await one
        .timeout(1_000)
        .emitWithAck('room:send', { room: PAIR_ROOM, event: 'word', data: word })
        .catch((error) => error.message);
      for (let i = 0; i < 50 && answer?.ok && !this.#heard.has(word); i++) await sleep(10);
      if (this.#heard.delete(word)) break;
      // Out of the room, for example: whoever reaches the broker may have ordered so.
      for (const client of this.#clients) client.emit('room:join', { room: PAIR_ROOM });
      await sleep(PAUSE);
      if (this.#stopped) return;
    }
    const took = Date.now() - begun;
    this.longest = Math.max(this.longest, took);
    if (took >= PATIENCE) {
      this.#tally.find(`the pair did not hear each other within ${PATIENCE} ms: ${JSON.stringify(answer)}`, word);
    }
  }

  async stop() {
    await this.exchange();
    this.#stopped = true;
    await this.#talking;
    for (const client of this.#clients) client.disconnect();
  }
}
