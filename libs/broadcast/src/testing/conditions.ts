/*
 * Waiting for what has to become true, instead of for time to pass.
 */
import type { Bus } from '../bus.js';
import type { Subscription } from '../subscriptions.js';
import type { Channel } from '../transport.js';

/** Resolves as soon as `condition` holds. Rejects after `timeout` ms, saying what did not become true. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 15_000,
): Promise<void> {
  const end = Date.now() + timeout;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ${timeout} ms: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** What arrives on a channel, in order, as text. */
export interface Heard extends Subscription {
  readonly messages: string[];
}

/** Subscribes and collects. */
export function collect(bus: Bus, channel: Channel): Heard {
  const messages: string[] = [];
  const subscription = bus.subscribe(channel, (payload) => messages.push(payload.toString()));
  return Object.defineProperty(subscription as Heard, 'messages', { value: messages });
}
