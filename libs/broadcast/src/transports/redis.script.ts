/*
 * What Redis does in one step: a script, sent by its hash, and in full where Redis does not know it.
 */
import { createHash } from 'node:crypto';
import type { Redis } from 'ioredis';
import { asRefusal } from './redis.refusals.js';

export type ScriptArgs = readonly (string | number | Buffer)[];

/** What ioredis has and its types have not. (`callBuffer` loses the command's name where commands are pipelined.) */
type Scripted = (script: string, keys: number, ...args: ScriptArgs) => Promise<unknown>;

export class Script {
  readonly source: string;
  readonly #hash: string;

  constructor(source: string) {
    this.source = source;
    this.#hash = createHash('sha1').update(source).digest('hex');
  }

  /** Texts in the answer are buffers. Rejects with a `BrokerRefusal` for what Redis refuses. */
  async run(redis: Redis, keys: readonly string[], args: ScriptArgs): Promise<unknown> {
    const scripted = redis as Redis & Record<'evalBuffer' | 'evalshaBuffer', Scripted>;
    try {
      return await scripted.evalshaBuffer(this.#hash, keys.length, ...keys, ...args);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw asRefusal(error);
      return scripted.evalBuffer(this.source, keys.length, ...keys, ...args).catch((thrown: unknown) => {
        throw asRefusal(thrown);
      });
    }
  }
}
