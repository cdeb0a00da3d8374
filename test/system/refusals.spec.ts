/*
 * A Redis that is there, and refuses: what clients are told, and whoever runs the system.
 */
import { until } from '@app/broadcast/testing';
import { startRedis, type RedisProcess } from '../brokers/redis.js';
import { Client, endAll, runGateway, type Running, type RunningGateway } from './processes.js';

let redis: RedisProcess;

beforeAll(async () => {
  redis = await startRedis();
});

afterAll(async () => {
  endAll();
  await redis.stop();
});

const environment = (user?: string) => ({
  BROADCAST_TRANSPORT: 'redis',
  REDIS_URL: user === undefined ? redis.url : redis.url.replace('//', `//${user}:secret@`),
  HISTORY_SIZE: '10',
  LOG_FORMAT: 'json',
});

function linesOf({ output }: Running): { level: string; message: string }[] {
  const lines = output().trim().split('\n');
  return lines.map((line) => JSON.parse(line) as { level: string; message: string });
}

async function failures({ url }: RunningGateway, reason: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(new RegExp(`^roomcast_publish_failures_total\\{reason="${reason}"\\} (\\d+)$`, 'm').exec(text)?.[1]);
}

async function troubleOf(gateway: RunningGateway): Promise<unknown> {
  const { status, body } = await gateway.ready();
  expect([status, body.broker.state]).toEqual([200, 'up']);
  return (body.broker as { trouble?: string }).trouble;
}

describe('a gateway over a Redis that refuses', () => {
  it('says that it has no memory, to whoever speaks and whoever looks, and goes on when it has', async () => {
    const gateway = await runGateway(environment());
    const ann = await new Client(gateway.url, 'ann').join('r');
    expect(await ann.say('r', 1)).toMatchObject({ ok: true });
    expect(await troubleOf(gateway)).toBeUndefined();
    await redis.cli('config', 'set', 'maxmemory', '1mb');
    const sentence = expect.stringContaining('Redis refuses: OOM command not allowed') as string;
    const began = performance.now();
    const refused = await Promise.all([ann.say('r', 2), ann.say('r', 3)]);
    expect(performance.now() - began).toBeLessThan(5_000);
    for (const { error } of refused) expect(error).toMatchObject({ code: 'UNAVAILABLE', message: sentence });
    expect(await troubleOf(gateway)).toEqual(sentence);
    expect(await failures(gateway, 'memory')).toBe(2);
    expect(await failures(gateway, 'uncertain')).toBe(0);
    expect(linesOf(gateway).filter(({ message }) => message.includes('OOM'))).toHaveLength(1);
    await redis.cli('config', 'set', 'maxmemory', '0');
    expect(await ann.say('r', 4)).toMatchObject({ ok: true });
    expect(await troubleOf(gateway)).toBeUndefined();
    ann.close();
    await gateway.end('SIGTERM');
  });

  it('starts without rights to its keys, and says so in one line', async () => {
    await redis.cli('acl', 'setuser', 'keyless', 'on', '>secret', '&*', '+@all');
    const gateway = await runGateway(environment('keyless'));
    const sentence = expect.stringContaining('Redis refuses: NOPERM') as string;
    await until('it is known', async () => (await troubleOf(gateway)) !== undefined);
    expect(await troubleOf(gateway)).toEqual(sentence);
    expect(linesOf(gateway).filter(({ message }) => message.includes('NOPERM'))).toMatchObject([
      { level: 'error', message: sentence },
    ]);
    const ann = new Client(gateway.url, 'ann');
    expect(await ann.ask('room:join', { room: 'r' })).toMatchObject({ ok: false, error: { message: sentence } });
    ann.close();
    await gateway.end('SIGTERM');
  });
});
