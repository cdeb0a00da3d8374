import { until } from './testing/conditions.js';
import { ScriptedTransport } from './testing/scripted.js';
import type { ScriptedConsumption } from './testing/scripted.jobs.js';
import { Bus } from './bus.js';
import type { BusOptions } from './bus-options.js';
import { BroadcastError } from './errors.js';
import type { Job } from './job-consumer.js';
import { codeOfRejection } from './testing/stage.js';

const open: Bus[] = [];

afterEach(async () => {
  await Promise.all(open.splice(0).map((bus) => bus.close()));
});

async function stage(options: BusOptions = {}) {
  const transport = new ScriptedTransport();
  const bus = new Bus(transport, { backoff: { base: 1, max: 1 }, outboxAge: 100, ...options });
  const errors: string[] = [];
  bus.on('error', ({ code, message }) => errors.push(`${code} ${message}`));
  open.push(bus);
  await bus.connect();
  return { bus, transport, errors };
}

/** The consumption of now. */
async function granted(transport: ScriptedTransport, count = 1): Promise<ScriptedConsumption> {
  await until('jobs are asked for', () => transport.link.jobs.consumptions.length >= count);
  return transport.link.jobs.consumptions[count - 1]!;
}

const PACKET = '{"pattern":"x","data":1}';
const never = () => new Promise<void>(() => undefined);

describe('enqueueing', () => {
  it('sends the packet of Nest, with the id', async () => {
    const { bus, transport } = await stage();
    expect(await bus.jobs.enqueue('q', 'room.publish', { a: 1 }, { id: 'i' })).toEqual({ id: 'i' });
    expect(transport.link.jobs.enqueued.map(({ body }) => body.toString())).toEqual([
      '{"pattern":"room.publish","data":{"a":1},"id":"i"}',
    ]);
  });

  it('is tried again while nothing was sent, for a bounded time', async () => {
    const { bus, transport } = await stage();
    let refusals = 1;
    transport.link.jobs.enqueueing = async () => {
      if (refusals-- > 0) throw new BroadcastError('UNAVAILABLE', 'the queue is not there');
    };
    await bus.jobs.enqueue('q', 'x');
    expect(transport.link.jobs.enqueued).toHaveLength(2);
    refusals = Infinity;
    expect(await codeOfRejection(bus.jobs.enqueue('q', 'x'))).toBe('UNAVAILABLE');
  });

  it('is uncertain, and ends the link, when no answer comes; or when the link ends first', async () => {
    const { bus, transport } = await stage({ callTimeout: 50 });
    transport.link.jobs.enqueueing = never;
    const late = codeOfRejection(bus.jobs.enqueue('q', 'x'));
    expect(await late).toBe('UNCERTAIN');
    await until('there is another link', () => transport.links.length === 2 && bus.state === 'up');
    transport.link.jobs.enqueueing = never;
    const lost = codeOfRejection(bus.jobs.enqueue('q', 'x'));
    transport.link.events!.lost(new Error('cut'));
    expect(await lost).toBe('UNCERTAIN');
  });

  it('has a bound on what waits, in jobs and in bytes', async () => {
    const { bus, transport } = await stage({ outboxSize: 2, maxBytes: 1_000 });
    expect(await codeOfRejection(bus.jobs.enqueue('q', 'x', 'y'.repeat(1_000)))).toBe('OVERLOADED');
    transport.link.events!.blocked(true);
    const waiting = [1, 2].map(() => bus.jobs.enqueue('q', 'x'));
    expect(await codeOfRejection(bus.jobs.enqueue('q', 'x'))).toBe('UNAVAILABLE');
    transport.link.events!.blocked(false);
    await Promise.all(waiting);
    expect(transport.link.jobs.enqueued).toHaveLength(2);
  });

  it('is refused when the bus is closed', async () => {
    const { bus } = await stage();
    await bus.close();
    expect(await codeOfRejection(bus.jobs.enqueue('q', 'x'))).toBe('CLOSED');
    expect(() => bus.jobs.consume('q', { handle: () => undefined })).toThrow('the bus was closed');
  });
});

