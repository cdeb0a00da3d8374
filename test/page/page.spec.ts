/*
 * The page at `/` as people have it: in a real browser, on two gateways over Redis.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { get } from 'node:http';
import { join } from 'node:path';
import type { Locator, Page } from 'playwright-core';
import { until } from '@app/broadcast/testing';
import { Client, endAll, runGateway, type RunningGateway } from '../system/processes.js';
import { startBrowser, type Browser } from './browser.js';

/** Where pictures go, if anybody wants to look at them. */
const pictures = process.env['PAGE_PICTURES'];
const DESK = { width: 1280, height: 820 };
const SMALL = { width: 360, height: 800 };
const PHONE = { width: 390, height: 844 };

let browser: Browser;
let gateways: RunningGateway[];

beforeAll(async () => {
  const environment = {
    BROADCAST_TRANSPORT: 'redis',
    REDIS_URL: process.env['TEST_REDIS_URL']!,
    BROADCAST_PREFIX: `p${randomBytes(4).toString('hex')}.`,
    ROOM_PROFILES: JSON.stringify({ short: { history: { size: 5 } } }),
  };
  const names = ['gateway-1', 'gateway-2'];
  [browser, ...gateways] = await Promise.all([
    startBrowser(),
    ...names.map((INSTANCE_ID) => runGateway({ ...environment, INSTANCE_ID })),
  ]);
}, 60_000);

afterAll(async () => {
  await browser?.close();
  endAll();
});

/** The page with a pane on each gateway, both in a room of their own. */
async function openBoth(kind = 'room') {
  const { context, errors } = await browser.open({ viewport: DESK });
  const page = await context.newPage();
  const room = `${kind}:${randomBytes(2).toString('hex')}`;
  const [first, second] = gateways.map(({ url }) => new URL(url).port);
  await page.goto(`${gateways[0]!.url}/?panes=${first},${second}&room=${room}`);
  const [ann, bob] = [page.locator('.pane').nth(0), page.locator('.pane').nth(1)];
  for (const pane of [ann, bob]) await isLive(pane);
  return { context, errors, page, room, ann, bob };
}

const isLive = (pane: Locator) => until('the pane is live', async () => (await stateOf(pane)) === 'live');
const stateOf = (pane: Locator) => pane.getAttribute('data-state');
const said = (pane: Locator) => pane.locator('.talk .text').allTextContents();
const noted = (pane: Locator, kind: string) => pane.locator(`.note[data-kind=${kind}]`).allTextContents();
const figure = (pane: Locator, name: string) => pane.locator(`[data-show=${name}]`).textContent();

async function say(pane: Locator, text: string): Promise<void> {
  // Not every pane is in sight on a phone.
  await pane.locator('.composer').evaluate((form, text) => {
    const { elements } = form as unknown as { elements: Record<string, { value: string }> };
    elements['text']!.value = text;
    (form as unknown as { requestSubmit: () => void }).requestSubmit();
  }, text);
}

async function picture(page: Page, name: string): Promise<void> {
  if (pictures === undefined) return;
  mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: join(pictures, `${name}.png`) });
}

