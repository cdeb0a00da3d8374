/*
 * What every transport has to keep about jobs, as cases against a real broker.
 */
import { BroadcastError } from '../errors.js';
import type { Bus } from '../bus.js';
import type { Job, JobHandler, WorkOptions } from '../job-consumer.js';
import { until } from './conditions.js';
import { codeOfRejection, Stage, type ConformanceSetup } from './stage.js';

/** Further ways to the broker's jobs that the suite needs. */
export interface JobsSetup extends ConformanceSetup {
  /** Puts a packet into a queue as a service without this library does. */
  foreign?(prefix: string, queue: string, packet: string, failures?: number): Promise<void>;
  /** Takes the queue itself away. */
  deleteQueue?(prefix: string, queue: string): Promise<void>;
  /** Whether a queue that is there, but of another kind, is refused: makes such a one. */
  spoil?(prefix: string, queue: string): Promise<void>;
  /** Removes what a case has left at the broker. */
  sweep?(prefix: string): Promise<void>;
  /** The same id twice within 5 minutes is one job. */
  once: boolean;
}

interface Work {
  jobs: Job[];
  ready: () => Promise<void>;
  close: (grace?: number) => Promise<void>;
}

const FAST = [20, 20, 20];

/** Registers the suite under a name, once per configuration. */
export function jobsConformance(name: string, set: JobsSetup): void {
  describe(`${name} keeps the contract of jobs`, () => {
    const stage = new Stage(set);
    afterEach(async () => set.sweep?.(stage.prefix));

    /** Works on queue `q`, and remembers every job. */
    async function work(bus: Bus, handler: Partial<JobHandler> = {}, options: WorkOptions = {}): Promise<Work> {
      const jobs: Job[] = [];
      const handle = async (job: Job) => {
        jobs.push(job);
        await handler.handle?.(job);
      };
      const consumer = bus.jobs.consume('q', { retryDelays: FAST, ...handler, handle }, { lease: 1_000, ...options });
      await consumer.ready(15_000);
      return { jobs, ready: () => consumer.ready(15_000), close: (grace) => consumer.close(grace) };
    }

    const empty = { waiting: 0, delayed: 0, dead: 0 };
    async function settled(bus: Bus, expected: object = empty) {
      await until(`the queue is ${JSON.stringify(expected)}`, async () => {
        const { running = 0, ...stats } = await bus.jobs.stats('q', [...FAST, 1_000]);
        return running === 0 && JSON.stringify(stats) === JSON.stringify({ ...empty, ...expected });
      });
    }

    it('gives each job to exactly one worker, with its id, and keeps none', async () => {
      const buses = await Promise.all([stage.bus(), stage.bus(), stage.bus()]);
      const workers = await Promise.all(buses.map((bus) => work(bus, {}, { concurrency: 5 })));
      const ids = new Set<string>();
      for (let i = 0; i < 60; i++) ids.add((await buses[i % 3]!.jobs.enqueue('q', 'count.up', { i })).id);
      const all = () => workers.flatMap(({ jobs }) => jobs);
      await until('all are done', () => all().length >= 60);
      await settled(buses[0]);
      expect(all()).toHaveLength(60);
      expect(new Set(all().map(({ id }) => id))).toEqual(ids);
      expect(
        all()
          .map(({ data }) => (data as { i: number }).i)
          .sort((a, b) => a - b),
      ).toEqual([...ids].map((_, i) => i));
      expect(all()[0]).toMatchObject({ queue: 'q', pattern: 'count.up', attempt: 1 });
      expect(workers.every(({ jobs }) => jobs.length > 0)).toBe(true);
    });

    it('keeps jobs until there is a worker, and hears nothing of another queue or prefix', async () => {
      const bus = await stage.bus();
      const elsewhere = await stage.bus({ on: set.transport(`${stage.prefix}other.`) });
      await bus.jobs.enqueue('q', 'early');
      await bus.jobs.enqueue('other', 'elsewhere');
      await elsewhere.jobs.enqueue('q', 'elsewhere');
      await settled(bus, { waiting: 1 });
      const { jobs } = await work(bus);
      await until('it is done', () => jobs.length > 0);
      await settled(bus);
      expect(jobs.map(({ pattern }) => pattern)).toEqual(['early']);
      expect(jobs[0]!.data).toBeNull();
    });

    it('runs no more at a time than it was told', async () => {
      const bus = await stage.bus();
      let running = 0;
      let most = 0;
      const handle = async () => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 10));
        running--;
      };
      const { jobs } = await work(bus, { handle }, { concurrency: 3 });
      await Promise.all(Array.from({ length: 30 }, () => bus.jobs.enqueue('q', 'x')));
      await until('all are done', () => jobs.length === 30 && running === 0);
      expect(most).toBe(3);
      await settled(bus);
    });

    it('takes no more than it runs: the rest waits for whoever has room', async () => {
      const [busy, idle] = await Promise.all([stage.bus(), stage.bus()]);
      let release!: () => void;
      const held = new Promise<void>((resolve) => (release = resolve));
      const first = await work(busy, { handle: () => held }, { concurrency: 3 });
      for (let i = 0; i < 10; i++) await busy.jobs.enqueue('q', 'x', i);
      await until('three run', () => first.jobs.length === 3);
      expect((await idle.jobs.stats('q')).waiting).toBe(7);
      const second = await work(idle);
      await until('the others run elsewhere', () => second.jobs.length === 7);
      release();
      await settled(idle);
      expect(first.jobs).toHaveLength(3);
    });

    it('tries a failed job again, later, under the same id, until it succeeds', async () => {
      const bus = await stage.bus();
      const times: number[] = [];
      const handle = ({ attempt }: Job) => {
        times.push(performance.now());
        if (attempt < 3) throw new Error(`attempt ${attempt}`);
      };
      const { jobs } = await work(bus, { handle, retryDelays: [300, 600] });
      const { id } = await bus.jobs.enqueue('q', 'x', [1]);
      await until('it succeeds', () => jobs.length === 3);
      await settled(bus);
      expect(jobs.map((job) => [job.id, job.attempt, job.data])).toEqual([1, 2, 3].map((n) => [id, n, [1]]));
      expect(times[1]! - times[0]!).toBeGreaterThanOrEqual(295);
      expect(times[2]! - times[1]!).toBeGreaterThanOrEqual(595);
      expect(bus.jobs.counts).toMatchObject({ done: 1, failed: 2, dead: 0 });
    });

    it('gives up after the last attempt, keeping why, how often and the last error', async () => {
      const bus = await stage.bus();
      const handle = ({ attempt }: Job) => {
        throw new Error(`broken ${attempt}`);
      };
      const { jobs } = await work(bus, { handle, attempts: 3 });
      const before = Date.now();
      const { id } = await bus.jobs.enqueue('q', 'x', { n: 1 });
      await settled(bus, { dead: 1 });
      expect(jobs).toHaveLength(3);
      const [dead] = await bus.jobs.dead('q');
      expect(dead).toMatchObject({ id, reason: 'failed', attempts: 3, error: 'broken 3' });
      expect(JSON.parse(dead!.body.toString())).toMatchObject({ pattern: 'x', data: { n: 1 } });
      expect(dead!.at).toBeGreaterThanOrEqual(before - 1_000);
      expect(dead!.at).toBeLessThanOrEqual(Date.now() + 1_000);
    });

    it('gives up at once what is refused, what nobody handles, and what is no job', async () => {
      const bus = await stage.bus();
      const handle = () => {
        throw new BroadcastError('BAD_REQUEST', 'rooms has to be a list');
      };
      bus.jobs.consume('q', (pattern) => (pattern === 'known' ? { handle } : undefined));
      await bus.jobs.enqueue('q', 'known', null, { id: 'refused' });
      await bus.jobs.enqueue('q', 'unknown', null, { id: 'unknown' });
      await settled(bus, { dead: 2 });
      const dead = await bus.jobs.dead('q');
      const reasons = Object.fromEntries(
        dead.map(({ id, reason, attempts, error }) => [id, { reason, attempts, error }]),
      );
      expect(reasons).toEqual({
        refused: { reason: 'refused', attempts: 1, error: 'rooms has to be a list' },
        unknown: {
          reason: 'no_handler',
          attempts: 0,
          error: 'no handler of this worker takes "unknown" from the queue q',
        },
      });
      if (!set.foreign) return;
      await set.foreign(stage.prefix, 'q', 'not JSON');
      await settled(bus, { dead: 3 });
      expect((await bus.jobs.dead('q')).at(-1)).toMatchObject({ reason: 'unreadable', attempts: 1 });
    });

    it('gives up whatever is thrown, in words, and goes on', async () => {
      const bus = await stage.bus();
      const thrown: Record<string, unknown> = {
        text: 'no error',
        nothing: undefined,
        bare: Object.create(null),
        fields: Object.assign(new Error('x'), { message: { field: 'is wrong' } }),
        silent: Object.assign(new TypeError('x'), { message: undefined }),
        refused: Object.assign(new Error('x'), { code: 'BAD_REQUEST', message: ['a', 'b'] }),
        trap: new Proxy(new Error('x'), {
          get: () => {
            throw new Error('no');
          },
        }),
      };
      const handle = ({ pattern }: Job) => {
        throw thrown[pattern];
      };
      await work(bus, { handle, attempts: 2 });
      for (const pattern of Object.keys(thrown)) await bus.jobs.enqueue('q', pattern, null, { id: pattern });
      await settled(bus, { dead: 7 });
      const letters = await bus.jobs.dead('q');
      expect(Object.fromEntries(letters.map(({ id, attempts, error }) => [id, [attempts, error]]))).toEqual({
        text: [2, 'no error'],
        nothing: [2, 'undefined'],
        bare: [2, '[Object: null prototype] {}'],
        fields: [2, "{ field: 'is wrong' }"],
        silent: [2, 'TypeError'],
        refused: [1, "[ 'a', 'b' ]"],
        trap: [2, 'something was thrown that cannot be shown'],
      });
      await bus.jobs.purge('q');
    });

    it('puts back and forgets hundreds of dead letters, each once, and says how many', async () => {
      const [bus, operator] = await Promise.all([stage.bus(), stage.bus()]);
      let healed = false;
      const handle = () => {
        if (!healed) throw new Error('not yet');
      };
      const { jobs } = await work(bus, { handle, attempts: 1 }, { concurrency: 100 });
      const fill = async () => {
        healed = false;
        await Promise.all(Array.from({ length: 300 }, (_, i) => bus.jobs.enqueue('q', 'x', i)));
        await settled(bus, { dead: 300 });
        healed = true;
        jobs.splice(0);
      };
      await fill();
      const letters = (await operator.jobs.dead('q')).map(({ id }) => id);
      for (const limit of [3, 40, 300]) {
        expect((await operator.jobs.dead('q', { limit })).map(({ id }) => id)).toEqual(letters.slice(0, limit));
      }
      const id = letters[150]!;
      expect(await operator.jobs.replay('q', { limit: 100 })).toBe(100);
      await settled(bus, { dead: 200 });
      expect(await operator.jobs.replay('q', { id })).toBe(1);
      await settled(bus, { dead: 199 });
      expect(await operator.jobs.replay('q')).toBe(199);
      await settled(bus);
      expect(await operator.jobs.replay('q')).toBe(0);
      expect(new Set(jobs.map(({ data }) => data)).size).toBe(300);
      expect(jobs).toHaveLength(300);
      await fill();
      expect(await operator.jobs.purge('q')).toBe(300);
      await settled(bus);
      expect(await operator.jobs.purge('q')).toBe(0);
      expect(jobs).toHaveLength(0);
    }, 60_000);

    it('lists, replays and purges dead letters, all of them, the oldest, or one', async () => {
      const bus = await stage.bus();
      let healed = false;
      const handle = () => {
        if (!healed) throw new Error('not yet');
      };
      const { jobs } = await work(bus, { handle, attempts: 1 });
      for (const id of ['a', 'b', 'c', 'd', 'e']) {
        await bus.jobs.enqueue('q', 'x', id, { id });
        await until(`${id} was given up`, async () => (await bus.jobs.dead('q', { id })).length === 1);
      }
      const ids = async (selection?: object) => (await bus.jobs.dead('q', selection)).map(({ id }) => id);
      expect(await ids()).toEqual(['a', 'b', 'c', 'd', 'e']);
      expect(await ids({ limit: 2 })).toEqual(['a', 'b']);
      expect(await ids({ id: 'c' })).toEqual(['c']);
      expect(await ids()).toHaveLength(5); // looking takes nothing away
      healed = true;
      jobs.splice(0);
      expect(await bus.jobs.replay('q', { id: 'c' })).toBe(1);
      await until('it runs', () => jobs.length === 1);
      expect(jobs[0]).toMatchObject({ id: 'c', data: 'c', attempt: 1 });
      expect(await bus.jobs.purge('q', { limit: 1 })).toBe(1);
      await until('they are gone', async () => (await ids()).join() === 'b,d,e');
      expect(await bus.jobs.purge('q', { id: 'd' })).toBe(1);
      expect(await bus.jobs.replay('q')).toBe(2);
      await settled(bus);
      expect(jobs.map(({ id }) => id).sort()).toEqual(['b', 'c', 'e']);
      expect([await bus.jobs.purge('q'), await bus.jobs.replay('q'), await ids()]).toEqual([0, 0, []]);
    });

    it('holds a delayed job back, and lets later ones pass', async () => {
      const bus = await stage.bus();
      const { jobs } = await work(bus);
      const began = performance.now();
      await bus.jobs.enqueue('q', 'late', null, { delay: 1_500 });
      await settled(bus, { delayed: 1 });
      await bus.jobs.enqueue('q', 'soon');
      await until('the later one is done', () => jobs.length === 1);
      await until('the delayed one is done', () => jobs.length === 2);
      expect(performance.now() - began).toBeGreaterThanOrEqual(1_350);
      expect(jobs.map(({ pattern, attempt }) => [pattern, attempt])).toEqual([
        ['soon', 1],
        ['late', 1],
      ]);
      await settled(bus);
    });

    it(`takes the same id twice for ${set.once ? 'one job' : 'two jobs'} with one id`, async () => {
      const bus = await stage.bus();
      const { jobs } = await work(bus);
      for (const data of [1, 2]) expect(await bus.jobs.enqueue('q', 'x', data, { id: 'same' })).toEqual({ id: 'same' });
      await bus.jobs.enqueue('q', 'last');
      await until('the last is done', () => jobs.some(({ pattern }) => pattern === 'last'));
      await settled(bus);
      const expected = set.once ? ['same'] : ['same', 'same'];
      expect(jobs.filter(({ pattern }) => pattern === 'x').map(({ id }) => id)).toEqual(expected);
    });

    it('does a job in parts, each beginning where the last one ended, whoever gets it', async () => {
      const bus = await stage.bus();
      const parts: string[] = [];
      let failed = false;
      const handle = (job: Job) => {
        const from = Number(job.progress ?? 0);
        parts.push(`${from} (${job.attempt})`);
        if (from === 2 && !failed) {
          failed = true;
          throw new Error('in the middle');
        }
        if (from < 3) job.continueWith(String(from + 1));
      };
      const { jobs } = await work(bus, { handle });
      const { id } = await bus.jobs.enqueue('q', 'x');
      await settled(bus);
      await until('the last part is done', () => bus.jobs.counts.done === 1);
      expect(parts).toEqual(['0 (1)', '1 (1)', '2 (1)', '2 (2)', '3 (1)']);
      expect(new Set(jobs.map((job) => job.id))).toEqual(new Set([id]));
    });

    it('finishes what runs when a worker closes, and gives back what takes longer, as if it had not begun', async () => {
      const [leaving, staying] = await Promise.all([stage.bus(), stage.bus()]);
      let finish!: () => void;
      const held = new Promise<void>((resolve) => (finish = resolve));
      const handle = ({ pattern }: Job) => (pattern === 'short' ? new Promise((r) => setTimeout(r, 100)) : held);
      const first = await work(leaving, { handle });
      await leaving.jobs.enqueue('q', 'short');
      await leaving.jobs.enqueue('q', 'long');
      await until('both run', () => first.jobs.length === 2);
      const second = await work(staying);
      await first.close(300);
      await until('the long one runs elsewhere', () => second.jobs.length === 1);
      await settled(staying);
      expect(second.jobs.map(({ pattern, attempt }) => [pattern, attempt])).toEqual([['long', 1]]);
      expect(leaving.jobs.counts.done).toBe(1);
      finish();
      await leaving.jobs.enqueue('q', 'after');
      await until('the other one has it', () => second.jobs.length === 2);
      expect(first.jobs).toHaveLength(2);
      await settled(staying);
    });

    it('has told the broker of all that was done when a worker of many has closed', async () => {
      const [leaving, staying] = await Promise.all([stage.bus(), stage.bus()]);
      let finish!: () => void;
      const held = new Promise<void>((resolve) => (finish = resolve));
      const first = await work(leaving, { handle: () => held }, { concurrency: 300 });
      await Promise.all(Array.from({ length: 300 }, (_, i) => leaving.jobs.enqueue('q', 'x', i)));
      await until('all run', () => first.jobs.length === 300);
      // All of them end when no more are taken, just before the channel is closed.
      setTimeout(finish, 300);
      await first.close(5_000);
      await leaving.close();
      const second = await work(staying);
      await staying.jobs.enqueue('q', 'last');
      await until('the last is done', () => second.jobs.some(({ pattern }) => pattern === 'last'));
      await settled(staying);
      expect(second.jobs).toHaveLength(1);
    });

    it('keeps a long job for its worker, past the lease', async () => {
      const [bus, other] = await Promise.all([stage.bus(), stage.bus()]);
      const { jobs } = await work(bus, { handle: () => new Promise((resolve) => setTimeout(resolve, 2_500)) });
      await bus.jobs.enqueue('q', 'x');
      await until('it runs', () => jobs.length === 1);
      const second = await work(other);
      await until('it is done', () => bus.jobs.counts.done === 1);
      await settled(bus);
      expect([jobs.length, second.jobs.length]).toEqual([1, 0]);
    });

    it('refuses names, ids, delays and data that cannot be', async () => {
      const bus = await stage.bus();
      const refused = [
        bus.jobs.enqueue('', 'x'),
        bus.jobs.enqueue('a b', 'x'),
        bus.jobs.enqueue('q.dead', 'x'),
        bus.jobs.enqueue('q.retry.1000', 'x'),
        bus.jobs.enqueue('q', ''),
        bus.jobs.enqueue('q', 'x', 1n),
        bus.jobs.enqueue('q', 'x', null, { id: '' }),
        bus.jobs.enqueue('q', 'x', null, { id: 'x'.repeat(201) }),
        bus.jobs.enqueue('q', 'x', null, { id: 'é'.repeat(128) }),
        bus.jobs.enqueue('q', 'x', null, { delay: -1 }),
        bus.jobs.enqueue('q', 'x', null, { delay: NaN }),
        bus.jobs.dead('q', { limit: 0 }),
      ];
      for (const each of refused) expect(await codeOfRejection(each)).toBe('BAD_REQUEST');
      bus.jobs.consume('q', { handle: () => undefined });
      expect(() => bus.jobs.consume('q', { handle: () => undefined })).toThrow('this process works on q already');
    });

    if (set.foreign) {
      it('takes packets of other services, and gives one without an id the same id at every attempt', async () => {
        const bus = await stage.bus();
        const { jobs } = await work(bus, {
          handle: ({ attempt }) => {
            if (attempt < 3) throw new Error('again');
          },
        });
        await set.foreign!(stage.prefix, 'q', '{"pattern":"room.publish","data":{"n":1},"id":"theirs"}');
        await until('it succeeds', () => jobs.length === 3);
        expect(jobs.map(({ id }) => id)).toEqual(['theirs', 'theirs', 'theirs']);
        jobs.splice(0);
        for (let i = 0; i < 2; i++) await set.foreign!(stage.prefix, 'q', '{"pattern":"tick","data":2}');
        await until('both succeed', () => jobs.length === 6);
        await settled(bus);
        const ids = new Map<string, number[]>();
        for (const { id, attempt } of jobs) ids.set(id, [...(ids.get(id) ?? []), attempt]);
        expect([...ids.values()]).toEqual([
          [1, 2, 3],
          [1, 2, 3],
        ]);
        expect([...ids.keys()].every((id) => id.length > 5)).toBe(true);
      });

      it('has nothing stopped by a foreign job with an id that is too long', async () => {
        const bus = await stage.bus();
        const { jobs } = await work(bus, {
          handle: ({ attempt, pattern }) => {
            if (attempt < 2 || pattern === 'broken') throw new Error('again');
          },
          attempts: 2,
        });
        for (const pattern of ['long', 'broken']) {
          await set.foreign!(stage.prefix, 'q', JSON.stringify({ pattern, data: 1, id: 'é'.repeat(150) }));
        }
        await bus.jobs.enqueue('q', 'short', null, { id: 'é'.repeat(127) });
        await settled(bus, { dead: 1 });
        const attempts = jobs.map(({ pattern, attempt }) => `${pattern} ${attempt}`).sort();
        expect(attempts).toEqual(['broken 1', 'broken 2', 'long 1', 'long 2', 'short 1', 'short 2']);
        expect(new Set(jobs.map(({ id }) => id)).size).toBe(3);
        expect(await bus.jobs.replay('q')).toBe(1);
        await settled(bus, { dead: 1 });
        await bus.jobs.purge('q');
      });

      it.each([-1_000_000, 0.5, 1e300])(
        'takes %d failures, as a foreign job may have them, for none',
        async (failures) => {
          const bus = await stage.bus();
          const { jobs } = await work(bus, {
            handle: () => {
              throw new Error('always');
            },
            attempts: 3,
          });
          await set.foreign!(stage.prefix, 'q', '{"pattern":"x","data":1,"id":"theirs"}', failures);
          await settled(bus, { dead: 1 });
          expect(jobs.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
          expect(await bus.jobs.dead('q')).toMatchObject([{ id: 'theirs', attempts: 3 }]);
        },
      );
    }

    if (set.deleteQueue) {
      it('comes back when somebody deletes the queue, for workers and for those who enqueue', async () => {
        const bus = await stage.bus();
        const worker = await work(bus);
        await bus.jobs.enqueue('q', 'before');
        await until('it is done', () => worker.jobs.length === 1);
        await settled(bus);
        const speaker = await stage.bus();
        await speaker.jobs.enqueue('alone', 'x');
        await set.deleteQueue!(stage.prefix, 'alone');
        await speaker.jobs.enqueue('alone', 'x');
        await until('it is there', async () => (await speaker.jobs.stats('alone')).waiting === 1);
        await set.deleteQueue!(stage.prefix, 'q');
        await until('a job is done again', async () => {
          await bus.jobs.enqueue('q', 'after');
          await new Promise((resolve) => setTimeout(resolve, 100));
          return worker.jobs.length > 1;
        });
        await settled(bus);
        expect(bus.counts.outages).toBe(0);
      });
    }

    if (set.spoil) {
      it('says that a queue is of the wrong kind, now and then, and harms nothing else', async () => {
        const bus = await stage.bus();
        await set.spoil!(stage.prefix, 'q');
        const errors: string[] = [];
        bus.on('error', ({ code, message }) => errors.push(`${code} ${message}`));
        expect(await codeOfRejection(bus.jobs.enqueue('q', 'x'))).toBe('BAD_REQUEST');
        const consumer = bus.jobs.consume('q', { handle: () => undefined });
        expect(await codeOfRejection(consumer.ready(300))).toBe('UNAVAILABLE');
        expect(errors).toHaveLength(1);
        expect(errors[0]).toMatch(/^BAD_REQUEST no jobs of q for now: .*jobs/);
        const heard: string[] = [];
        await bus.subscribe('room:a', (payload) => heard.push(payload.toString())).ready();
        await bus.publish('room:a', Buffer.from('x'));
        await until('rooms are as before', () => heard.length === 1);
        await bus.jobs.enqueue('fine', 'x');
        expect(bus.counts.outages).toBe(0);
      });
    }

    if (set.gated) {
      it('does what was interrupted by a cut once more or not at all, never loses it, and runs it once at a time', async () => {
        const { transport, gate } = await set.gated!(stage.prefix);
        const bus = await stage.bus({ on: transport });
        const straight = await stage.bus();
        let release!: () => void;
        const held = new Promise<void>((resolve) => (release = resolve));
        const { jobs, ready } = await work(bus, { handle: ({ pattern }) => (pattern === 'held' ? held : undefined) });
        await straight.jobs.enqueue('q', 'held');
        await until('it runs', () => jobs.length === 1);
        const down = new Promise((resolve) => bus.once('state', resolve));
        gate.cut();
        expect(await down).toBe('down');
        await bus.ready(15_000);
        await ready();
        await straight.jobs.enqueue('q', 'next');
        await until('the next one is done', () => jobs.length === 2);
        release();
        await settled(straight);
        // It was running here all the time: its end is told over the new link.
        expect(jobs.map(({ pattern }) => pattern)).toEqual(['held', 'next']);
      });

      it('gives the work of one that has fallen silent to another one', async () => {
        const { transport, gate } = await set.gated!(stage.prefix);
        const silent = await stage.bus({ on: transport, probeInterval: 60_000 });
        const other = await stage.bus();
        const first = await work(silent, { handle: () => new Promise(() => undefined) });
        const { id } = await other.jobs.enqueue('q', 'x');
        await until('it runs', () => first.jobs.length === 1);
        const second = await work(other);
        gate.refuse();
        await until('the other one has it', () => second.jobs.length === 1);
        expect(second.jobs[0]).toMatchObject({ id, attempt: 2 });
        await settled(other);
        gate.pass();
      });

      it('enqueues after a short outage what waited, and refuses in a bounded time what waits too long', async () => {
        const { transport, gate } = await set.gated!(stage.prefix);
        const bus = await stage.bus({ on: transport, outboxSize: 2 });
        const straight = await stage.bus();
        const { jobs } = await work(straight);
        gate.cut();
        await until('the outage is noticed', () => bus.state === 'down');
        await bus.jobs.enqueue('q', 'in time');
        gate.refuse();
        await until('the outage is noticed', () => bus.state === 'down');
        const waiting = [1, 2].map(() => codeOfRejection(bus.jobs.enqueue('q', 'too late')));
        expect(await codeOfRejection(bus.jobs.enqueue('q', 'one too many'))).toBe('UNAVAILABLE');
        expect(await Promise.all(waiting)).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
        gate.pass();
        await bus.ready(15_000);
        await bus.jobs.enqueue('q', 'afterwards');
        await until('what was taken is done', () => jobs.length >= 2);
        await settled(straight);
        expect(jobs.map(({ pattern }) => pattern)).toEqual(['in time', 'afterwards']);
      });

      it('says UNCERTAIN when the link breaks before the answer', async () => {
        const { transport, gate } = await set.gated!(stage.prefix);
        const bus = await stage.bus({ on: transport });
        await bus.jobs.enqueue('q', 'declares what it needs');
        gate.blackhole();
        expect(await codeOfRejection(bus.jobs.enqueue('q', 'x'))).toBe('UNCERTAIN');
        gate.pass();
        await bus.ready(15_000);
      });
    }

    if (set.mortal) {
      it('loses nothing when the broker is killed and started again, under load', async () => {
        const { transport, broker } = await set.mortal!(stage.prefix);
        const [speaker, worker] = await Promise.all([stage.bus({ on: transport }), stage.bus({ on: transport })]);
        const { jobs, ready } = await work(worker, { attempts: 19 });
        const taken = new Set<string>();
        let loading = true;
        const load = (async () => {
          for (let n = 0; loading; n++) {
            await speaker.jobs.enqueue('q', 'x', n).then(
              ({ id }) => taken.add(id),
              () => undefined,
            );
            await new Promise((resolve) => setTimeout(resolve, 2));
          }
        })();
        // RabbitMQ 3.10 loses a quorum queue for good if it is killed in the second in which it was declared.
        const declared = performance.now();
        await until('jobs flow', () => jobs.length > 50 && performance.now() - declared > 2_000);
        await broker.kill();
        await until('both have noticed', () => speaker.state === 'down' && worker.state === 'down');
        await broker.start();
        await Promise.all([speaker.ready(30_000), worker.ready(30_000)]);
        await ready();
        const before = jobs.length;
        await until('jobs flow again', () => jobs.length > before + 50);
        loading = false;
        await load;
        await settled(worker);
        const done = new Set(jobs.map(({ id }) => id));
        expect([...taken].filter((id) => !done.has(id))).toEqual([]);
        await Promise.all([speaker.close(), worker.close()]);
      }, 60_000);
    }
  });
}
