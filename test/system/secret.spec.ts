/*
 * A gateway and a worker that share a secret, as processes, and what somebody who has found the broker can do to them.
 */
import { BroadcastModule, Bus, redis } from '@app/broadcast/nest';
import { until } from '@app/broadcast/testing';
import { Test } from '@nestjs/testing';
import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { Client, endAll, runGateway, runNode } from './processes.js';

const REDIS_URL = process.env['TEST_REDIS_URL']!;
const BROADCAST_SECRET = 'the secret of the system,the one before it';
const emit = (text: string) => JSON.stringify({ v: 1, kind: 'emit', rooms: ['r'], args: ['chat', text] });
const chat = (text: string) => JSON.stringify({ event: 'chat', data: text });

afterAll(endAll);

it.each([false, true])('makes nobody act who cannot sign; signatures required in rooms: %s', async (required) => {
  const BROADCAST_PREFIX = `s${randomBytes(4).toString('hex')}.`;
  const open = { BROADCAST_TRANSPORT: 'redis', REDIS_URL, BROADCAST_PREFIX };
  const environment = { ...open, BROADCAST_SECRET, BROADCAST_REQUIRE_SIGNED: String(required) };
  const worker = runNode(['dist/apps/worker/src/main.js'], environment);
  await until('the worker is at work', () => worker.output().includes('is at work'));
  const gateway = await runGateway(environment);
  // The gateway tells the instances that it has started, and the worker notes it.
  await until('the worker hears the gateway', () => worker.output().includes('gateway.started'));
  const ann = await new Client(gateway.url, 'ann').join('r');

  const broker = new Redis(REDIS_URL);
  await broker.publish(`${BROADCAST_PREFIX}roomcast:all`, emit('forged'));
  await broker.publish(`${BROADCAST_PREFIX}live_room:r`, chat('from a service'));
  await broker.quit();
  const stranger = runNode(['scripts/announce.mjs', 'r', 'forged'], open);
  expect(await stranger.end()).toBe(1);
  expect(await runNode(['scripts/announce.mjs', 'r', 'announced'], environment).end()).toBe(0);
  expect(await ann.say('r', 'said')).toMatchObject({ ok: true });

  await until('ann hears both', () => ann.heard.length >= 2 + (required ? 0 : 1));
  const words = ann.heard.map(({ event, data }) => (event === 'chat' ? data : (data as { text: string }).text));
  expect(words).toEqual([...(required ? [] : ['from a service']), 'announced', 'said']);
  const { body } = await gateway.ready();
  // The emit, and the question of the stranger, who asks again; where signatures are required, what was said in the room too.
  expect(body.broker.untrusted).toBeGreaterThanOrEqual(required ? 3 : 2);
  expect(gateway.output()).toMatch(/was dropped: it is not signed; its sender needs the secret \{ code: 'UNTRUSTED'/);
  expect(gateway.output() + worker.output()).not.toContain('the secret of');
  ann.close();
  expect(await Promise.all([gateway.end('SIGTERM'), worker.end('SIGTERM')])).toEqual([0, 0]);
});

it('is given to forRoot() by the environment', async () => {
  const BROADCAST_PREFIX = `s${randomBytes(4).toString('hex')}.`;
  const environment = { BROADCAST_TRANSPORT: 'redis', REDIS_URL, BROADCAST_PREFIX, BROADCAST_SECRET };
  Object.assign(process.env, environment, { BROADCAST_REQUIRE_SIGNED: 'true' });
  const module = await Test.createTestingModule({ imports: [BroadcastModule.forRoot()] }).compile();
  for (const name of [...Object.keys(environment), 'BROADCAST_REQUIRE_SIGNED']) delete process.env[name];
  await module.init();
  const bus = module.get(Bus);
  await bus.subscribe('room:r', () => undefined).ready();
  const stranger = new Bus(redis({ url: REDIS_URL, prefix: BROADCAST_PREFIX }));
  await stranger.connect();
  await stranger.control.send('all', { kind: 'test' }, []);
  await stranger.publish('room:r', Buffer.from(chat('plain')));
  await until('both are refused', () => bus.counts.untrusted === 2);
  await Promise.all([stranger.close(), module.close()]);
});
