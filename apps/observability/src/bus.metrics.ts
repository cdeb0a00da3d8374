/*
 * What there is to say about a bus, and about the jobs that it carries.
 */
import type { Bus, BusState, QueueCounts } from '@app/broadcast';
import { BUS_COUNTS, families } from './counts.js';
import { counter, gauge, histogram, type Family } from './family.js';

const STATES: readonly BusState[] = ['idle', 'connecting', 'up', 'down', 'closed'];

/** Jobs by queue, of at most a hundred queues. */
const JOB_COUNTS: readonly [keyof Omit<QueueCounts, 'duration'>, help: string][] = [
  ['enqueued', 'Jobs that were handed to the broker here.'],
  ['done', 'Jobs that were done here.'],
  ['failed', 'Attempts at jobs that failed here.'],
  ['retried', 'Jobs that were put back from here to be tried again.'],
  ['dead', 'Jobs that were given up here, to the dead letters.'],
];

export function busMetrics(bus: Bus): Family[] {
  const { counts, failures, timings, logs, roundTrip } = bus;
  return [
    ...families('bus', counts, BUS_COUNTS),
    counter(
      'roomcast_publish_failures_total',
      'Messages that were not published, or may not have been, by reason.',
      ...Object.entries(failures.counts).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    gauge(
      'roomcast_bus_state',
      'The state of the bus: 1 for the one that it is in.',
      ...STATES.map((state) => ({ labels: { state }, value: Number(bus.state === state) })),
    ),
    gauge('roomcast_bus_blocked', 'Whether the broker takes no messages for now.', { value: Number(bus.blocked) }),
    gauge(
      'roomcast_probe_round_trip_seconds',
      'How long the last message of this instance to itself took, through the broker.',
      ...(roundTrip === undefined ? [] : [{ value: roundTrip / 1_000 }]),
    ),
    gauge('roomcast_channels', 'Channels of the broker that this instance listens to.', { value: bus.wanted }),
    gauge('roomcast_histories', 'Rooms with history that this instance follows.', { value: logs.size }),
    gauge('roomcast_history_bytes', 'Bytes of their last messages that are kept at hand.', { value: logs.ringsBytes }),
    histogram('roomcast_publish_duration_seconds', 'From saying a message until the broker has accepted it.', [
      {},
      timings.publish,
    ]),
    histogram(
      'roomcast_delivery_latency_seconds',
      "From saying a message, by its sender's clock, until this instance writes it to its clients, by its own.",
      [{}, timings.delivery],
    ),
    ...jobMetrics(bus),
  ];
}

function jobMetrics({ jobs: { queues, running } }: Bus): Family[] {
  const of = [...queues];
  return [
    ...JOB_COUNTS.map(([name, help]) =>
      counter(
        `roomcast_jobs_${name}_total`,
        help,
        ...of.map(([queue, counts]) => ({ labels: { queue }, value: counts[name] })),
      ),
    ),
    gauge(
      'roomcast_jobs_running',
      'Jobs that are running here.',
      ...[...running].map(([queue, value]) => ({ labels: { queue }, value })),
    ),
    histogram(
      'roomcast_job_duration_seconds',
      'How long handlers of jobs took, whatever came of it.',
      ...of.map(([queue, { duration }]): [object, typeof duration] => [{ queue }, duration]),
    ),
  ];
}
