/*
 * What users hand to the library, checked where they do: one sentence that says what to write, instead of a TypeError
 * from the inside. Values are never quoted where they may hold a password.
 */
import type { Bus } from './bus.js';
import { BroadcastError } from './errors.js';
import type { Transport } from './transport.js';

/** What an option may be, with the words for it. */
const KINDS = {
  text: ['a text', (value: unknown) => typeof value === 'string'],
  // Node's timers take a longer one for 1 ms.
  ms: ['a number of milliseconds above 0', (value: unknown) => Number(value) === value && value > 0 && value < 2 ** 31],
  window: [
    'a number of milliseconds, 0 or more',
    (value: unknown) => Number(value) === value && value >= 0 && value < 2 ** 31,
  ],
  bytes: ['a number of bytes above 0', (value: unknown) => Number(value) === value && value > 0],
  size: ['a whole number, 0 or more', (value: unknown) => Number.isInteger(value) && Number(value) >= 0],
  count: ['a whole number above 0', (value: unknown) => Number.isInteger(value) && Number(value) > 0],
  flag: ['true or false', (value: unknown) => typeof value === 'boolean'],
  function: ['a function', (value: unknown) => typeof value === 'function'],
  any: ['anything', () => true],
} as const;

/** @throws BroadcastError `BAD_REQUEST` for anything but a bus: a broker's client, a transport, nothing at all */
export function checkBus(bus: Bus, what: string, example = `${what}(new Bus(redis({ url })))`): void {
  const { control, publish } = (bus ?? {}) as Partial<Bus>;
  if (control && publish) return;
  throw new BroadcastError('BAD_REQUEST', `${what} needs a Bus: ${example}`);
}

/** @throws BroadcastError `BAD_REQUEST` for anything but a transport */
export function checkTransport(transport: Transport): void {
  if (typeof (transport as Partial<Transport> | undefined)?.open === 'function') return;
  throw new BroadcastError('BAD_REQUEST', 'a Bus needs a transport: new Bus(redis({ url }))');
}

/** @throws BroadcastError `BAD_REQUEST` for options that are no object, and for an address that begins otherwise */
export function checkUrl(factory: string, options: { url?: string }, begin: RegExp, form: string): void {
  if (typeof options !== 'object' || options === null) {
    throw new BroadcastError(
      'BAD_REQUEST',
      `${factory} needs its address as an option: ${factory}({ url: '${form}' })`,
    );
  }
  const { url } = options;
  if (url === undefined || (begin.test(url) && URL.canParse(url))) return;
  throw new BroadcastError('BAD_REQUEST', `the url of ${factory} is not valid: write it as ${form}`);
}

/** @throws BroadcastError `BAD_REQUEST` for a name that is not among the expected ones, and for a value of another kind */
export function checkOptions<T extends object>(
  what: string,
  options: T,
  expected: Record<keyof T & string, keyof typeof KINDS>,
): void {
  if (typeof options !== 'object' || options === null) {
    throw new BroadcastError('BAD_REQUEST', `the options of ${what} are wrong: expected an object`);
  }
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(expected, name)) {
      const names = Object.keys(expected).join(', ');
      throw new BroadcastError('BAD_REQUEST', `${what} has no option ${name}: expected one of ${names}`);
    }
    const [words, fits] = KINDS[expected[name as keyof T & string]];
    if (value !== undefined && !fits(value)) {
      throw new BroadcastError('BAD_REQUEST', `the option ${name} of ${what} is wrong: expected ${words}`);
    }
  }
}
