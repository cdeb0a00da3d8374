import { fail, ok, warn } from './check.js';
import { verdict } from './doctor.js';
import { nodeVersion } from './host.js';
import {
  judgeAlarm,
  judgeClients,
  judgeClock,
  judgeMemory,
  judgeOpenFiles,
  judgeOutputBuffer,
  judgePersistence,
  judgeRole,
  judgeRoundTrip,
  judgeVersion,
} from './judge.js';
import { judgeQueues } from './rabbitmq.js';

const GB = 1024 ** 3;

describe('the doctor', () => {
  it.each([
    ['7.0.15', '6.2', 'ok'],
    ['6.2.0', '6.2', 'ok'],
    ['10.1', '6.2', 'ok'],
    ['6.0.16', '6.2', 'fail'],
    ['5.0.7', '6.2', 'fail'],
    ['3.10.8', '3.10', 'ok'],
    ['3.9.29', '3.10', 'fail'],
    ['4.1.0', '3.10', 'ok'],
    [undefined, '6.2', 'unknown'],
    ['newest', '6.2', 'unknown'],
  ])('takes version %s where %s is needed for %s', (version, least, status) => {
    const check = judgeVersion('Broker', version, least);
    expect(check.status).toBe(status);
    if (status === 'fail') expect(check.advice).toBe(`upgrade Broker to ${least} or later.`);
  });

  it.each([
    [0, 'ok', "as the broker's"],
    [12, 'ok', "12 ms behind the broker's"],
    [-1_900, 'ok', "1.9 s ahead of the broker's"],
    [5_000, 'warn', "5.0 s behind the broker's"],
    [-60_000, 'fail', "60.0 s ahead of the broker's"],
    [61_500, 'fail', "61.5 s behind the broker's"],
  ])('takes a clock that is %i ms off for %s', (offset, status, found) => {
    expect(judgeClock(offset)).toMatchObject({ status, found });
  });

  it.each([
    ['normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60', 'ok'],
    ['normal 0 0 0 pubsub 268435456 67108864 60', 'ok'],
    ['normal 0 0 0 pubsub 8388608 1048576 60', 'warn'],
    ['normal 0 0 0 pubsub 65536 65536 60', 'fail'],
    ['normal 0 0 0 pubsub 0 0 0', 'warn'],
    [undefined, 'unknown'],
  ])('takes the output buffer limit %s for %s', (value, status) => {
    expect(judgeOutputBuffer(value).status).toBe(status);
  });

  it.each([
    [{ used: GB, max: 0, policy: 'noeviction' }, 'ok'],
    [{ used: GB, max: 0, policy: 'allkeys-lru' }, 'warn'],
    [{ used: GB, max: 4 * GB, policy: 'volatile-ttl' }, 'ok'],
    [{ used: 3.5 * GB, max: 4 * GB, policy: 'noeviction' }, 'warn'],
    [{ used: 3.9 * GB, max: 4 * GB, policy: 'noeviction' }, 'fail'],
    [{ used: GB, max: 4 * GB, policy: 'allkeys-random' }, 'warn'],
  ])('takes memory as in %j for %s', (memory, status) => {
    expect(judgeMemory(memory).status).toBe(status);
  });

  it.each([
    [{ aof_enabled: '1', aof_last_write_status: 'ok', rdb_last_bgsave_status: 'ok' }, 'ok'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'ok' }, 'warn'],
    [{ aof_enabled: '1', aof_last_write_status: 'err' }, 'fail'],
    [{ aof_enabled: '0', rdb_last_bgsave_status: 'err' }, 'fail'],
    [{ loading: '1' }, 'fail'],
  ])('takes persistence as in %j for %s', (fields, status) => {
    const check = judgePersistence(new Map(Object.entries(fields)));
    expect(check.status).toBe(status);
    if ('aof_last_write_status' in fields && status === 'fail') expect(check.found).toContain('the disk may be full');
  });

  it.each([
    ['low on disk', /make room on its disk/],
    ['low on memory', /give it memory/],
    ['low on memory & disk', /make room on its disk/],
  ])('explains a broker that takes no messages: %s', (reason, advice) => {
    expect(judgeAlarm(reason)).toMatchObject({ status: 'fail', advice: expect.stringMatching(advice) as string });
    expect(judgeAlarm(undefined).status).toBe('ok');
  });

  it.each([
    [undefined, 'unknown'],
    [Infinity, 'ok'],
    [1_048_576, 'ok'],
    [4_096, 'warn'],
    [256, 'fail'],
  ])('takes %s open files for %s', (limit, status) => {
    expect(judgeOpenFiles(limit).status).toBe(status);
  });

  it('tells other things from what is good', () => {
    expect([judgeRole('master').status, judgeRole('slave').status, judgeRole(undefined).status]).toEqual([
      'ok',
      'fail',
      'unknown',
    ]);
    expect([judgeClients(10, 10_000).status, judgeClients(9_000, 10_000).status]).toEqual(['ok', 'warn']);
    expect([judgeRoundTrip(1).status, judgeRoundTrip(500).status]).toEqual(['ok', 'warn']);
    expect([nodeVersion('20.19.0').status, nodeVersion('18.20.4').status]).toEqual(['ok', 'fail']);
    expect(judgeQueues('streams', undefined, 'x').status).toBe('ok');
    expect(judgeQueues('streams', 'invalid arg x-queue-type', 'histories').advice).toMatch(/enable_feature_flag/);
    expect(judgeQueues('streams', 'ACCESS_REFUSED - configure access', 'histories').advice).toMatch(/rights/);
  });
});

it('the verdict does not keep silent about warnings', () => {
  const [fine, doubtful, broken] = [ok('a', 'x'), warn('b', 'x', 'y'), fail('c', 'x', 'y')];
  expect(verdict([fine])).toBe('Nothing is in the way.');
  expect(verdict([fine, doubtful])).toBe('Nothing is in the way, but there is a warning.');
  expect(verdict([doubtful, doubtful])).toBe('Nothing is in the way, but there are 2 warnings.');
  expect(verdict([fine, doubtful, broken])).toBe('1 of 3 checks failed.');
});
