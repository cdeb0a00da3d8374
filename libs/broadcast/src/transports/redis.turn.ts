/*
 * The commands of one turn of the event loop, as one write; and what is published in it, as one command where it is more than
 * one message. What a command costs here and at Redis is mostly its own: the system call, and ioredis' bookkeeping.
 */
import type { Command, Redis } from 'ioredis';
import { asRefusal } from './redis.refusals.js';

/**
 * ARGV: channels and messages, in turn. Answers with the errors of those that had one, behind their numbers. Sent in full each
 * time: one that Redis had to be taught first would come after what was said later.
 */
const PUBLISH_ALL = `
local failed = {}
for i = 1, #ARGV, 2 do
  local answer = redis.pcall('PUBLISH', ARGV[i], ARGV[i + 1])
  if type(answer) == 'table' then
    failed[#failed + 1] = (i - 1) / 2
    failed[#failed + 1] = answer.err
  end
end
return failed`;
/** Messages in a command: Redis does nothing else meanwhile. */
const MOST = 64;
/** Bytes of a message that goes with others: a script has its own copy of each. */
const SMALL = 4_096;

interface Publish {
  readonly channel: string;
  readonly payload: Buffer;
  resolve(): void;
  reject(error: unknown): void;
}

export class RedisTurn {
  readonly #redis: Redis;
  readonly #send: Redis['sendCommand'];
  #gathered: Publish[] = [];
  #isOn = false;

  /** @param redis connected; every command to it keeps its place in the order from now on */
  constructor(redis: Redis) {
    this.#redis = redis;
    this.#send = redis.sendCommand.bind(redis);
    redis.sendCommand = (command: Command, stream) => {
      this.#publish();
      this.#begin();
      return this.#send(command, stream);
    };
  }

  /** Resolves when Redis has it. How many have heard it, `redis.publish()` tells; its place in the order is the same. */
  publish(channel: string, payload: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#begin();
      if (payload.length > SMALL) this.#publish();
      const count = this.#gathered.push({ channel, payload, resolve, reject });
      if (count === MOST || payload.length > SMALL) this.#publish();
    });
  }

  #begin(): void {
    if (this.#isOn) return;
    this.#isOn = true;
    const { stream } = this.#redis as Partial<Redis>;
    stream?.cork();
    setImmediate(() => {
      this.#publish();
      this.#isOn = false;
      stream?.uncork();
    });
  }

  /** Sends what has been gathered. */
  #publish(): void {
    if (this.#gathered.length === 0) return;
    const all = this.#gathered;
    this.#gathered = [];
    const refuse = (error: unknown) => all.forEach((each) => each.reject(asRefusal(error)));
    const [first] = all;
    if (all.length === 1 && first) {
      this.#redis.publish(first.channel, first.payload).then(() => first.resolve(), refuse);
      return;
    }
    const args: (string | Buffer)[] = [PUBLISH_ALL, '0'];
    for (const { channel, payload } of all) args.push(channel, payload);
    this.#redis.call('EVAL', args).then((failed) => {
      const errors = failed as (number | string)[];
      for (let i = 0; i < errors.length; i += 2) all[errors[i] as number]?.reject(new Error(String(errors[i + 1])));
      // Those are settled.
      for (const each of all) each.resolve();
    }, refuse);
  }
}
