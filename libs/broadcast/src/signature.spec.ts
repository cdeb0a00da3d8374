import fc from 'fast-check';
import { createHmac } from 'node:crypto';
import { Signature } from './signature.js';
import type { Channel } from './transport.js';

const SECRET = 'the secret of the tests';
const OTHER = 'a secret of somebody else';
const NOW = Date.UTC(2025, 10, 22, 12);
const MESSAGE = Buffer.from('{"v":1,"kind":"test","args":[]}');
const CONTROL: Channel[] = ['all', 'instance:gw-1'];
const CHANNELS: Channel[] = [...CONTROL, 'room:a'];

const untrusted = (message: string) => expect.objectContaining({ code: 'UNTRUSTED', message });
const WRONG = untrusted('its signature is wrong; its sender needs the same secret');
const UNSIGNED = untrusted('it is not signed; its sender needs the secret');
const REPLAYED = untrusted('it was heard before: it was replayed');

const sender = new Signature({ secret: SECRET, requireSigned: true });
/** Each time one that has heard nothing yet. */
const receiver = (secret: string | readonly string[] = SECRET) => new Signature({ secret });
const changed = (payload: Buffer, at: number, bits = 1) => {
  const copy = Buffer.from(payload);
  copy[at]! ^= bits;
  return copy;
};

beforeEach(() => void jest.useFakeTimers({ now: NOW }));
afterEach(() => void jest.useRealTimers());

const channels = fc.oneof(
  fc.constant<Channel>('all'),
  fc.string().map((id): Channel => `instance:${id}`),
  fc.string({ unit: 'binary' }).map((room): Channel => `room:${room}`),
);
const messages = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
const unsigned = messages.filter(([first]) => first !== 0x02);

