/*
 * `roomcast load`: a load test of a deployment, over the address that its clients use.
 */
import { readFileSync } from 'node:fs';
import { DONE, FAILED, UsageError, type Command, type Values } from '../command.js';
import { duration, listOf, textOf, wholeNumber } from '../values.js';
import { ms, runLoad, valueAt, type LoadReport } from './run.js';

const PERCENTILES = [50, 75, 90, 99, 99.9, 100];
const BAR = 30;

export const load: Command = {
  name: 'load',
  summary: 'put load on a deployment, by its public address, and count what is lost, doubled and slow',
  args: ['<url>'],
  options: {
    clients: { type: 'string', short: 'c', value: '<n>', help: 'Socket.IO clients', default: '100' },
    rooms: { type: 'string', short: 'r', value: '<n>', help: 'rooms that they are spread over', default: '10' },
    rate: { type: 'string', value: '<n>', help: 'messages a second, in all rooms together', default: '50' },
    duration: { type: 'string', short: 'd', value: '<time>', help: 'how long messages are sent', default: '10s' },
    size: { type: 'string', value: '<bytes>', help: 'about the size of a message', default: '100' },
    room: {
      type: 'string',
      value: '<prefix>',
      help: "begins the rooms' names; up to its ':' it is a profile",
      default: 'load:',
    },
    user: { type: 'string', value: '<prefix>', help: "begins the clients' names", default: 'load' },
    token: {
      type: 'string',
      value: '<token>',
      help: 'what the clients enter with, where anonymous access is off; several, and they take them in turn',
      multiple: true,
    },
    'token-file': { type: 'string', value: '<path>', help: 'the same, a token a line' },
  },
  notes: `Every client sends its share, and hears its whole room. The latency is from when a message was due to each client that
heard it. Clients that lose their line come back and recover: do a rolling restart meanwhile. Exit code 1 when anything
acknowledged was lost or came twice, or was refused. One process drives some thousand clients; start several for more.`,
  run: async ({ args: [url = ''], values, out, ending }) => {
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) {
      throw new UsageError(`expected the address of a gateway or balancer, such as http://127.0.0.1:3000, not ${url}`);
    }
    const options = {
      clients: wholeNumber(values, 'clients', 1, 100_000)!,
      rooms: wholeNumber(values, 'rooms', 1, 100_000)!,
      rate: wholeNumber(values, 'rate', 1, 100_000)!,
      duration: duration(values, 'duration')!,
      size: wholeNumber(values, 'size', 1, 1_000_000)!,
      roomPrefix: textOf(values, 'room')!,
      user: textOf(values, 'user')!,
      tokens: tokensOf(values),
    };
    if (options.rooms > options.clients) throw new UsageError('--rooms: expected no more rooms than clients');
    const report = await runLoad({ ...options, url, ending, progress: (text) => out.progress(text) });
    const isGood = report.lost + report.told + report.duplicated + sum(report.refused) === 0 && report.acknowledged > 0;
    out.result({ ok: isGood, ...facts(report), latency: figures(report) }, text(report, isGood));
    return isGood ? DONE : FAILED;
  },
};

/** @throws UsageError */
function tokensOf(values: Values): readonly string[] {
  const path = textOf(values, 'token-file');
  return [...listOf(values, 'token'), ...(path === undefined ? [] : linesOf(path))];
}

function linesOf(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new UsageError(`--token-file: ${(error as Error).message}`);
  }
  const lines = text.split(/\s+/).filter((line) => line !== '');
  if (lines.length === 0) throw new UsageError(`--token-file: there is no token in ${path}`);
  return lines;
}

function facts({ latency: _latency, ...report }: LoadReport) {
  return { ...report, seconds: Number(report.seconds.toFixed(2)) };
}

/** In ms. */
function figures({ latency }: LoadReport) {
  const entries = PERCENTILES.map((each) => [each === 100 ? 'max' : `p${each}`, Number(ms(latency, each))] as const);
  return {
    unit: 'ms',
    count: latency.totalCount,
    mean: Number((latency.mean / 1_000).toFixed(2)),
    ...Object.fromEntries(entries),
  };
}

function text(report: LoadReport, isGood: boolean): string {
  const { clients, rooms, sent, seconds, acknowledged, latency } = report;
  const lines: [string, string | number][] = [
    ['sent', `${sent} (${Math.round(sent / seconds)} a second)`],
    ['acknowledged', acknowledged],
    ['to be delivered', report.expected],
    ['delivered', report.received],
    ['recovered after a reconnect', report.recovered],
    ['reconnects', report.reconnects],
    ['lost', report.lost],
    ['lost, and told as a gap', report.told],
    ['came twice', report.duplicated],
    ...Object.entries(report.refused).map(([code, count]): [string, number] => [`refused: ${code}`, count]),
  ];
  const max = Math.max(1, latency.maxValue);
  const bars = PERCENTILES.map((percentile) => {
    const value = valueAt(latency, percentile);
    // Of the orders of magnitude: the slowest would leave nothing to see of the others.
    const length = Math.max(1, Math.round((BAR * Math.log1p(value)) / Math.log1p(max)));
    const name = percentile === 100 ? 'max' : `p${percentile}`;
    return `  ${name.padEnd(6)}${ms(latency, percentile).padStart(9)} ms  ${'█'.repeat(length)}`;
  });
  return [
    `${clients} clients in ${rooms} rooms`,
    ...lines.map(([name, value]) => `  ${name.padEnd(29)}${value}`),
    'latency (bars: logarithmic)',
    ...bars,
    isGood ? 'Nothing was lost.' : verdict(report),
  ].join('\n');
}

function verdict({ lost, told, duplicated, refused, acknowledged }: LoadReport): string {
  if (acknowledged === 0 && sum(refused) === 0) return 'Nothing was acknowledged.';
  const limited = refused['RATE_LIMITED'] ?? 0;
  const hint = limited > 0 ? ' More clients would each send less: see RATE_LIMIT.' : '';
  return `Not good: ${lost + told} lost, ${duplicated} twice, ${sum(refused)} refused.${hint}`;
}

function sum(counts: Record<string, number>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