describe('the page', () => {
  it('has two panes on two instances talk to each other, and says which instances they are', async () => {
    const { context, errors, page, ann, bob } = await openBoth();
    await until('both know their instance', async () => (await figure(bob, 'instance')) === 'gateway-2');
    expect(await figure(ann, 'instance')).toBe('gateway-1');
    expect(await figure(bob, 'place')).toMatch(/^127\.0\.0\.1:\d+ over redis$/);
    await say(ann, 'Hello from the first gateway');
    await until('bob hears ann', async () => (await said(bob)).includes('Hello from the first gateway'));
    await say(bob, '<img src=x onerror=alert(1)> & "all of it"');
    await until('ann hears bob, as text', async () =>
      (await said(ann)).includes('<img src=x onerror=alert(1)> & "all of it"'),
    );
    expect(await page.locator('.talk img').count()).toBe(0);
    // What was said before it has come back, and it itself, are one line.
    expect(await said(ann)).toHaveLength(2);
    expect(await ann.locator('[data-waiting]').count()).toBe(0);
    await until('the round trip is measured', async () => /ms/.test((await figure(ann, 'latency')) ?? ''));
    await picture(page, 'two-panes');
    expect(errors).toEqual([]);
    await context.close();
  });

  it('shows what was missed as recovered when a line that was cut is back, and says what was to be said', async () => {
    const { context, errors, page, room, ann, bob } = await openBoth();
    await ann.locator('[data-do=counting]').click();
    await until('bob hears ann count', async () => (await bob.locator('.counting').count()) === 1);
    await bob.locator('[data-do=cut]').click();
    await until('the line is cut', async () => (await stateOf(bob)) === 'cut');
    const before = await figure(ann, 'room');
    expect(before).toBe(room);
    await say(bob, 'said while away');
    await say(ann, 'Can you hear this?');
    await ann.locator('[data-do=counting]').click();
    await until('ann hears herself', async () => (await ann.locator('[data-waiting]').count()) === 0);
    expect(await said(bob)).toEqual(['said while away']);
    await picture(page, 'cut');
    await bob.locator('[data-do=cut]').click();
    await isLive(bob);
    await until('it has been recovered', async () => (await said(bob)).includes('Can you hear this?'));
    expect(await noted(bob, 'recovered')).toEqual([
      expect.stringMatching(/^Back after [\d.]+ s: \d+ missed messages? recovered$/),
    ]);
    expect(await bob.locator('.said[data-recovered] .text').allTextContents()).toEqual(['Can you hear this?']);
    await until('what waited has been said', async () => (await said(ann)).includes('said while away'));
    await until('it has come back', async () => (await bob.locator('[data-waiting]').count()) === 0);
    expect(await said(bob)).toEqual(await said(ann));
    // Not one number is missing, and none was heard twice.
    expect(await noted(bob, 'gap')).toEqual([]);
    const counted = await ann.locator('.counting b').last().textContent();
    expect((await bob.locator('.counting b').last().textContent())?.split(' ').at(-1)).toBe(counted?.split(' ').at(-1));
    await until('the figures say so', async () => Number(await figure(bob, 'recovered')) > 0);
    expect(await figure(bob, 'gaps')).toBe('0');
    await picture(page, 'recovered');
    expect(errors).toEqual([]);
    await context.close();
  });

  it('shows a gap where more was missed than can be recovered', async () => {
    const { context, room, bob } = await openBoth('short');
    const other = await new Client(gateways[0]!.url, 'eve').join(room);
    await other.say(room, { text: 'first' });
    await until('bob hears it', async () => (await said(bob)).includes('first'));
    await bob.locator('[data-do=cut]').click();
    await until('the line is cut', async () => (await stateOf(bob)) === 'cut');
    await Promise.all(Array.from({ length: 50 }, (_, n) => other.say(room, { text: `while away ${n}` })));
    await bob.locator('[data-do=cut]').click();
    await isLive(bob);
    expect(await noted(bob, 'gap')).toEqual(['Gap: too much was said, or it is not kept any more']);
    await until('the figures say so', async () => (await figure(bob, 'gaps')) === '1');
    other.close();
    await context.close();
  });

  it('shows what was said before one came, page by page', async () => {
    const { context, room, page } = await openBoth();
    const other = await new Client(gateways[0]!.url, 'eve').join(room);
    for (let n = 0; n < 70; n++) await other.say(room, { text: `line ${n}` });
    await page.reload();
    const pane = page.locator('.pane').nth(1);
    await isLive(pane);
    await until('the last ones are there', async () => (await said(pane)).at(-1) === 'line 69');
    expect(await said(pane)).toHaveLength(50);
    await pane.locator('[data-do=earlier]').click();
    await until('all of them are there', async () => (await said(pane))[0] === 'line 0');
    expect(await said(pane)).toEqual(Array.from({ length: 70 }, (_, n) => `line ${n}`));
    expect(await pane.locator('[data-do=earlier]').isHidden()).toBe(true);
    other.close();
    await context.close();
  });

  it('is entered by a form, which says in a sentence what is wrong with it', async () => {
    const { context, errors } = await browser.open({ viewport: DESK });
    const page = await context.newPage();
    await page.goto(gateways[0]!.url);
    const [name, room] = [page.getByLabel('Your name'), page.getByLabel('Room')];
    await room.fill('a b');
    await page.getByRole('button', { name: 'Join' }).click();
    expect(await page.getByRole('alert').textContent()).toBe('Room: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -');
    await name.fill('kim');
    await room.fill('by-keyboard');
    await picture(page, 'entrance');
    await room.press('Enter');
    const pane = page.locator('.pane');
    await isLive(pane);
    // The keyboard is where the next thing happens.
    await page.keyboard.type('typed');
    await page.keyboard.press('Enter');
    await until(
      'it is said',
      async () => (await pane.locator('.mine:not([data-waiting]) .text').allTextContents())[0] === 'typed',
    );
    expect(errors).toEqual([]);
    await context.close();
  });

  it('counts who is there after a reload, when nobody was told of a leave', async () => {
    const { context, page, room } = await openBoth();
    await page.reload();
    for (const pane of await page.locator('.pane').all()) {
      await isLive(pane);
      await until('both are named', async () => (await pane.locator('.members li').count()) === 2);
      await until('both are counted', async () => (await figure(pane, 'count')) === '2 here');
    }
    expect(await figure(page.locator('.pane').first(), 'room')).toBe(room);
    await context.close();
  });

  it('follows the conversation while members come, until somebody scrolls away', async () => {
    const { context, errors } = await browser.open({ viewport: SMALL });
    const page = await context.newPage();
    const room = `room:${randomBytes(2).toString('hex')}`;
    const eve = await new Client(gateways[0]!.url, 'eve').join(room);
    for (let n = 0; n < 40; n++) await eve.say(room, { text: `line ${n}` });
    await page.goto(`${gateways[1]!.url}/?panes=${new URL(gateways[1]!.url).port}&room=${room}`);
    const pane = page.locator('.pane');
    await isLive(pane);
    await until('the history is there', async () => (await said(pane)).length === 40);
    const height = () =>
      pane.locator('.scroll').evaluate((scroll) => (scroll as { clientHeight: number }).clientHeight);
    const below = () =>
      pane.locator('.scroll').evaluate((scroll) => {
        const { scrollHeight, scrollTop, clientHeight } = scroll as unknown as Record<string, number>;
        return scrollHeight! - scrollTop! - clientHeight!;
      });
    const before = await height();
    const crowd = await Promise.all(
      Array.from({ length: 12 }, (_, n) => new Client(gateways[0]!.url, `somebody-${n}`).join(room)),
    );
    await until('they are named', async () => (await pane.locator('.members li').count()) === 13);
    expect(await height()).toBeLessThan(before - 48);
    await until('the end is in sight', async () => (await below()) < 2);
    await eve.say(room, { text: 'still in sight' });
    await until('it is heard', async () => (await said(pane)).at(-1) === 'still in sight');
    await until('the end is in sight', async () => (await below()) < 2);
    await picture(page, 'crowd');
    await pane.locator('.scroll').hover();
    await page.mouse.wheel(0, -300);
    await until('it is scrolled back', async () => (await below()) > 200);
    crowd.forEach((client) => client.close());
    await eve.say(room, { text: 'out of sight' });
    await until('it is heard', async () => (await said(pane)).at(-1) === 'out of sight');
    expect(await below()).toBeGreaterThan(200);
    expect(await pane.locator('.newest').isVisible()).toBe(true);
    eve.close();
    expect(errors).toEqual([]);
    await context.close();
  });

  it('has place for a long address on a small phone', async () => {
    const { context } = await browser.open({ viewport: SMALL });
    const page = await context.newPage();
    await page.goto(gateways[0]!.url);
    await page.getByRole('button', { name: 'Join' }).click();
    await isLive(page.locator('.pane'));
    const place = page.locator('.place');
    await until('it says where it is', async () => (await place.textContent())!.includes('over redis'));
    await place.locator('span').evaluate((text) => {
      (text as { textContent: string }).textContent = 'gateway-1.rooms.example.org:3000 over rabbitmq';
    });
    const [text, button] = await Promise.all([
      place.locator('span').boundingBox(),
      page.locator('[data-do=cut]').boundingBox(),
    ]);
    expect(text!.x + text!.width <= button!.x || text!.y >= button!.y + button!.height).toBe(true);
    await picture(page, 'small');
    await context.close();
  });

  it.each([
    [{ AUTH_ANONYMOUS: 'false' }, 'You need a token', 'ann', 'You need a token here: ask whoever runs this service'],
    [{ AUTH_ANONYMOUS: 'true' }, 'A name that begins with guest-', 'ann', 'without a token a name begins with guest-'],
  ])('tells people who may enter, with %j', async (access, hint, name, refusal) => {
    const secret = 'only-for-this-test-only-for-this-test';
    const gateway = await runGateway({ BROADCAST_TRANSPORT: 'memory', AUTH_JWT_SECRET: secret, ...access });
    const { context } = await browser.open({ viewport: DESK });
    const page = await context.newPage();
    await page.goto(gateway.url);
    expect(await page.locator('.hint').first().textContent()).toContain(hint);
    await page.getByLabel('Your name').fill(name);
    await page.getByRole('button', { name: 'Join' }).click();
    const alert = page.getByRole('alert');
    await until('it says why not', async () => ((await alert.textContent()) ?? '').includes(refusal));
    expect(await alert.textContent()).not.toContain('io(');
    expect(await page.getByLabel('Token').isVisible()).toBe(true);
    await picture(page, `access-${access.AUTH_ANONYMOUS}`);
    if (access.AUTH_ANONYMOUS === 'true') {
      await page.getByLabel('Your name').fill('guest-ann');
      await page.getByRole('button', { name: 'Join' }).click();
      await isLive(page.locator('.pane'));
    }
    await context.close();
    await gateway.end('SIGTERM');
  });

  it('connects to its own host only, whatever its address says', async () => {
    const { context } = await browser.open({ viewport: DESK });
    const page = await context.newPage();
    await page.goto(`${gateways[0]!.url}/?panes=http://example.invalid&room=welcome`);
    const alert = page.getByRole('alert');
    await until('it says so', async () =>
      ((await alert.textContent()) ?? '').includes('http://example.invalid, name that in CORS_ORIGINS'),
    );
    await page.getByLabel('Gateway').fill(new URL(gateways[1]!.url).port);
    await page.getByRole('button', { name: 'Join' }).click();
    await until('it is loaded for the other port', () =>
      page.url().includes(`panes=${new URL(gateways[1]!.url).port}`),
    );
    await isLive(page.locator('.pane'));
    expect(await figure(page.locator('.pane'), 'place')).toContain(new URL(gateways[1]!.url).host);
    await context.close();
  });

  it.each(['light', 'dark'] as const)('can be read in %s, on a desk and on a phone, and fits', async (colorScheme) => {
    const { context, errors, page, ann, bob } = await openBoth();
    await page.emulateMedia({ colorScheme });
    await say(ann, 'Hello from the first gateway');
    await until('bob hears ann', async () => (await said(bob)).length === 1);
    await ann.locator('[data-do=counting]').click();
    await until('some seconds are drawn', async () => Number(await figure(bob, 'rate')) > 2);
    expect(await contrasts(page)).toEqual([]);
    expect(await page.locator('.u-wrap canvas').count()).toBe(4);
    await picture(page, `desk-${colorScheme}`);
    await page.setViewportSize(PHONE);
    const isOut = () => page.evaluate('document.documentElement.scrollWidth > innerWidth');
    expect(await isOut()).toBe(false);
    expect([await ann.isVisible(), await bob.isVisible()]).toEqual([true, false]);
    await page.getByRole('group', { name: 'Pane to show' }).getByRole('button', { name: 'gateway-2' }).click();
    expect([await ann.isVisible(), await bob.isVisible()]).toEqual([false, true]);
    expect(await bob.getByLabel('Message').isVisible()).toBe(true);
    await picture(page, `phone-${colorScheme}`);
    expect(errors).toEqual([]);
    await context.close();
  });
});

