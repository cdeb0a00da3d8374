/*
 * Taking what is in a queue of dead letters: for good, or to look at it.
 *
 * A channel of RabbitMQ keeps to itself what is acknowledged beyond 32 commands that the queue has not confirmed yet, and
 * forgets it when it is closed: of 100 letters that were acknowledged one by one, 67 were there again.
 *
 * What is given back goes behind all that was given back before, so whoever only looks takes all of them. They keep their
 * order if one consumer had them, and they return with the end of its channel: several at once that are refused do not.
 */
import type { Channel, ConsumeMessage } from 'amqplib';
import { deadline } from '../deadline.js';

const PAGE = 500;
/** What one consumer can have. */
const MOST = 65_535;
/** Acknowledgements that a channel passes on at once. */
const AT_ONCE = 30;
/** So many ms without a letter: others are taking them too. */
const QUIET = 1_000;

/**
 * Hands those that are ready now to `use`, the oldest first, a page at a time; they are gone when it has resolved. Resolves
 * with how many.
 */
export async function takeAway(
  channel: Channel,
  queue: string,
  limit: number,
  use: (letters: readonly ConsumeMessage[]) => Promise<unknown>,
): Promise<number> {
  const count = Math.min(limit, (await channel.checkQueue(queue)).messageCount);
  let taken = 0;
  while (taken < count) {
    const wanted = Math.min(PAGE, count - taken);
    const page: ConsumeMessage[] = [];
    await receive(channel, queue, wanted, (letter) => page.push(letter));
    if (page.length > 0) await use(page);
    // With all before it: one command.
    if (page.length > 0) channel.ack(page.at(-1)!, true);
    taken += page.length;
    if (page.length < wanted) break;
  }
  return taken;
}

/** Shows those that are ready now, the oldest first. They are back when the channel is closed. Resolves with how many. */
export async function look(channel: Channel, queue: string, see: (letter: ConsumeMessage) => unknown): Promise<number> {
  const count = Math.min(MOST, (await channel.checkQueue(queue)).messageCount);
  return count === 0 ? 0 : receive(channel, queue, count, see);
}

/** Resolves when the queue has heard it: the channel may be closed. */
export async function acknowledge(channel: Channel, queue: string, letters: readonly ConsumeMessage[]): Promise<void> {
  await channel.prefetch(1);
  for (let i = 0; i < letters.length; i += AT_ONCE) {
    for (const letter of letters.slice(i, i + AT_ONCE)) channel.ack(letter);
    // The queue answers this one, and has answered all that came before it.
    const { consumerTag } = await channel.consume(queue, () => undefined);
    await channel.cancel(consumerTag);
  }
}

/** So many, or as many as come. Resolves with how many. */
async function receive(
  channel: Channel,
  queue: string,
  count: number,
  see: (letter: ConsumeMessage) => unknown,
): Promise<number> {
  let seen = 0;
  let over = false;
  let complete!: () => void;
  const all = new Promise<void>((resolve) => (complete = resolve));
  await channel.prefetch(count);
  const { consumerTag } = await channel.consume(queue, (letter) => {
    if (letter) see(letter);
    else over = true;
    if (over || ++seen >= count) complete();
  });
  for (let before = -1; seen > before && seen < count && !over;) {
    before = seen;
    await deadline(all, QUIET, 'taking').catch(() => undefined);
  }
  await channel.cancel(consumerTag);
  return seen;
}
