/*
 * Which of the library's counts is which metric. A count that is not in the table, since it came later, is exported
 * under a name made of its own; one that is in the table and does not exist here is 0.
 */
import { counter, type Family } from './family.js';

export interface Entry {
  readonly name: string;
  readonly help: string;
  readonly labels?: Readonly<Record<string, string>>;
}

export type Table = Readonly<Record<string, Entry>>;

const DROPPED = 'roomcast_messages_dropped_total';
const DROPPED_HELP = 'Messages that did not get where they were to go, by reason.';
const dropped = (reason: string): Entry => ({ name: DROPPED, help: DROPPED_HELP, labels: { reason } });
const slow = (reason: string): Entry => ({
  name: 'roomcast_slow_clients_total',
  help: 'Clients that were disconnected since too much was waiting for them, or for too long, by reason.',
  labels: { reason },
});
const bound = (what: string): Entry => ({
  name: 'roomcast_bounds_reached_total',
  help: 'Times that something did not fit: the bytes of a room at hand, messages that wait while others are read, ids of late.',
  labels: { bound: what },
});
const RECOVERIES = {
  name: 'roomcast_recoveries_total',
  help: 'Clients that came back to a room with history, by whether they were given all that they had missed.',
};

/** `bus.counts` */
export const BUS_COUNTS: Table = {
  published: {
    name: 'roomcast_messages_published_total',
    help: 'Messages that were handed to the broker: said in rooms, and told to other instances.',
  },
  received: { name: 'roomcast_messages_received_total', help: 'Messages that came from the broker.' },
  ignored: {
    name: 'roomcast_messages_ignored_total',
    help: 'Messages that this version, or this process, has no use for.',
  },
  dropped: dropped('unsent'),
  unreadable: dropped('unreadable'),
  untrusted: dropped('untrusted'),
  failed: dropped('listener_failed'),
  outages: {
    name: 'roomcast_bus_outages_total',
    help: 'Times that the link to the broker was lost or could not be made.',
  },
  caughtUp: {
    name: 'roomcast_messages_caught_up_total',
    help: 'Messages that were read from histories since they were missed live.',
  },
  gaps: {
    name: 'roomcast_gaps_total',
    help: 'Rooms with history in which messages have been missed for good; their members were told.',
  },
  trimmed: {
    name: 'roomcast_histories_trimmed_total',
    help: 'Rooms whose last messages were let go of, since those of all rooms took too much memory.',
  },
  ringFull: bound('ring_bytes'),
  bufferFull: bound('buffer'),
  idsFull: bound('ids'),
  recovered: { ...RECOVERIES, labels: { recovered: 'true' } },
  notRecovered: { ...RECOVERIES, labels: { recovered: 'false' } },
};

/** `adapter.deliveries`: what was written to the clients of this instance. */
export const DELIVERY_COUNTS: Table = {
  delivered: {
    name: 'roomcast_deliveries_total',
    help: 'Frames that were handed to connections: messages times receivers.',
  },
  coalesced: {
    name: 'roomcast_deliveries_coalesced_total',
    help: 'Frames among them that shared their write with others.',
  },
  writes: { name: 'roomcast_delivery_writes_total', help: 'Writes that they took.' },
  ordinary: {
    name: 'roomcast_deliveries_ordinary_total',
    help: 'Frames among them that went packet by packet: to clients that poll, compress or are upgrading.',
  },
  forced: {
    name: 'roomcast_delivery_floods_total',
    help: 'Times that so much was waiting to be written that all of it was written at once.',
  },
  volatileDropped: dropped('volatile'),
  slowDropped: dropped('slow'),
  slowSuperseded: dropped('superseded'),
  slowBytes: slow('bytes'),
  slowAge: slow('age'),
};

/** @param part names the counts that the table does not know: `roomcast_<part>_<count>_total` */
export function families(part: string, counts: Readonly<Record<string, unknown>>, table: Table): Family[] {
  const byName = new Map<string, Family>();
  for (const key of new Set([...Object.keys(table), ...Object.keys(counts)])) {
    const count = counts[key] ?? 0;
    if (typeof count !== 'number') continue;
    const { name, help, labels } = table[key] ?? unknown(part, key);
    const samples = [...(byName.get(name)?.samples ?? []), { value: count, labels }];
    byName.set(name, counter(name, help, ...samples));
  }
  return [...byName.values()];
}

/** Of several lists, those of one name put together. */
export function merged(lists: readonly (readonly Family[])[]): Family[] {
  const byName = new Map<string, Family>();
  for (const family of lists.flat()) {
    const known = byName.get(family.name);
    byName.set(family.name, known ? { ...known, samples: [...known.samples, ...family.samples] } : family);
  }
  return [...byName.values()];
}

function unknown(part: string, key: string): Entry {
  const words = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return { name: `roomcast_${part}_${words}_total`, help: `The count "${key}" of the ${part}.` };
}
