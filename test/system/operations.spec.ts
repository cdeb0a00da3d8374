/*
 * What whoever runs the system sees of it: metrics, health, logs, and how an instance leaves.
 */
import { until } from '@app/broadcast/testing';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { SignJWT } from 'jose';
import { connect, type Socket } from 'node:net';
import { parse } from 'yaml';
import { Client, endAll, runGateway, runNode, type Ready, type Running, type RunningGateway } from './processes.js';

const redis = (prefix = `o${randomBytes(4).toString('hex')}.`) => ({
  BROADCAST_TRANSPORT: 'redis',
  REDIS_URL: process.env['TEST_REDIS_URL']!,
  BROADCAST_PREFIX: prefix,
});
const OPERATIONS = /metrics and health on (http:\S+)/;

afterAll(endAll);

async function textOf(url: string): Promise<string> {
  const response = await fetch(url);
  expect(response.status).toBe(200);
  return response.text();
}

/** The value of a metric, by its line's beginning. */
async function metric(gateway: { url: string }, line: string): Promise<number> {
  const text = await textOf(`${gateway.url}/metrics`);
  const found = text.split('\n').find((each) => each.startsWith(`${line} `));
  return Number(found?.slice(line.length + 1));
}

async function runWorker(environment: NodeJS.ProcessEnv): Promise<Running & { url: string }> {
  const worker = runNode(['dist/apps/worker/src/main.js'], { HOST: '127.0.0.1', METRICS_PORT: '0', ...environment });
  await until('the worker is at work', () => worker.output().includes('is at work'), 20_000);
  return { ...worker, url: OPERATIONS.exec(worker.output())![1]! };
}

describe('two gateways and a worker', () => {
  const environment = redis();
  let gateways: RunningGateway[];
  let worker: Running & { url: string };

  beforeAll(async () => {
    [gateways, worker] = await Promise.all([
      Promise.all(['gw-1', 'gw-2'].map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID }))),
      runWorker(environment),
    ]);
  }, 60_000);
  afterAll(() => Promise.all([...gateways, worker].map((each) => each.end('SIGTERM'))));

  it('count what happens in rooms, on the instance where it happens', async () => {
    const [one, two] = gateways as [RunningGateway, RunningGateway];
    const [ann, bob] = await Promise.all([new Client(one.url).join('a'), new Client(two.url).join('a')]);
    const before = await metric(two, 'roomcast_messages_received_total');
    for (let i = 0; i < 10; i++) await ann.say('a', i);
    await until('it is heard', () => bob.chats.length === 10);
    expect(await metric(two, 'roomcast_messages_received_total')).toBeGreaterThanOrEqual(before + 10);
    expect(await metric(one, 'roomcast_publish_duration_seconds_count')).toBeGreaterThanOrEqual(10);
    expect(await metric(two, 'roomcast_delivery_latency_seconds_count')).toBe(10);
    expect(await metric(two, 'roomcast_connections')).toBe(1);
    expect(await metric(two, 'roomcast_rooms')).toBe(1);
    await until('they know each other', async () => (await metric(two, 'roomcast_instances')) === 2);

    const { meta } = bob.heard.at(-3)!;
    bob.close();
    const back = new Client(one.url);
    expect(await back.ask('room:join', { room: 'a', since: meta })).toMatchObject({ recovered: true });
    expect(await back.ask('room:join', { room: 'a', since: { ...meta, id: 'another' } })).toMatchObject({
      recovered: false,
    });
    expect(await metric(one, 'roomcast_recoveries_total{recovered="true"}')).toBe(1);
    expect(await metric(one, 'roomcast_recoveries_total{recovered="false"}')).toBe(1);
    for (const client of [ann, back]) client.close();
    await until('nobody is connected', async () => (await metric(two, 'roomcast_connections')) === 0);
  });

  it('have every metric that the dashboard, the alerts and the docs name', async () => {
    const texts = await Promise.all([...gateways, worker].map(({ url }) => textOf(`${url}/metrics`)));
    const there = new Set(texts.flatMap((text) => [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name!)));
    const named = (text: string) =>
      [...text.matchAll(/\b(roomcast|process|nodejs)_\w*[a-z](?![\w<])/g)].map(([name]) =>
        name.replace(/_(bucket|sum|count)$/, ''),
      );
    const dashboard = readFileSync('deploy/monitoring/grafana-dashboard.json', 'utf8');
    const { panels } = JSON.parse(dashboard) as { panels: { targets?: { expr: string }[] }[] };
    const expressions = panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(30);
    const wanted = {
      dashboard: named(expressions.join('\n')),
      alerts: named(readFileSync('deploy/monitoring/alerts.yaml', 'utf8')),
      docs: named(readFileSync('docs/operations.md', 'utf8')),
    };
    for (const [where, names] of Object.entries(wanted)) {
      expect([where, names.filter((name) => !there.has(name))]).toEqual([where, []]);
    }
    // And the other way round: nothing of ours is without a line in the docs.
    expect([...there].filter((name) => name.startsWith('roomcast_') && !wanted.docs.includes(name))).toEqual([]);
  });

  it('say on the worker, too, whether it lives and is ready', async () => {
    expect(JSON.parse(await textOf(`${worker.url}/health/live`))).toMatchObject({ status: 'ok' });
    const ready = JSON.parse(await textOf(`${worker.url}/health/ready`)) as Ready;
    expect(ready).toMatchObject({ status: 'ok', draining: false, broker: { transport: 'redis', state: 'up' } });
    expect((await fetch(`${worker.url}/health/other`)).status).toBe(404);
  });
});

