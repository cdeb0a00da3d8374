/*
 * Metrics as Prometheus has them, made when they are asked for: nothing is kept up to date between two scrapes.
 */
import type { Timing } from '@app/broadcast';
import { Registry, type Metric } from 'prom-client';

export interface Sample {
  readonly value: number;
  readonly labels?: Readonly<Record<string, string | number>>;
  /** Where it differs from that of the family: `…_bucket`, `…_sum`, `…_count`. */
  readonly metricName?: string;
}

/** Everything of one name. Labels are few and never name a room, a user or a message. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly samples: readonly Sample[];
}

export function counter(name: string, help: string, ...samples: readonly Sample[]): Family {
  return { name, help, type: 'counter', samples };
}

export function gauge(name: string, help: string, ...samples: readonly Sample[]): Family {
  return { name, help, type: 'gauge', samples };
}

/** In seconds, as Prometheus wants it. */
export function histogram(name: string, help: string, ...timings: readonly [labels: object, timing: Timing][]): Family {
  const samples = timings.flatMap(([labels, timing]) => samplesOf(name, labels as Record<string, string>, timing));
  return { name, help, type: 'histogram', samples };
}

/** The text format, families with nothing to say included: who looks for a metric finds that it exists. */
export function render(families: readonly Family[]): Promise<string> {
  const registry = new Registry();
  for (const { name, help, type, samples: values } of families) {
    const get = async () => ({ name, help, type, values, aggregator: 'sum' });
    registry.registerMetric({ name, get } as unknown as Metric);
  }
  return registry.metrics();
}

function samplesOf(name: string, labels: Record<string, string>, { steps, counts, sum }: Timing): Sample[] {
  let below = 0;
  const buckets = counts.map((count, index): Sample => {
    const step = steps[index];
    below += count;
    return {
      metricName: `${name}_bucket`,
      labels: { ...labels, le: step === undefined ? '+Inf' : step / 1_000 },
      value: below,
    };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: sum / 1_000 },
    { metricName: `${name}_count`, labels, value: below },
  ];
}