describe('a signed message', () => {
  it('is laid out as documented', () => {
    const sealed = sender.seal('all', MESSAGE);
    const time = Buffer.alloc(8);
    time.writeBigUInt64BE(BigInt(NOW));
    const mac = createHmac('sha256', SECRET).update('all').update(Buffer.of(0)).update(time).update(MESSAGE).digest();
    expect(sealed).toEqual(Buffer.concat([Buffer.of(0x02), time, mac, MESSAGE]));
  });

  it('is what was said, whatever was said on whatever channel, to all who know the secret, and to those without any', () => {
    fc.assert(
      fc.property(channels, unsigned, (channel, message) => {
        const sealed = sender.seal(channel, message);
        expect(sealed.length).toBe(41 + message.length);
        for (const signature of [receiver(), new Signature()]) {
          expect(signature.open(channel, sealed)).toEqual(message);
        }
        expect(() => receiver(OTHER).open(channel, sealed)).toThrow(WRONG);
      }),
    );
  });

  it('is refused when a bit of it is changed, the first byte aside, which makes it another message', () => {
    fc.assert(
      fc.property(channels, unsigned, fc.nat(), fc.integer({ min: 0, max: 7 }), (channel, message, where, bit) => {
        const sealed = sender.seal(channel, message);
        const forged = changed(sealed, 1 + (where % (sealed.length - 1)), 1 << bit);
        expect(() => receiver().open(channel, forged)).toThrow(WRONG);
      }),
    );
  });

  it.each(Array.from({ length: 42 }, (_, i) => i))('is refused when its byte %i is changed', (at) => {
    const forged = changed(sender.seal('all', MESSAGE), at);
    expect(() => receiver().open('all', forged)).toThrow(at === 0 ? UNSIGNED : WRONG);
  });

  it('is refused on every other channel', () => {
    for (const said of CHANNELS) {
      for (const heard of [...CHANNELS, 'room:b', 'room:all', 'instance:gw-2'] as Channel[]) {
        if (said === heard) continue;
        expect(() => receiver().open(heard, sender.seal(said, MESSAGE))).toThrow(WRONG);
      }
    }
  });

  it('is refused when it ends within its signature; nobody without a secret takes it for a message either', () => {
    const sealed = sender.seal('all', MESSAGE);
    for (let length = 1; length < 41; length++) {
      for (const channel of CHANNELS) {
        expect(() => receiver().open(channel, sealed.subarray(0, length))).toThrow(WRONG);
        expect(() => new Signature().open(channel, sealed.subarray(0, length))).toThrow(
          expect.objectContaining({ code: 'UNREADABLE', message: 'it ends within its signature' }),
        );
      }
    }
    expect(receiver().open('all', sender.seal('all', Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  });
});

describe('with a secret', () => {
  it('control messages are signed, room messages as they were', () => {
    const signature = receiver();
    for (const channel of CONTROL) expect(signature.seal(channel, MESSAGE)[0]).toBe(0x02);
    expect(signature.seal('room:a', MESSAGE)).toBe(MESSAGE);
  });

  it('unsigned control messages are refused, unsigned room messages are heard', () => {
    fc.assert(
      fc.property(unsigned, (message) => {
        for (const channel of CONTROL) expect(() => receiver().open(channel, message)).toThrow(UNSIGNED);
        expect(receiver().open('room:a', message)).toBe(message);
      }),
    );
  });

  it.each(['room:a', 'room:all', 'room:instance:gw-1'] as const)(
    'and signatures required, %s is signed, and unsigned refused',
    (channel) => {
      expect(sender.seal(channel, MESSAGE)[0]).toBe(0x02);
      expect(() => sender.open(channel, MESSAGE)).toThrow(UNSIGNED);
    },
  );

  it('a message that begins like a signed one is not sent, with or without a secret', () => {
    for (const signature of [new Signature(), receiver(), sender]) {
      for (const channel of CHANNELS) {
        expect(() => signature.seal(channel, Buffer.of(0x02, 0x7b))).toThrow(
          expect.objectContaining({ code: 'BAD_REQUEST' }),
        );
      }
    }
  });
});

describe('without a secret', () => {
  it('nothing is signed and nothing is refused, and a forged signature is cut off like any', () => {
    const signature = new Signature();
    for (const channel of CHANNELS) {
      expect(signature.seal(channel, MESSAGE)).toBe(MESSAGE);
      expect(signature.open(channel, MESSAGE)).toBe(MESSAGE);
      expect(signature.open(channel, changed(sender.seal(channel, MESSAGE), 20))).toEqual(MESSAGE);
      expect(signature.open(channel, Buffer.alloc(0))).toEqual(Buffer.alloc(0));
    }
  });

  it('a message is heard as often as it comes, and however old it is', () => {
    const sealed = sender.seal('all', MESSAGE);
    jest.setSystemTime(NOW + 3_600_000);
    const signature = new Signature();
    expect([signature.open('all', sealed), signature.open('all', sealed)]).toEqual([MESSAGE, MESSAGE]);
  });
});

describe('several secrets', () => {
  it('sign with the first and verify with all, so that one is exchanged for another without a message refused', () => {
    const steps = [[OTHER], [OTHER, SECRET], [SECRET, OTHER], [SECRET]];
    for (const [i, step] of steps.entries()) {
      // While one step is taken there are instances at the one before.
      for (const other of steps.slice(Math.max(0, i - 1), i + 1)) {
        expect(receiver(other).open('all', receiver(step).seal('all', MESSAGE))).toEqual(MESSAGE);
        expect(receiver(step).open('all', receiver(other).seal('all', MESSAGE))).toEqual(MESSAGE);
      }
    }
    expect(() => receiver(SECRET).open('all', receiver([OTHER, SECRET]).seal('all', MESSAGE))).toThrow(WRONG);
    expect(receiver([SECRET, OTHER]).seal('all', MESSAGE)).toEqual(receiver(SECRET).seal('all', MESSAGE));
  });
});

describe('the time of a control message', () => {
  it.each([0, 1, -1, 30_000, -30_000])('may be %i ms ago', (age) => {
    for (const channel of CONTROL) {
      const sealed = sender.seal(channel, MESSAGE);
      jest.setSystemTime(NOW + age);
      expect(receiver().open(channel, sealed)).toEqual(MESSAGE);
      jest.setSystemTime(NOW);
    }
  });

  it.each([
    [30_001, 'it was signed 31 s ago: check the clocks, or it was replayed'],
    [45_000, 'it was signed 45 s ago: check the clocks, or it was replayed'],
    [-30_001, 'it was signed 31 s ahead of this clock: check the clocks'],
    [-3_600_000, 'it was signed 3600 s ahead of this clock: check the clocks'],
  ])('may not be %i ms ago', (age, why) => {
    for (const channel of CONTROL) {
      const sealed = sender.seal(channel, MESSAGE);
      jest.setSystemTime(NOW + age);
      expect(() => receiver().open(channel, sealed)).toThrow(untrusted(why));
      jest.setSystemTime(NOW);
    }
  });

  it('is nobody else’s business: a wrong signature is told as such', () => {
    const sealed = sender.seal('all', MESSAGE);
    jest.setSystemTime(NOW + 45_000);
    expect(() => receiver(OTHER).open('all', sealed)).toThrow(WRONG);
  });

  it('does not matter in a room, where messages may be late', () => {
    const sealed = sender.seal('room:a', MESSAGE);
    jest.setSystemTime(NOW + 3_600_000);
    expect(receiver().open('room:a', sealed)).toEqual(MESSAGE);
  });
});

describe('a replayed message', () => {
  it('is refused on control channels, by everyone who heard it before', () => {
    for (const channel of CONTROL) {
      const sealed = sender.seal(channel, MESSAGE);
      const hearers = [receiver(), receiver()];
      for (const hearer of hearers) expect(hearer.open(channel, sealed)).toEqual(MESSAGE);
      for (const hearer of hearers) expect(() => hearer.open(channel, sealed)).toThrow(REPLAYED);
    }
  });

  it('is heard in a room: brokers deliver again', () => {
    const hearer = receiver();
    const sealed = sender.seal('room:a', MESSAGE);
    expect([hearer.open('room:a', sealed), hearer.open('room:a', sealed)]).toEqual([MESSAGE, MESSAGE]);
  });

  it('is refused for as long as its time is good, whatever the clocks and whatever else is said', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -30_000, max: 30_000 }),
        fc.nat(120_000),
        fc.array(fc.nat(20_000), { maxLength: 12 }),
        (ahead, idle, waits) => {
          jest.setSystemTime(NOW);
          const hearer = receiver();
          jest.advanceTimersByTime(idle);
          const [here, there] = [Date.now(), Date.now() + ahead];
          jest.setSystemTime(there);
          const sealed = sender.seal('all', MESSAGE);
          jest.setSystemTime(here);
          hearer.open('all', sealed);
          for (const [i, wait] of waits.entries()) {
            jest.advanceTimersByTime(wait);
            hearer.open('all', sender.seal('all', Buffer.from(`{"other":${i}}`)));
            expect(() => hearer.open('all', sealed)).toThrow(expect.objectContaining({ code: 'UNTRUSTED' }));
          }
        },
      ),
    );
  });

  it('is refused for a minute when it came from a clock that is half a minute ahead', () => {
    const hearer = receiver();
    jest.setSystemTime(NOW + 30_000);
    const sealed = sender.seal('all', MESSAGE);
    jest.setSystemTime(NOW);
    hearer.open('all', sealed);
    for (let passed = 10_000; passed <= 60_000; passed += 10_000) {
      jest.advanceTimersByTime(10_000);
      expect(() => hearer.open('all', sealed)).toThrow(REPLAYED);
    }
    jest.advanceTimersByTime(1);
    expect(() => hearer.open('all', sealed)).toThrow('it was signed 31 s ago');
  });

  it('is not confused with the same words said again later', () => {
    const hearer = receiver();
    hearer.open('all', sender.seal('all', MESSAGE));
    jest.setSystemTime(NOW + 1);
    expect(hearer.open('all', sender.seal('all', MESSAGE))).toEqual(MESSAGE);
  });
});

describe('a secret', () => {
  it.each<[string, string | string[]]>([
    ['empty', ''],
    ['of 15 characters', 'x'.repeat(15)],
    ['one of two', [SECRET, 'short']],
  ])('may not be short: %s', (_, secret) => {
    expect(() => new Signature({ secret })).toThrow(
      expect.objectContaining({
        code: 'BAD_REQUEST',
        message: 'a secret is too short: give it 16 characters or more',
      }),
    );
  });

  it('is needed where signatures are required', () => {
    for (const secret of [undefined, []]) {
      expect(() => new Signature({ secret, requireSigned: true })).toThrow(
        expect.objectContaining({
          code: 'BAD_REQUEST',
          message: expect.stringMatching(/^requireSigned needs a secret: /) as string,
        }),
      );
    }
    expect(() => new Signature({ secret: 'x'.repeat(16), requireSigned: true })).not.toThrow();
  });
});
