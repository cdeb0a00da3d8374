import { encode, type Header } from '../envelope.js';
import { lazyEntry } from '../feed.js';
import { toMessages } from './stored-message.js';

const HEADER = { id: 'm-1', from: 'ann', at: 7, origin: 'gw-1', room: 'a' };

function shown(payload: Buffer | string, nsp?: string, visible?: (header: Header) => boolean) {
  return toMessages([lazyEntry(Buffer.from(payload), 'e.1')], 'a', nsp, visible);
}

describe('a message out of a log', () => {
  it('is shown with its place, and with what its header says of it', () => {
    expect(shown(encode(HEADER, ['chat', { text: 'hi' }]))).toEqual([
      { event: 'chat', data: { text: 'hi' }, room: 'a', id: 'm-1', at: 7, from: 'ann', pos: 'e.1' },
    ]);
  });

  it('has no data where nothing was said but the event, and the room that it was read from', () => {
    expect(shown(encode({ id: 'm-1', room: 'elsewhere' }, ['chat']))).toEqual([
      { event: 'chat', data: null, room: 'a', id: 'm-1', pos: 'e.1' },
    ]);
  });

  it('is shown with the bytes in it', () => {
    const [message] = shown(encode(HEADER, ['file', { content: Buffer.from('abc') }]));
    expect(message?.data).toEqual({ content: Buffer.from('abc') });
  });

  it('is shown with a derived id when it is foreign and has none', () => {
    expect(shown('{"event":"chat","text":"hi"}')).toMatchObject([
      { event: 'chat', data: { text: 'hi' }, id: expect.stringMatching(/^1-[0-9a-f]{12}$/) as string },
    ]);
  });

  it.each<[string, Buffer | string]>([
    ['one of another namespace', encode({ ...HEADER, nsp: '/admin' }, ['chat'])],
    ['what was said in passing', encode({ ...HEADER, flags: { volatile: true } }, ['chat'])],
    ['what servers tell each other', encode({ ...HEADER, kind: 'emit' }, ['chat'])],
    ['one of a newer version', '{"v":2,"args":["chat"]}'],
    ['what cannot be read', 'no JSON'],
    ['one that is not to be trusted, which is empty', ''],
    ['an event of Socket.IO itself', '{"event":"disconnect"}'],
  ])('is left out: %s', (_, payload) => expect(shown(payload)).toEqual([]));

  it('is shown in its namespace only', () => {
    const payload = encode({ ...HEADER, nsp: '/admin' }, ['chat', 1]);
    expect(shown(payload, '/admin')).toHaveLength(1);
    expect(shown(encode(HEADER, ['chat', 1]), '/admin')).toEqual([]);
  });

  it('is left out where it is not meant to be seen', () => {
    const payload = encode({ ...HEADER, except: ['muted'] }, ['chat', 1]);
    expect(shown(payload, undefined, ({ except }) => !except?.includes('muted'))).toEqual([]);
    expect(shown(payload, undefined, () => true)).toHaveLength(1);
  });

  it('keeps its order among others', () => {
    const entries = ['1', '2', '3'].map((id) => lazyEntry(encode({ id }, ['chat', id]), `e.${id}`));
    expect(toMessages(entries, 'a', undefined).map(({ data }) => data)).toEqual(['1', '2', '3']);
  });
});
