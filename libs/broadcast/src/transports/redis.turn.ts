/*
 * The commands of one turn of the event loop, as one write; and what is published in it, as one command where it is more than
 * one message. What a command costs here and at Redis is mostly its own: the system call, and ioredis' bookkeeping.
 */
import type { Command, Redis } from 'ioredis';

/**
 * ARGV: channels and messages, in turn. Answers with what each PUBLISH does: the number of those who heard it, or its error. Sent
 * in full each time: one that Redis had to be taught first would come after what was said later.
 */
const PUBLISH_ALL = `
local answers = {}
for i = 1, #ARGV, 2 do
  local answer = redis.pcall('PUBLISH', ARGV[i], ARGV[i + 1])
  answers[#answers + 1] = type(answer) == 'table' and answer.err or answer
end
return answers`;
/** Messages in a command: Redis does nothing else meanwhile. */
const MOST = 64;
/** Bytes of a message that goes with others: a script has its own copy of each. */
const SMALL = 4_096;

interface Publish {
  readonly channel: string;
  readonly payload: Buffer;
  resolve(heard: number): void;
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

  /** Resolves with how many have heard it. */
  publish(channel: string, payload: Buffer): Promise<number> {
    if (payload.length > SMALL) return this.#redis.publish(channel, payload);
    return new Promise((resolve, reject) => {
      this.#begin();
      if (this.#gathered.push({ channel, payload, resolve, reject }) === MOST) this.#publish();
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
    const refuse = (error: unknown) => all.forEach((each) => each.reject(error));
    const [first] = all;
    if (all.length === 1 && first) {
      this.#redis.publish(first.channel, first.payload).then(first.resolve, refuse);
      return;
    }
    const args = all.flatMap(({ channel, payload }) => [channel, payload]);
    this.#redis.call('EVAL', [PUBLISH_ALL, 0, ...args]).then((answers) => {
      all.forEach((each, index) => {
        const answer = (answers as (number | string)[])[index];
        if (typeof answer === 'number') each.resolve(answer);
        else each.reject(new Error(answer));
      });
    }, refuse);
  }
}
