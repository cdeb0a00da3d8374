/*
 * A load test of a deployment, from outside: clients in rooms, messages at a steady rate, and books of what became of them.
 * A message is due when its time has come, whether the one before it is answered or not: a gateway that stands still makes
 * long times, and not few messages.
 */
import { BroadcastError, ulid } from '@app/broadcast';
import { build, type Histogram } from 'hdr-histogram-js';
import { setTimeout as sleep } from 'node:timers/promises';
import { LoadClient } from './client.js';
import { Ledger, type Balance } from './ledger.js';

export interface LoadOptions {
  url: string;
  /** Taken in turn. None: the clients say who they are. */
  tokens: readonly string[];
  user: string;
  clients: number;
  rooms: number;
  /** Begins the rooms' names: up to its `:` it is a profile. */
  roomPrefix: string;
  /** Messages a second, in all rooms together. */
  rate: number;
  /** In ms. */
  duration: number;
  /** In bytes. */
  size: number;
  /** From when it is called, the signal ends the sending, and what was counted is reported. */
  ending: () => AbortSignal;
  progress: (text: string) => void;
}

export interface LoadReport extends Balance {
  clients: number;
  rooms: number;
  sent: number;
  acknowledged: number;
  /** Refused for good, by code. */
  refused: Record<string, number>;
  reconnects: number;
  recovered: number;
  /** In s, while messages were sent. */
  seconds: number;
  /** From the time that a message was due to each client that received it, in ms. Recovered ones are not in it. */
  latency: Histogram;
}

/** Clients that connect at a time. */
const AT_ONCE = 50;
const ENTRANCE = 10_000;
const BEAT = 10;
/** Silence after which what is missing is lost, in ms. */
const SILENCE = 5_000;
/** The same once the end was asked for. */
const LAST_WORDS = 500;
const EVENT = 'load';
/** Latencies are kept in µs. */
const MICRO = 1_000;

export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const { rooms, rate, duration, tokens, progress } = options;
  const ledger = new Ledger();
  const counts = { sent: 0, acknowledged: 0, reconnects: 0, recovered: 0, delivered: 0 };
  const refused: Record<string, number> = {};
  const latency = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  });
  let lastHeard = performance.now();
  const heard = ({ at }: { at: number }, recovered: boolean) => {
    lastHeard = performance.now();
    counts.delivered++;
    if (recovered) counts.recovered++;
    else latency.recordValue(Math.max(1, Math.round((lastHeard - at) * MICRO)));
  };
  const clients = Array.from({ length: options.clients }, (_, i) => i);
  const everybody: LoadClient[] = [];
  const report = setInterval(() => progress(status()), 1_000);
  const began = performance.now();
  let last = { ...counts, at: began };
  function status(): string {
    const now = performance.now();
    const each = (name: 'sent' | 'delivered') => Math.round(((counts[name] - last[name]) * 1_000) / (now - last.at));
    const times = latency.totalCount > 0 ? `, p50 ${ms(latency, 50)} ms, p99 ${ms(latency, 99)} ms` : '';
    const line = `${everybody.filter(({ isIn }) => isIn).length} clients, ${each('sent')} sent/s, ${each('delivered')} delivered/s${times}`;
    last = { ...counts, at: now };
    return `${((now - began) / 1_000).toFixed(0).padStart(4)} s  ${line}`;
  }

  const run = ulid().slice(-8).toLowerCase();
  const roomOf = (i: number) => `${options.roomPrefix}${run}-${i % rooms}`;
  try {
    for (let i = 0; i < clients.length; i += AT_ONCE) {
      const some = clients.slice(i, i + AT_ONCE).map((client) => {
        const token = tokens[client % tokens.length];
        const auth: Record<string, string> = token === undefined ? { user: `${options.user}-${client}` } : { token };
        return new LoadClient({ url: options.url, room: roomOf(client), event: EVENT, auth, ledger, heard, counts });
      });
      everybody.push(...some);
      await entrance(some, options);
    }
    const signal = options.ending();
    const start = performance.now();
    const numbers = new Map<string, number>();
    const padding = 'x'.repeat(Math.max(0, options.size - 40));
    const underWay = new Set<Promise<void>>();
    const total = Math.floor((rate * duration) / 1_000);
    while (counts.sent < total && !signal.aborted) {
      const due = Math.min(total, Math.floor(((performance.now() - start) * rate) / 1_000) + 1);
      while (counts.sent < due) {
        const at = start + (counts.sent * 1_000) / rate;
        const client = everybody[counts.sent++ % everybody.length]!;
        const n = numbers.get(client.room) ?? 0;
        numbers.set(client.room, n + 1);
        const sending = say(client, { n, at, ...(padding !== '' && { padding }) }, signal);
        underWay.add(sending);
        void sending.finally(() => underWay.delete(sending));
      }
      await sleep(BEAT);
    }
    const seconds = (performance.now() - start) / 1_000;
    await Promise.race([Promise.all(underWay), shortlyAfter(signal)]);
    lastHeard = Math.max(lastHeard, performance.now());
    const isSilent = () => performance.now() - lastHeard > (signal.aborted ? LAST_WORDS : SILENCE);
    while (ledger.missing > 0 && !isSilent()) await sleep(BEAT);
    const { sent, acknowledged, reconnects, recovered } = counts;
    const balance = ledger.balance();
    return {
      ...balance,
      clients: clients.length,
      rooms,
      sent,
      acknowledged,
      refused,
      reconnects,
      recovered,
      seconds,
      latency,
    };
  } finally {
    clearInterval(report);
    for (const client of everybody) client.close();
  }

  /** Until it is acknowledged, or refused for good. The same id again is the same message. */
  async function say(client: LoadClient, data: { n: number; at: number }, signal: AbortSignal): Promise<void> {
    const id = `${run}-${client.room}-${data.n}`.slice(-128);
    const end = performance.now() + duration + ENTRANCE;
    for (;;) {
      const { ok, error } = client.isIn
        ? await client.say(data, id)
        : { ok: false, error: { code: 'LINE', retryAfter: 100 } };
      if (ok) {
        counts.acknowledged++;
        return ledger.acknowledged(client.room, data.n);
      }
      const { code, retryAfter } = error ?? { code: 'INTERNAL', retryAfter: undefined };
      // Not in the room: it comes back to it now.
      const passes = retryAfter !== undefined || code === 'NOT_IN_ROOM';
      if (!passes || code === 'RATE_LIMITED' || performance.now() > end || signal.aborted) {
        refused[code] = (refused[code] ?? 0) + 1;
        return;
      }
      await sleep(retryAfter ?? 100);
    }
  }
}