describe('each alert', () => {
  interface Rule {
    alert: string;
    expr: string;
    annotations: { summary: string; runbook_url: string };
  }
  const { groups } = parse(readFileSync('deploy/monitoring/alerts.yaml', 'utf8')) as { groups: { rules: Rule[] }[] };
  const rules = groups.flatMap((group) => group.rules);
  const runbook = readFileSync('docs/operations.md', 'utf8');

  it.each(rules.map((rule): [string, Rule] => [rule.alert, rule]))('has a section in the runbook: %s', (name, rule) => {
    expect(rule.annotations.runbook_url).toBe(`docs/operations.md#${name.toLowerCase()}`);
    const [, section] = runbook.split(`\n### ${name}\n`);
    expect(section?.split('\n### ')[0]!.trim().length).toBeGreaterThan(100);
  });
});

describe('a gateway', () => {
  it('has its metrics on a port of their own where that is asked for, and on no other', async () => {
    const gateway = await runGateway({ METRICS_PORT: '0' });
    expect((await fetch(`${gateway.url}/metrics`)).status).toBe(404);
    const operations = OPERATIONS.exec(gateway.output())![1]!;
    expect(await textOf(`${operations}/metrics`)).toContain('roomcast_connections 0\n');
    expect(await textOf(`${operations}/health/live`)).toContain('"status":"ok"');
    expect(await gateway.end('SIGTERM')).toBe(0);
  });

  it('logs JSON with the instance and what it is about, and no secrets', async () => {
    const secret = 'hush-hush-hush-hush-hush-hush-hush';
    const key = new TextEncoder().encode(secret);
    const token = await new SignJWT({ sub: 'ann' })
      .setProtectedHeader({ alg: 'HS256' })
      .setExpirationTime('5m')
      .sign(key);
    const gateway = await runGateway({
      AUTH_JWT_SECRET: secret,
      LOG_FORMAT: 'json',
      LOG_LEVEL: 'debug',
      INSTANCE_ID: 'gw-log',
    });
    const client = new Client(gateway.url, undefined, { auth: { token } });
    await client.join('logged');
    const { id } = await client.say('logged', 'what was said');
    const lines = () =>
      gateway
        .output()
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
    await until('it is logged', () => lines().some(({ request }) => request === 'room:send'));
    expect(lines().every(({ instance }) => instance === 'gw-log')).toBe(true);
    expect(lines().find(({ request }) => request === 'room:send')).toMatchObject({
      level: 'debug',
      context: 'Request',
      room: 'logged',
      id,
      user: 'ann',
    });
    expect(gateway.output()).not.toContain('hush-hush');
    expect(gateway.output()).not.toContain(token);
    expect(gateway.output()).not.toContain('what was said');
    client.close();
    expect(await gateway.end('SIGTERM')).toBe(0);
  });

  it('that is to end is not ready, takes clients for a moment all the same, and then refuses them', async () => {
    const gateway = await runGateway({ DRAIN_DELAY: '1500ms', SHUTDOWN_GRACE: '6s' });
    // Enough for the draining to take a while after the moment is over.
    const clients = Array.from({ length: 60 }, () => new Client(gateway.url, undefined, { reconnection: false }));
    await until('they are there', () => clients.every(({ socket }) => socket.connected));
    const ended = gateway.end('SIGTERM');
    await until('it is not ready', async () => (await gateway.ready()).status === 503);
    expect((await gateway.ready()).body).toMatchObject({ status: 'unavailable', draining: true });
    const late = new Client(gateway.url, undefined, { reconnection: false });
    await until('who comes now is let in', () => late.socket.connected);
    await until('clients are told', () => clients[0]!.heard.some(({ event }) => event === 'server:drain'));
    const handshake = await fetch(`${gateway.url}/socket.io/?EIO=4&transport=polling`);
    expect([handshake.status, handshake.headers.get('retry-after')]).toEqual([503, '1']);
    expect(await metric(gateway, 'roomcast_connections_refused_total{reason="draining"}')).toBe(1);
    expect(await ended).toBe(0);
    expect(late.socket.connected).toBe(false);
  });

  it('without file descriptors refuses connections, keeps its own, and takes clients again', async () => {
    const limited = await runGateway(redis(), ['bash', '-c', 'ulimit -n 800 && exec "$0" "$@"']);
    const sockets: Socket[] = [];
    let closed = 0;
    const { port } = new URL(limited.url);
    for (let i = 0; i < 850; i++) {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => undefined).on('close', () => closed++);
      sockets.push(socket);
    }
    await until('some are refused', () => closed >= 100);
    expect(limited.child.exitCode).toBeNull();
    // Links to the broker are opened when others are lost: there have to be descriptors for them.
    const { body } = await limited.ready().catch(() => ({ body: undefined }));
    expect(body).toBeUndefined();
    for (const socket of sockets) socket.destroy();
    const client = new Client(limited.url);
    await client.join('again');
    expect((await limited.ready()).body).toMatchObject({ status: 'ok', broker: { state: 'up', outages: 0 } });
    expect(await metric(limited, 'roomcast_connections_refused_total{reason="descriptors"}')).toBeGreaterThanOrEqual(
      80,
    );
    expect(limited.output()).toContain('connections are refused: this process may have 800 files open');
    client.close();
    expect(await limited.end('SIGTERM')).toBe(0);
  });
});
