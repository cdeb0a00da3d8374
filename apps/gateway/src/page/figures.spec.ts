// Modules for browsers, without types: these are what the page takes them for.
interface FiguresModule {
  Figures: new () => { heard: () => void; echo: (ms: number) => void; tick: () => void; seconds: object[] };
  percentile: (values: readonly number[], percent: number) => number | undefined;
  milliseconds: (ms: number | undefined) => string;
}
interface AddressesModule {
  originOf: (text: string, here: URL) => string | undefined;
  panesOf: (here: URL) => { addresses: string[]; room: string | undefined };
  addressOf: (origins: readonly string[], room: string | undefined, here: URL) => string;
}
const { Figures, milliseconds, percentile } = jest.requireActual<FiguresModule>('./public/figures.js');
const { addressOf, originOf, panesOf } = jest.requireActual<AddressesModule>('./public/addresses.js');

describe('the figures of the page', () => {
  it('counts messages by the second, and takes percentiles of the round trips in it', () => {
    const figures = new Figures();
    for (let ms = 1; ms <= 100; ms++) {
      figures.heard();
      figures.echo(ms);
    }
    figures.tick();
    figures.tick();
    expect(figures.seconds).toHaveLength(60);
    expect(figures.seconds.slice(-2)).toEqual([
      { rate: 100, p50: 50, p99: 99 },
      { rate: 0, p50: null, p99: null },
    ]);
  });

  it.each([
    [[], 50, undefined],
    [[7], 99, 7],
    [[30, 1, 20], 50, 20],
    [[3, 1, 2], 0, 1],
  ])('percentile of %j', (values: number[], percent, expected) => {
    expect(percentile(values, percent)).toBe(expected);
  });

  it('writes times short', () => {
    expect([undefined, 0.84, 12.6].map((ms) => milliseconds(ms))).toEqual(['–', '0.8 ms', '13 ms']);
  });
});

describe('addresses of panes', () => {
  const here = new URL('http://127.0.0.1:3000/?panes=3000,3001,nonsense://x&room=a');

  it.each([
    ['', 'http://127.0.0.1:3000'],
    ['3001', 'http://127.0.0.1:3001'],
    ['example.org', 'http://example.org'],
    [' https://example.org/ ', 'https://example.org'],
    ['https://example.org/path', undefined],
    ['ftp://example.org', undefined],
    ['a b', undefined],
  ])('%j', (text, origin) => {
    expect(originOf(text, here)).toBe(origin);
  });

  it('come from the address of the page, and go back into it', () => {
    expect(panesOf(here)).toEqual({ addresses: ['http://127.0.0.1:3000', 'http://127.0.0.1:3001'], room: 'a' });
    const origins = ['http://127.0.0.1:3001', 'https://b.example.org'];
    expect(addressOf(origins, 'a:b', here)).toBe('/?panes=3001,https%3A%2F%2Fb.example.org&room=a%3Ab');
    expect(panesOf(new URL(addressOf(origins, 'a:b', here), here))).toEqual({ addresses: origins, room: 'a:b' });
  });
});
