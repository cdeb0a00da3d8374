/*
 * What a feed does when the link goes, or too much arrives, while it is finding its place.
 */
import { Feed, type FeedOptions, type StoredEntry } from '../../libs/broadcast/src/feed.js';

const payload = Buffer.from('{"args":[]}');
const entry = (offset: number): StoredEntry => ({ pos: `e.${offset}`, id: `m${offset}`, payload });

function feedOf(options: Partial<FeedOptions>) {
  const heard: (string | undefined)[] = [];
  const feed = new Feed({
    room: 'r',
    contiguous: true,
    ringSize: 100,
    ringBytes: 1_000_000,
    bufferSize: 10,
    read: () => Promise.resolve({ entries: [], more: false }),
    top: () => Promise.resolve(entry(1)),
    deliver: (_payload, pos) => heard.push(pos),
    gap: () => undefined,
    ...options,
  });
  return { feed, heard };
}

it('a feed whose link goes while it reads what was missed is not live before it has read again', async () => {
  let newest = 3;
  let answer!: () => void;
  const { feed, heard } = feedOf({
    read: async () => {
      const entries = Array.from({ length: newest - 1 }, (_, i) => entry(i + 2));
      await new Promise<void>((resolve) => (answer = resolve));
      return { at: entry(1), entries, more: false };
    },
  });
  await feed.align();
  feed.interrupt();
  const aligning = feed.align();
  feed.interrupt(); // the next link has gone too, after the log was read over it
  newest = 4; // said between that link and the one after it
  answer();
  await expect(aligning).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(feed.isLive).toBe(false);
  expect(heard).toEqual(['e.2', 'e.3']);
});

it('a feed of a shared log that is flooded while it finds its place begins where nothing is missing', async () => {
  let tops = 0;
  let answer!: () => void;
  const { feed, heard } = feedOf({
    contiguous: false,
    top: async () => {
      const top = ++tops === 1 ? entry(1) : entry(30);
      if (tops === 1) await new Promise<void>((resolve) => (answer = resolve));
      return top;
    },
  });
  const aligning = feed.align();
  for (let offset = 2; offset <= 20; offset++) feed.receive(payload, `e.${offset}`);
  answer();
  await aligning;
  expect(feed.last!.pos).toBe('e.30');
  feed.receive(payload, 'e.31');
  // Nobody was in the room yet: it is a beginning, and not one with a hole from 12 to 20.
  expect(heard).toEqual(['e.31']);
  const since = await feed.replay(entry(5), 100, ({ recovered }) => recovered);
  expect(since).toBe(false);
});