/** A percentile in ms. */
export function ms(latency: Histogram, percentile: number): string {
  const value = valueAt(latency, percentile);
  return (value / MICRO).toFixed(value < 100 * MICRO ? 1 : 0);
}

/** A percentile in µs. A histogram answers with the upper end of a class, which may lie above all that is in it. */
export function valueAt(latency: Histogram, percentile: number): number {
  return percentile === 100 ? latency.maxValue : Math.min(latency.getValueAtPercentile(percentile), latency.maxValue);
}

/** Until all of them are in their rooms. */
async function entrance(clients: readonly LoadClient[], { url, tokens }: LoadOptions): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const [refusal] = clients.flatMap(({ isIn, refusal }) => (isIn || !refusal ? [] : refusal));
      const why = refusal ? `the last refusal is ${refusal}` : `is a gateway at ${url}?`;
      const sentence = `not all clients could enter within ${ENTRANCE / 1_000} s: ${why}${hintOn(refusal, tokens)}`;
      reject(new BroadcastError('UNAVAILABLE', sentence));
    }, ENTRANCE);
  });
  const entered = clients.map(({ entered }) => entered);
  try {
    await Promise.race([Promise.all(entered), late]);
  } catch (error) {
    if (error instanceof BroadcastError) throw error;
    const { message } = error as Error;
    throw new Error(`${message}${hintOn(message, tokens)}`, { cause: error });
  } finally {
    clearTimeout(timer);
  }
}

/** What to do about a refusal that begins with its code. */
function hintOn(refusal: string | undefined, tokens: readonly string[]): string {
  const [code] = /^[A-Z_]+/.exec(refusal ?? '') ?? [];
  if (code === 'UNAUTHENTICATED' && tokens.length === 0) return ' (give tokens with --token or --token-file)';
  if (code === 'RATE_LIMITED' && tokens.length > 0 && /has \d+ connections/.test(refusal!)) {
    return ' (give tokens of more users with --token-file, or take fewer clients)';
  }
  return '';
}

/** Resolves a while after the abort, and not without one. */
function shortlyAfter(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wait = () => setTimeout(resolve, LAST_WORDS).unref();
    if (signal.aborted) wait();
    else signal.addEventListener('abort', wait, { once: true });
  });
}
