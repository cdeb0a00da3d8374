/*
 * One trace over the whole system: from a gateway through the broker to another one, and from who hands in a job to the
 * worker that does it and the gateways that deliver what it says.
 */
import { Jobs, readEnvironment } from '@app/broadcast';
import { until } from '@app/broadcast/testing';
import * as telemetry from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from '@opentelemetry/sdk-trace-base';
import { randomBytes } from 'node:crypto';
import { startGateway, type Gateway } from '../../apps/gateway/src/gateway.js';
import { startWorker, type Worker } from '../../apps/worker/src/worker.js';
import { transports } from '../transports.js';
import { Client, endAll } from './processes.js';

const KEY = 'a-key-of-the-traces-that-is-long-enough';
const exporter = new InMemorySpanExporter();
const tracer = telemetry.trace.getTracer('test');

beforeAll(() => {
  telemetry.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
  telemetry.trace.setGlobalTracerProvider(
    new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
  );
});
afterAll(() => {
  endAll();
  telemetry.trace.disable();
  telemetry.context.disable();
});

/** The spans of a trace, each as `name, name of its parent, instance`. */
function tree(traceId: string): string[] {
  const spans = exporter.getFinishedSpans().filter((span) => span.spanContext().traceId === traceId);
  const nameOf = (id?: string) => spans.find((span) => span.spanContext().spanId === id)?.name ?? '-';
  const line = ({ name, parentSpanContext, attributes }: ReadableSpan) =>
    [name, 'of', nameOf(parentSpanContext?.spanId), ...[attributes['roomcast.instance'] ?? []].flat()].join(' ');
  return spans.map(line).sort();
}

describe.each(transports)('a trace over %s', (name, prepare) => {
  let gateways: Gateway[];
  let worker: Worker;

  beforeAll(async () => {
    const make = prepare(`t${randomBytes(4).toString('hex')}.`);
    const settings = (INSTANCE_ID: string) =>
      readEnvironment({
        INSTANCE_ID,
        PORT: '0',
        HOST: '127.0.0.1',
        LOG_LEVEL: 'error',
        SHUTDOWN_GRACE: '1s',
        HISTORY_SIZE: '100',
        API_KEYS: KEY,
      });
    gateways = await Promise.all(['gw-1', 'gw-2'].map((id) => startGateway(settings(id), make())));
    worker = await startWorker(settings('worker-1'), make());
  });
  afterAll(() => Promise.all([...gateways, worker].map(({ app }) => app.close())));
  afterEach(() => exporter.reset());

  it('goes from one gateway to the other', async () => {
    const [ann, bob] = await Promise.all(gateways.map(({ url }) => new Client(url).join('traced')));
    expect(await ann!.say('traced', 'hi')).toMatchObject({ ok: true });
    await until('it is heard', () => bob!.chats.length === 1);
    const [publish] = exporter
      .getFinishedSpans()
      .filter(({ attributes }) => attributes['messaging.destination.name'] === 'traced');
    const { traceId } = publish!.spanContext();
    await until('all have told', () => tree(traceId).length === 3);
    expect(tree(traceId)).toEqual(['deliver of publish gw-1', 'deliver of publish gw-2', 'publish of -']);
    for (const client of [ann!, bob!]) client.close();
  });

  it('goes from a broadcast to each of its rooms', async () => {
    const clients = await Promise.all(gateways.map(({ url }, i) => new Client(url).join(`each-${i}`)));
    const answer = await fetch(`${gateways[0]!.url}/v1/broadcasts`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' },
      body: JSON.stringify({ rooms: ['each-0', 'each-1'], event: 'chat', data: 1 }),
    });
    expect(answer.status).toBe(200);
    await until('it is heard', () => clients.every(({ chats }) => chats.length === 1));
    const [publish] = exporter
      .getFinishedSpans()
      .filter(({ attributes }) => attributes['messaging.destination.name'] === '2 rooms');
    const { traceId } = publish!.spanContext();
    await until('all have told', () => tree(traceId).length === 3);
    expect(tree(traceId)).toEqual(['deliver of publish gw-1', 'deliver of publish gw-2', 'publish of -']);
    for (const client of clients) client.close();
  });

  it('goes on in a job, and in what the job says', async () => {
    const client = await new Client(gateways[1]!.url).join('worked');
    const root = tracer.startSpan('request');
    await telemetry.context.with(telemetry.trace.setSpan(telemetry.context.active(), root), () =>
      gateways[0]!.app.get(Jobs).enqueue('rooms', 'room.publish', { rooms: ['worked'], event: 'chat', data: 1 }),
    );
    root.end();
    await until('it is heard', () => client.chats.length === 1);
    const { traceId } = root.spanContext();
    await until('all have told', () => tree(traceId).length === 5);
    expect(tree(traceId)).toEqual([
      'deliver of publish gw-2',
      'enqueue of request',
      'job of enqueue',
      'publish of job',
      'request of -',
    ]);
    client.close();
  });

  it(`says nothing that ${name} or the clients would notice`, async () => {
    const client = await new Client(gateways[1]!.url).join('plain');
    await client.say('plain', 'hi');
    await until('it is heard', () => client.heard.length === 1);
    expect(Object.keys(client.heard[0]!.meta!).sort()).toEqual(['at', 'from', 'id', 'pos', 'room']);
    client.close();
  });
});