describe('what the gateway serves', () => {
  it('is the page, small, with nothing from outside and nothing inline', async () => {
    const { url } = gateways[0]!;
    const page = await fetch(url);
    const policy = page.headers.get('content-security-policy');
    expect(policy).toContain("default-src 'none'; script-src 'self'; style-src 'self'");
    expect(policy).not.toMatch(/unsafe|\*/);
    const html = await page.text();
    expect(html).not.toMatch(/(src|href)="(https?:)?\/\//);
    const files = [...html.matchAll(/(?:src|href)="(page\/[^"]+)"/g)].map(([, file]) => file);
    let bytes = 0;
    for (const file of new Set(files)) {
      const answer = await fetch(`${url}/${file}`);
      expect([file, answer.status]).toEqual([file, 200]);
      bytes += Number(answer.headers.get('content-length'));
      expect(await statusOf(`${url}/${file}`, { 'If-None-Match': answer.headers.get('etag')! })).toBe(304);
    }
    expect(files.length).toBeGreaterThan(10);
    expect(bytes).toBeLessThan(100_000);
  });

  it.each(['page/nothing.js', 'page/index.html', 'page/..%2fpage.controller.js', 'page/__proto__'])(
    'is not %s',
    async (path) => {
      expect((await fetch(`${gateways[0]!.url}/${path}`)).status).toBe(404);
    },
  );
});

/** `fetch()` asks for a fresh copy where a tag is given. */
function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    get(url, { headers, agent: false }, (answer) => resolve(answer.resume().statusCode)).on('error', reject);
  });
}

/** Texts in sight that stand out less than WCAG AA asks for (4.5 to 1), on a ground of one colour. */
async function contrasts(page: Page): Promise<string[]> {
  return page.evaluate(`(() => {
    const canvas = Object.assign(document.createElement('canvas'), { width: 1, height: 1 }).getContext('2d', { willReadFrequently: true });
    const over = (colours) => {
      canvas.clearRect(0, 0, 1, 1);
      for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
      return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const light = (rgb) => rgb.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
      .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
    const bad = [];
    for (const element of document.querySelectorAll('body *')) {
      const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!text || !element.checkVisibility() || element.disabled || element.closest('[data-waiting]')) continue;
      const grounds = [];
      for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
      const [a, b] = [light(over(grounds)), light(over([...grounds, getComputedStyle(element).color]))];
      const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (ratio < 4.5) bad.push(element.className + ' ' + element.textContent.trim().slice(0, 30) + ' ' + ratio.toFixed(2));
    }
    return bad;
  })()`);
}
