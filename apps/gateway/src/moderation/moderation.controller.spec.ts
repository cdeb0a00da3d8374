import { Bus, memory, Moderation, readEnvironment } from '@app/broadcast';
import type { INestApplication } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { LimitsService } from '../limits/limits.service.js';
import { Sessions } from '../sessions.js';
import { SETTINGS } from '../settings.js';
import { HttpAnswerFilter } from '../http/http-answer.filter.js';
import { ModerationController } from './moderation.controller.js';
import { ModerationService } from './moderation.service.js';

describe('moderation by HTTP', () => {
  const bus = new Bus(memory());
  const moderation = new Moderation(bus);
  let app: INestApplication;
  let url: string;

  beforeAll(async () => {
    await bus.connect();
    const module = await Test.createTestingModule({
      controllers: [ModerationController],
      providers: [
        { provide: Bus, useValue: bus },
        { provide: Moderation, useValue: moderation },
        { provide: SETTINGS, useValue: readEnvironment({}) },
        Sessions,
        LimitsService,
        ModerationService,
      ],
    }).compile();
    app = module.createNestApplication({ logger: false });
    app.useGlobalFilters(new HttpAnswerFilter(app.get(LimitsService)));
    await app.listen(0, '127.0.0.1');
    url = await app.getUrl();
  });
  afterAll(async () => {
    await app.close();
    await bus.close();
  });

  async function ask(method: string, path: string, body?: unknown) {
    const response = await fetch(`${url}/v1/${path}`, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: typeof body === 'string' || body === undefined ? body : JSON.stringify(body),
    });
    return [response.status, (await response.json()) as unknown];
  }

  it.each([
    ['bans', 'ban'],
    ['mutes', 'mute'],
  ] as const)('decides and lifts %s, in a room and everywhere', async (path, kind) => {
    const told = { kind, user: 'ann', by: 'api', at: expect.any(Number) };
    expect(await ask('PUT', `rooms/r/${path}/ann`, { duration: '1h', reason: 'x' })).toEqual([
      200,
      { ...told, room: 'r', reason: 'x', until: expect.any(Number) },
    ]);
    expect(await ask('PUT', `${path}/ann`)).toEqual([200, told]);
    expect(moderation.find(kind, 'ann', 'r')).toMatchObject({ kind, user: 'ann' });
    expect(await ask('GET', 'restrictions?user=ann&limit=1')).toEqual([200, { restrictions: [told] }]);
    expect(await ask('GET', 'restrictions?room=r')).toMatchObject([200, { restrictions: [{ room: 'r' }] }]);
    for (const where of [`rooms/r/${path}/ann`, `${path}/ann`]) {
      expect(await ask('DELETE', where)).toEqual([200, { lifted: true }]);
      expect(await ask('DELETE', where)).toEqual([200, { lifted: false }]);
    }
    expect(moderation.find(kind, 'ann', 'r')).toBeUndefined();
  });

  it('kicks, and changes slow mode', async () => {
    const kicked: unknown[] = [];
    moderation.on('kicked', (kick) => kicked.push(kick));
    expect(await ask('POST', 'rooms/r/kicks', { user: 'ann', reason: 'x' })).toEqual([200, {}]);
    expect(await ask('POST', 'kicks', { user: 'ann' })).toEqual([200, {}]);
    expect(kicked).toEqual([
      { user: 'ann', room: 'r', reason: 'x', by: 'api' },
      { user: 'ann', by: 'api' },
    ]);
    expect(await ask('PUT', 'rooms/r/slow-mode', { interval: '10s' })).toEqual([200, { interval: 10_000 }]);
    expect(await ask('DELETE', 'rooms/r/slow-mode')).toEqual([200, { interval: 0 }]);
  });

  it.each([
    ['PUT', 'rooms/r/bans/ann', { duration: -1 }, 'duration'],
    ['PUT', 'rooms/r/bans/a%20b', {}, 'user'],
    ['PUT', 'rooms/%2E%2E%2Fx/bans/ann', {}, 'room'],
    ['PUT', 'rooms/r/slow-mode', {}, 'interval'],
    ['PUT', 'bans/ann', { durations: '10s' }, 'unknown field durations'],
    ['PUT', 'bans/ann', { room: 'r' }, 'unknown field room'],
    ['PUT', 'rooms/r/mutes/ann', { user: 'bob' }, 'unknown field user'],
    ['PUT', 'bans/ann', ['10s'], 'one object'],
    ['POST', 'kicks', { room: 'r' }, 'user'],
    ['GET', 'restrictions?limit=x', undefined, 'limit'],
  ])('refuses what is wrong: %s %s %j', async (method, path, body, what) => {
    const message = expect.stringContaining(what) as string;
    expect(await ask(method, path, body)).toEqual([400, { error: { code: 'BAD_REQUEST', message } }]);
  });

  it('says so when the broker is away', async () => {
    await bus.close();
    const [status, body] = await ask('PUT', 'bans/ann', {});
    expect([status, body]).toMatchObject([503, { error: { code: 'UNAVAILABLE', retryAfter: expect.any(Number) } }]);
  });
});
