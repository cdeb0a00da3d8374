/*
 * What a gateway has to say beside what every instance has: its connections, its rooms, and what it writes to clients.
 */
import type { BroadcastAdapter } from '@app/broadcast';
import { WebSocketGateway, type OnGatewayInit } from '@nestjs/websockets';
import type { Server } from 'socket.io';
import { DELIVERY_COUNTS, families } from '../../observability/src/counts.js';
import { counter, gauge, type Family } from '../../observability/src/family.js';
import { Metrics } from '../../observability/src/metrics.js';
import { Descriptors } from './descriptors.js';
import { DrainService } from './drain.service.js';
import { LimitsService } from './limits/limits.service.js';

@WebSocketGateway()
export class GatewayMetrics implements OnGatewayInit<Server> {
  readonly #drain: DrainService;
  readonly #descriptors: Descriptors;
  readonly #limits: LimitsService;
  #server?: Server;

  constructor(metrics: Metrics, drain: DrainService, descriptors: Descriptors, limits: LimitsService) {
    this.#limits = limits;
    this.#drain = drain;
    this.#descriptors = descriptors;
    metrics.add(() => this.#families());
  }

  afterInit(server: Server): void {
    this.#server = server;
  }

  #families(): Family[] {
    if (!this.#server) return [];
    const { engine } = this.#server;
    const adapter = this.#server.of('/').adapter as BroadcastAdapter & { deliveries?: Record<string, number> };
    return [
      gauge('roomcast_connections', 'Clients that are connected here.', { value: engine.clientsCount }),
      // Every socket is in a room of its own.
      gauge('roomcast_rooms', 'Rooms with members here.', {
        value: Math.max(0, adapter.rooms.size - adapter.sids.size),
      }),
      gauge('roomcast_instances', 'Gateways that this one knows of, itself included.', {
        value: adapter.servers().length,
      }),
      gauge('roomcast_draining', 'Whether the instance is on its way out.', { value: Number(this.#drain.draining) }),
      counter(
        'roomcast_connections_refused_total',
        'Connections and handshakes that were not let in, by reason.',
        { labels: { reason: 'draining' }, value: this.#drain.refused },
        { labels: { reason: 'descriptors' }, value: this.#descriptors.refused },
      ),
      counter(
        'roomcast_refused_total',
        'What was refused because there was too much of it, by reason.',
        ...Object.entries(this.#limits.counts).map(([reason, value]) => ({ labels: { reason }, value })),
      ),
      ...families('deliveries', adapter.deliveries ?? {}, DELIVERY_COUNTS),
    ];
  }
}
