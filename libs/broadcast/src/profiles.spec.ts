import { DEFAULT_HISTORY, Profiles } from './profiles.js';

describe('profiles of rooms', () => {
  it('keep nothing unless told to', () => {
    expect(new Profiles().historyOf('a')).toBeUndefined();
    expect(new Profiles().retention).toBe(0);
  });

  it('keep every room where a history is given, with the usual time to live', () => {
    expect(new Profiles({ history: { size: 7 } }).historyOf('a')).toEqual({ size: 7, ttl: DEFAULT_HISTORY.ttl });
  });

  it('are chosen by what stands before the first colon, and by nothing shorter or longer', () => {
    const profiles = new Profiles({
      history: { size: 1, ttl: 5_000 },
      profiles: { game: { history: { size: 0 } }, support: { history: { ttl: 9_000 } }, '': { history: { size: 2 } } },
    });
    const sizeOf = (room: string) => profiles.historyOf(room)?.size;
    expect(['game', 'game:', 'game:1', 'game:1:2'].map(sizeOf)).toEqual([undefined, undefined, undefined, undefined]);
    expect(['games', 'gam', 'Game:1', 'a:game', 'game.1'].map(sizeOf)).toEqual([1, 1, 1, 1, 1]);
    expect([':', ':x', ''].map(sizeOf)).toEqual([2, 2, 2]);
    expect(profiles.historyOf('support:1')).toEqual({ size: 1, ttl: 9_000 });
  });

  it('say what becomes of slow clients: they are disconnected, unless told otherwise', () => {
    const profiles = new Profiles({ profiles: { game: { slow: 'latest' }, news: { slow: 'drop-oldest' }, chat: {} } });
    expect(['game:1', 'news', 'chat', 'x'].map((room) => profiles.slowOf(room))).toEqual([
      'latest',
      'drop-oldest',
      'disconnect',
      'disconnect',
    ]);
    const message = 'slow of profile "x": expected one of disconnect, drop-oldest, latest';
    expect(() => new Profiles({ profiles: { x: { slow: 'never' as never } } })).toThrow(message);
  });

  it.each(['__proto__', 'constructor', 'toString'])('are not found by accident: %s', (room) => {
    expect(new Profiles({ profiles: { a: { history: { size: 1 } } } }).historyOf(room)).toBeUndefined();
  });

  it('keep for as long as the longest of those that keep anything', () => {
    const profiles = { a: { history: { size: 1, ttl: 3_000 } }, b: { history: { size: 0, ttl: 9_000 } } };
    expect(new Profiles({ history: { size: 0, ttl: 8_000 }, profiles }).retention).toBe(3_000);
    expect(new Profiles({ history: { size: 1, ttl: 8_000 }, profiles }).retention).toBe(8_000);
  });

  it.each([
    [{ size: -1 }, 'history: expected a size from 0 to 100000'],
    [{ size: 1.5 }, 'history: expected a size from 0 to 100000'],
    [{ size: NaN }, 'history: expected a size from 0 to 100000'],
    [{ size: 100_001 }, 'history: expected a size from 0 to 100000'],
    [{ ttl: 999 }, 'history: expected a ttl of at least 1000 ms'],
    [{ ttl: NaN }, 'history: expected a ttl of at least 1000 ms'],
    [{ ttl: Infinity }, 'history: expected a ttl of at least 1000 ms'],
  ])('are refused at once when they cannot be meant: %j', (history, message) => {
    expect(() => new Profiles({ history })).toThrow(expect.objectContaining({ code: 'BAD_REQUEST', message }));
    const named = `history of profile "game"${message.slice('history'.length)}`;
    expect(() => new Profiles({ profiles: { game: { history } } })).toThrow(named);
  });
});
