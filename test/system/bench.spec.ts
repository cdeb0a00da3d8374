/*
 * That the bench runs to its end and loses nothing, and that it would tell. Never how fast anything is.
 */
import { createServer } from 'node:http';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Server } from 'socket.io';
import { endAll, runNode } from './processes.js';

interface Figure {
  subject: string;
  median?: number;
  voids: number;
}

type Results = Record<string, { figures: Figure[]; ratios: unknown[]; quick: boolean }>;

// In a variable, because there are no types for it.
const file = (name: string): string => `../../bench/${name}.mjs`;
const folder = mkdtempSync(join(tmpdir(), 'roomcast-bench-'));

afterAll(() => {
  endAll();
  rmSync(folder, { recursive: true });
});

describe('npm run bench', () => {
  it('runs in its quick form over both brokers, loses nothing, and writes JSON, Markdown and a chart', async () => {
    const rows = ['P1', 'P3', 'P7', 'transports'];
    const bench = runNode(['bench/run.mjs', '--quick', '--out', join(folder, 'quick'), ...rows]);
    expect([await bench.end(), bench.output()]).toEqual([0, expect.stringContaining('P1')]);
    const results = JSON.parse(readFileSync(join(folder, 'quick.json'), 'utf8')) as Results;
    expect(Object.keys(results)).toEqual(rows);
    for (const [row, { figures, quick }] of Object.entries(results)) {
      expect({ row, quick, void: figures.filter(({ voids }) => voids > 0) }).toEqual({ row, quick: true, void: [] });
      expect(figures.every(({ median }) => Number.isFinite(median))).toBe(true);
    }
    const subjects = results['P1']!.figures.map(({ subject }) => subject);
    expect(subjects).toEqual(
      expect.arrayContaining(['Roomcast, Redis', 'redis-adapter', 'streams adapter', 'ws by hand']),
    );
    expect(readFileSync(join(folder, 'quick.md'), 'utf8')).toContain('| P1 | CPU per delivery');
    expect(readFileSync(join(folder, 'quick.svg'), 'utf8')).toMatch(/^<svg .*<\/svg>\n$/s);
  }, 120_000);

  it('says what rows there are when it is asked for another', async () => {
    const bench = runNode(['bench/run.mjs', 'P99']);
    expect(await bench.end()).toBe(1);
    expect(bench.output()).toContain('There is no row P99: expected P1 P1b P2');
  });
});

describe('a crowd of raw and real clients', () => {
  const http = createServer();
  const server = new Server(http);
  let crowd: any; // eslint-disable-line @typescript-eslint/no-explicit-any -- there are no types for it
  let text: (number: number, bytes: number) => string;

  beforeAll(async () => {
    server.on('connection', (socket) => void socket.join(socket.handshake.query['room'] as string));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    const { Crowd } = await import(file('crowd'));
    ({ text } = await import(file('messages')));
    crowd = new Crowd();
    await crowd.connect({ port: (http.address() as AddressInfo).port, clients: 5, real: 2, room: 'a' });
  });

  beforeEach(() => crowd.reset());

  afterAll(async () => {
    crowd.close();
    await server.close();
  });

  const say = (number: number, bytes = 100) => server.to('a').emit('m', text(number, bytes));

  it('counts what each of them hears, of any length', async () => {
    const lengths = [100, 100, 100];
    lengths.forEach((bytes, number) => say(number, bytes));
    await crowd.expect(15);
    server.to('a').emit('other', 'x'.repeat(70_000)); // an event of another name, for the raw ones, in a long frame
    await crowd.expect(18);
  });

  it.each([
    ['is lost', () => say(0), '5 of 10 deliveries arrived'],
    ['comes twice', () => [0, 1, 1].forEach((number) => say(number)), 'message 1 came where 2 was due'],
    ['is out of order', () => [1, 0].forEach((number) => say(number)), 'message 1 came where 0 was due'],
    ['is cut', () => [0, 1].forEach((number) => say(number, 90)), 'a message of 90 bytes, not 100'],
  ])('tells that a message %s', async (_, speak, why) => {
    speak();
    await expect(crowd.expect(10, 500)).rejects.toMatchObject({ lost: true, message: expect.stringContaining(why) });
  });
});

describe('rounds', () => {
  it('report a run that lost something as void, and go on', async () => {
    const { Rounds } = await import(file('rounds'));
    const lost = Object.assign(new Error('9 of 10 arrived'), { lost: true });
    let runs = 0;
    const measure = async (value: number) => {
      if (++runs === 4) throw lost;
      return { value };
    };
    const subjects = [
      ['ours', 1],
      ['theirs', 4],
    ];
    const rounds = await Rounds.of({ pairs: 2, say: () => {} }, subjects, measure, { what: 'it', warm: false });
    const { figures, ratios } = rounds.figures({
      what: 'it',
      unit: '',
      key: 'value',
      ours: 'ours',
      against: 'theirs',
      goal: 0.5,
    });
    expect(figures).toMatchObject([
      { subject: 'ours', median: 1, voids: 0, values: [1, 1] },
      { subject: 'theirs', median: 4, voids: 1, values: [4] },
    ]);
    expect(ratios).toMatchObject([{ median: 0.25, goal: 0.5, met: true, values: [0.25] }]);
  });
});