describe('working', () => {
  it('asks for jobs on every link, and again when they were refused', async () => {
    const { bus, transport, errors } = await stage();
    const consumer = bus.jobs.consume('q', { handle: () => undefined }, { concurrency: 3, lease: 5_000 });
    await consumer.ready();
    const first = await granted(transport);
    expect(first.options).toEqual({ concurrency: 3, lease: 5_000 });
    first.events.lost(new Error('the queue was deleted'));
    await granted(transport, 2);
    expect(first.closed).toBe(true);
    expect(errors).toEqual(['UNAVAILABLE no jobs of q for now: the queue was deleted']);
    transport.link.events!.lost(new Error('cut'));
    await until('there is another link', () => transport.links.length === 2 && bus.state === 'up');
    await granted(transport);
    await consumer.ready();
    expect(consumer.live).toBe(true);
  });

  it('waits longer and longer where it is refused, and tells it once', async () => {
    const { bus, transport, errors } = await stage({ backoff: { base: 20, max: 1_000, random: () => 0.99 } });
    transport.link.jobs.consuming = () => Promise.reject(new BroadcastError('BAD_REQUEST', 'of another kind'));
    bus.jobs.consume('q', { handle: () => undefined });
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(transport.link.jobs.consumptions.length).toBeLessThanOrEqual(6);
    expect(errors).toEqual(['BAD_REQUEST no jobs of q for now: of another kind']);
  });

  it('does not run again what runs here, or ended here without the broker hearing of it', async () => {
    const { bus, transport } = await stage();
    const jobs: Job[] = [];
    let finish!: () => void;
    const handle = (job: Job) => {
      jobs.push(job);
      return new Promise<void>((resolve) => (finish = resolve));
    };
    bus.jobs.consume('q', { handle });
    const first = await granted(transport);
    first.answer = () => Promise.reject(new Error('cut'));
    first.deliver(PACKET);
    await until('it runs', () => jobs.length === 1);
    transport.link.events!.lost(new Error('cut'));
    await until('there is another link', () => transport.links.length === 2 && bus.state === 'up');
    const second = await granted(transport);
    second.deliver(PACKET, { deliveries: 2 });
    finish();
    await until('its end is told', () => second.settled.length === 1);
    second.deliver(PACKET, { deliveries: 3 });
    await until('and told again', () => second.settled.length === 2);
    expect(second.settled).toEqual([{ kind: 'done' }, { kind: 'done' }]);
    expect(jobs).toHaveLength(1);
    second.deliver(PACKET); // somebody has enqueued it anew
    await until('it runs anew', () => jobs.length === 2);
    finish();
  });

  it('takes its own success for the end of a job that another worker has put back as lost', async () => {
    const { bus, transport } = await stage();
    const jobs: Job[] = [];
    let finish!: () => void;
    const handle = (job: Job) => {
      jobs.push(job);
      return new Promise<void>((resolve) => (finish = resolve));
    };
    bus.jobs.consume('q', { handle });
    const first = await granted(transport);
    first.answer = () => Promise.reject(new Error('the channel is closed'));
    first.deliver(PACKET);
    await until('it runs', () => jobs.length === 1);
    first.events.lost(new Error('a job took too long'));
    const second = await granted(transport, 2);
    second.deliver(PACKET, { failures: 1 }); // while it runs
    finish();
    await until('its end is told', () => second.settled.length === 1);
    second.deliver(PACKET, { failures: 1 }); // after its end
    await until('and told again', () => second.settled.length === 2);
    expect(second.settled).toEqual([{ kind: 'done' }, { kind: 'done' }]);
    expect(jobs).toHaveLength(1);
    second.deliver(PACKET, { failures: 1 }); // told already: another one of the same name
    await until('it runs anew', () => jobs.length === 2);
    finish();
  });

  it('puts off what was delivered more than once: it may be what ended its worker', async () => {
    const { bus, transport } = await stage();
    const jobs: Job[] = [];
    bus.jobs.consume('q', { handle: (job) => void jobs.push(job), attempts: 3 });
    const consumption = await granted(transport);
    consumption.deliver(PACKET, { deliveries: 2 });
    consumption.deliver(PACKET, { failures: 1, deliveries: 2 });
    consumption.deliver(PACKET, { failures: 2, deliveries: 2 });
    await until('all are settled', () => consumption.settled.length === 3);
    const error = 'its worker was lost';
    expect(consumption.settled).toEqual([
      { kind: 'retry', delay: 1_000, failures: 1, error },
      { kind: 'retry', delay: 5_000, failures: 2, error },
      { kind: 'dead', reason: 'worker_lost', attempts: 3, error: 'its worker was lost at attempt 3' },
    ]);
    expect(jobs).toEqual([]);
  });

  it('lets go of a job that cannot be settled', async () => {
    const { bus, transport } = await stage();
    bus.jobs.consume('q', { handle: () => undefined });
    const first = await granted(transport);
    first.answer = () => Promise.reject(new Error('out of memory'));
    first.deliver(PACKET);
    await granted(transport, 2);
    expect(first.closed).toBe(true);
  });

  it('waits with what needs room at a broker that has none', async () => {
    const { bus, transport } = await stage();
    const handle = () => {
      throw new Error('again');
    };
    bus.jobs.consume('q', { handle });
    const consumption = await granted(transport);
    transport.link.events!.blocked(true);
    consumption.deliver(PACKET);
    await until('it has failed', () => bus.jobs.counts.failed === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(consumption.settled).toEqual([]);
    transport.link.events!.blocked(false);
    await until('it is settled', () => consumption.settled.length === 1);
  });

  it('gives back what is not done when it closes, without counting the attempt', async () => {
    const { bus, transport } = await stage();
    const consumer = bus.jobs.consume('q', { handle: never });
    const consumption = await granted(transport);
    consumption.deliver(PACKET, { failures: 2 });
    await consumer.close(10);
    const error = 'the worker was closed before it was done';
    expect(consumption.settled).toEqual([{ kind: 'retry', delay: 0, failures: 2, error }]);
    expect([consumption.stopped, consumption.closed]).toEqual([true, true]);
    await expect(consumer.ready()).rejects.toMatchObject({ code: 'CLOSED' });
  });

  it('refuses options that cannot be', async () => {
    const { bus } = await stage();
    for (const options of [{ concurrency: 0 }, { lease: 10 }, { grace: -1 }]) {
      expect(() => bus.jobs.consume('q', { handle: never }, options)).toThrow('has to be a whole number');
    }
  });
});
