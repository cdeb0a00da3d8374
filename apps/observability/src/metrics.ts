/*
 * `GET /metrics`: what the bus, the process and the app have to say, gathered when somebody asks.
 */
import type { Bus } from '@app/broadcast';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { busMetrics } from './bus.metrics.js';
import { merged } from './counts.js';
import { EventLoop } from './event-loop.js';
import { gauge, render, type Family } from './family.js';

/** Something with metrics of its own. Cheap, and never throws. */
export type Source = () => readonly Family[];

export class Metrics {
  readonly contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  readonly #bus: Bus;
  readonly #role: string;
  readonly #sources: Source[] = [];
  readonly #process = new Registry();
  readonly #eventLoop = new EventLoop();

  /** @param role `gateway` or `worker` */
  constructor(bus: Bus, role: string) {
    this.#bus = bus;
    this.#role = role;
    // What every Prometheus user knows by name: process_cpu_seconds_total, process_open_fds, nodejs_heap_size_used_bytes.
    collectDefaultMetrics({ register: this.#process });
  }

  add(source: Source): void {
    this.#sources.push(source);
  }

  async text(): Promise<string> {
    const families = merged([
      [this.#info(), this.#eventLoop.metrics(), ...busMetrics(this.#bus)],
      ...this.#sources.map((source) => source()),
    ]);
    return `${await render(families)}\n${await this.#process.metrics()}`;
  }

  /** Nest calls it at the end of an application. */
  onApplicationShutdown(): void {
    this.#eventLoop.close();
  }

  #info(): Family {
    const { instance, transport } = this.#bus;
    const labels = { instance_id: instance, role: this.#role, transport: transport.name, node: process.version };
    return gauge('roomcast_info', 'What this process is; always 1.', { labels, value: 1 });
  }
}
