import { Bus, memory, Rooms, Timing } from '@app/broadcast';
import { BUS_COUNTS, DELIVERY_COUNTS, families, merged } from './counts.js';
import { gauge, histogram, render } from './family.js';
import { Metrics } from './metrics.js';

describe('counts as metrics', () => {
  it('are exported under a name of their own when the table does not know them', async () => {
    const text = await render(families('bus', { received: 3, slowClients: 2, nested: {} }, BUS_COUNTS));
    expect(text).toContain('roomcast_messages_received_total 3\n');
    expect(text).toContain('# TYPE roomcast_bus_slow_clients_total counter\nroomcast_bus_slow_clients_total 2\n');
    expect(text).not.toContain('nested');
  });

  it('are 0 when the table knows them and nobody counts them here', async () => {
    expect(await render(families('deliveries', {}, DELIVERY_COUNTS))).toContain('roomcast_deliveries_total 0\n');
  });

  it('of one name are one metric, wherever they come from', async () => {
    const lists = [
      families('bus', { untrusted: 1 }, BUS_COUNTS),
      families('deliveries', { volatileDropped: 2 }, DELIVERY_COUNTS),
    ];
    const text = await render(merged(lists));
    expect(text.match(/# TYPE roomcast_messages_dropped_total /g)).toHaveLength(1);
    expect(text).toContain('roomcast_messages_dropped_total{reason="untrusted"} 1\n');
    expect(text).toContain('roomcast_messages_dropped_total{reason="volatile"} 2');
  });
});

describe('a timing as a metric', () => {
  it('is a histogram in seconds', async () => {
    const timing = new Timing([1, 500]);
    for (const ms of [1, 2, 300, 700]) timing.add(ms);
    expect(await render([histogram('roomcast_test_seconds', 'A test.', [{ queue: 'mail' }, timing])])).toBe(`\
# HELP roomcast_test_seconds A test.
# TYPE roomcast_test_seconds histogram
roomcast_test_seconds_bucket{queue="mail",le="0.001"} 1
roomcast_test_seconds_bucket{queue="mail",le="0.5"} 3
roomcast_test_seconds_bucket{queue="mail",le="+Inf"} 4
roomcast_test_seconds_sum{queue="mail"} 1.003
roomcast_test_seconds_count{queue="mail"} 4
`);
  });
});

describe('the metrics of a process', () => {
  let bus: Bus;
  let metrics: Metrics;

  beforeEach(async () => {
    bus = new Bus(memory(), { instance: 'here' });
    metrics = new Metrics(bus, 'test');
    await bus.connect();
  });
  afterEach(async () => {
    metrics.onApplicationShutdown();
    await bus.close();
  });

  it('say what the bus and its jobs have done', async () => {
    await new Rooms(bus).publish({ room: 'a', event: 'chat', data: 1 });
    const consumer = bus.jobs.consume('mail', { handle: () => undefined });
    await consumer.ready();
    await bus.jobs.enqueue('mail', 'send', {});
    while (bus.jobs.counts.done === 0) await new Promise((resolve) => setImmediate(resolve));
    const text = await metrics.text();
    for (const line of [
      `roomcast_info{instance_id="here",role="test",transport="memory",node="${process.version}"} 1`,
      'roomcast_bus_state{state="up"} 1',
      'roomcast_bus_state{state="down"} 0',
      'roomcast_jobs_enqueued_total{queue="mail"} 1',
      'roomcast_jobs_done_total{queue="mail"} 1',
      'roomcast_jobs_running{queue="mail"} 0',
      'roomcast_job_duration_seconds_count{queue="mail"} 1',
    ]) {
      expect(text).toContain(`${line}\n`);
    }
    expect(text).toMatch(/^roomcast_publish_duration_seconds_count [1-9]/m);
    expect(text).toMatch(/^roomcast_event_loop_delay_seconds\{quantile="0.99"\} [\d.e-]+$/m);
    expect(text).toMatch(/^process_cpu_seconds_total /m);
  });

  it('are named by the conventions, and have labels that do not grow', async () => {
    const text = await metrics.text();
    const types = [...text.matchAll(/^# TYPE (roomcast_\w+) (\w+)$/gm)];
    expect(types.length).toBeGreaterThan(20);
    for (const [, name = '', type] of types) {
      if (type === 'counter') expect(name).toMatch(/_total$/);
      else expect(name).not.toMatch(/_total$/);
      if (type === 'histogram') expect(name).toMatch(/_seconds$/);
    }
    const labels = new Set(
      [...text.matchAll(/^roomcast_\w+\{(.+)\}/gm)].flatMap(([, all]) => all!.match(/\w+(?==")/g)),
    );
    const known = [
      'instance_id',
      'role',
      'transport',
      'node',
      'reason',
      'recovered',
      'state',
      'queue',
      'quantile',
      'bound',
      'le',
    ];
    expect([...labels].filter((label) => !known.includes(label!))).toEqual([]);
  });

  it('hold what an app adds', async () => {
    metrics.add(() => [gauge('roomcast_test', 'A test.', { value: 7 })]);
    expect(await metrics.text()).toContain('roomcast_test 7\n');
  });
});
