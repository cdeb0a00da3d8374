/*
 * What a row gets: the brokers, the load, how many rounds are wanted, and somewhere to say how it is getting on. It ends
 * everything that was started through it.
 */
import { randomBytes } from 'node:crypto';
import { testBrokers } from '../scripts/brokers.mjs';
import { Child } from './child.mjs';

export class Bench {
  urls = {};
  #brokers = {};
  #children = new Set();
  #count = 0;
  #run = randomBytes(3).toString('hex');

  /** @param {{ pairs: number, quick: boolean, profile?: string, say: (line: string) => void }} options */
  constructor({ pairs, quick, profile, say }) {
    this.pairs = pairs;
    this.quick = quick;
    /** How the paths of profiles begin, if they are wanted. */
    this.profile = profile;
    this.say = say;
  }

  /** Starts the brokers that are not there yet, and the process that has the clients. */
  async open(names) {
    const { startRedis, startRabbitmq, openGate } = testBrokers();
    this.openGate = openGate;
    const starts = { redis: startRedis, rabbitmq: startRabbitmq };
    for (const name of names.filter((each) => !this.#brokers[each])) {
      this.say(`starting a private ${name}`);
      this.#brokers[name] = await starts[name]();
      this.urls[name] = this.#brokers[name].url;
    }
    this.load ??= this.start('./load.mjs');
  }

  broker(name) {
    return this.#brokers[name];
  }

  start(file, options) {
    const child = new Child(file, options);
    this.#children.add(child);
    return child;
  }

  /** Begins names at the brokers; each is given once. */
  prefix() {
    return `bench-${this.#run}-${++this.#count}.`;
  }

  /** A number for a whole measurement, and a small one for a look whether it runs at all. */
  size(full, quick) {
    return this.quick ? quick : full;
  }

  async close() {
    await Promise.all([...this.#children].map((child) => child.stop()));
    await Promise.all(Object.values(this.#brokers).map((broker) => broker.stop()));
  }
}
