import { BroadcastError, VERSION } from '@app/broadcast';
import { build } from 'hdr-histogram-js';
import { runCommand, type Asked, type Command } from './command.js';
import { COMMANDS } from './commands.js';
import { fullest } from './census.js';
import { Ledger } from './load/ledger.js';
import { valueAt } from './load/run.js';
import { nearest } from '@app/broadcast';
import { duration, json, wholeNumber } from './values.js';

/** Runs it, and resolves with what it printed. */
async function run(argv: string[], commands: readonly Command[] = COMMANDS) {
  const printed = { out: '', err: '' };
  const streams = [
    jest.spyOn(process.stdout, 'write').mockImplementation((text) => !!(printed.out += String(text))),
    jest.spyOn(process.stderr, 'write').mockImplementation((text) => !!(printed.err += String(text))),
  ];
  try {
    return { code: await runCommand(commands, argv), ...printed };
  } finally {
    for (const stream of streams) stream.mockRestore();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.removeAllListeners(signal);
  }
}

describe('the command line', () => {
  it('says what there is, also about each command', async () => {
    const all = await run(['--help']);
    expect(all.code).toBe(0);
    expect((await run([])).code).toBe(2);
    for (const { name, options = {} } of COMMANDS) {
      expect(all.out).toContain(name);
      const help = await run([...name.split(' '), '--help']);
      expect([name, help.code]).toEqual([name, 0]);
      for (const option of Object.keys(options)) expect(help.out).toContain(`--${option}`);
      expect((await run([...name.split(' '), '-h'])).out).toBe(help.out);
    }
    const jobs = await run(['jobs', '--help']);
    expect([jobs.code, jobs.out.includes('jobs dead replay'), jobs.out.includes('doctor')]).toEqual([0, true, false]);
  });

  it.each([
    [['docter'], 'there is no command docter: do you mean doctor?'],
    [['xyz'], 'there is no command xyz (roomcast --help tells more)'],
    [['jobs'], 'there is no command jobs: there are jobs stats, jobs add, jobs dead list'],
    [['jobs', 'dead'], 'there is no command jobs dead: there are jobs dead list, jobs dead replay, jobs dead purge'],
    [['rooms', '--limti', '3'], 'there is no option --limti: do you mean --limit? (roomcast rooms --help tells more)'],
    [['rooms', '--frobnicate'], 'there is no option --frobnicate (roomcast rooms'],
    [['rooms', '--limit'], "Option '--limit <value>' argument missing"],
    [['rooms', '--limit', '-1'], '--limit needs a value, and one that begins with - is written --limit=-…'],
    [['rooms', '--limit=-1'], '--limit: expected a whole number from 1 to 1000000, not -1'],
    [['rooms', '--limit', 'x'], '--limit: expected a whole number from 1 to 1000000, not x'],
    [['rooms', '--wait', 'soon'], '--wait: expected a time such as 500ms, 5s or 10m, not soon'],
    [['rooms', '--wait', '999h'], '--wait: expected a time of at most 1m, not 999h'],
    [['instances', '--wait', '2m'], '--wait: expected a time of at most 1m, not 2m'],
    [['tail', 'r', '--for', '600h'], '--for: expected a time of at most 24d, not 600h'],
    [['rooms'], 'the embedded transport does not leave its process'],
    [['rooms', 'a', 'b'], 'rooms takes no "b"'],
    [['tail'], 'tail needs <room>'],
    [['publish', 'r'], 'publish needs <event>'],
    [['publish', 'a b', 'e'], 'room: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -'],
    [['publish', 'r', 'room:closed'], 'event: expected a name that does not begin with room: or server:'],
    [['publish', 'r', 'disconnect'], 'event: expected a name that Socket.IO does not reserve'],
    [['publish', 'r', 'e', '1', '--from', 'a b'], 'from: expected 1 to 128 of'],
    [['publish', 'r', 'e', '1', '--id', 'ü'], 'id: expected 1 to 128 printable ASCII characters'],
    [['tail', 'a b'], 'room: expected 1 to 128 of A-Z a-z 0-9 _ : . @ -'],
    [['load', 'http://x', '--token-file', '/nowhere/tokens'], '--token-file: ENOENT'],
    [['publish', 'r', 'e', '{'], 'the data: expected JSON, such as'],
    [['load', 'localhost'], 'expected the address of a gateway or balancer, such as http://127.0.0.1:3000'],
    [['load', 'http://x', '--clients', '2', '--rooms', '3'], '--rooms: expected no more rooms than clients'],
  ])('refuses %j in a sentence, with code 2', async (argv, sentence) => {
    const { code, out, err } = await run(argv);
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain(sentence);
    expect(err.trim().split('\n')).toHaveLength(1);
  });

  it('fails with code 1 and the error, as JSON where that is asked for', async () => {
    const failing: Command = { name: 'x', summary: 'x', run: () => Promise.reject(new Error('it broke')) };
    expect(await run(['x'], [failing])).toEqual({ code: 1, out: '', err: 'ERROR: it broke\n' });
    const { code, out } = await run(['x', '--json'], [failing]);
    expect([code, JSON.parse(out)]).toEqual([1, { error: { code: 'ERROR', message: 'it broke' } }]);
  });

  it('asked with a wrong environment, it was asked wrongly', async () => {
    const wrong: Command = {
      name: 'x',
      summary: 'x',
      run: () => Promise.reject(new BroadcastError('BAD_REQUEST', 'PORT: expected a port')),
    };
    expect(await run(['x'], [wrong])).toEqual({ code: 2, out: '', err: 'BAD_REQUEST: PORT: expected a port\n' });
  });

  it('says its version', async () => {
    expect(await run(['--version'])).toEqual({ code: 0, out: `${VERSION}\n`, err: '' });
    expect(JSON.parse((await run(['--version', '--json'])).out)).toEqual({ version: VERSION });
  });

  it('hands on arguments, options and defaults', async () => {
    let asked: Asked | undefined;
    const command: Command = {
      name: 'a b',
      summary: 'x',
      args: ['<one>', '[<two>]'],
      options: { limit: { type: 'string', help: 'x', default: '5' }, id: { type: 'string', help: 'x' } },
      run: async (all) => void (asked = all),
    };
    const shorter: Command = { name: 'a', summary: 'x', run: () => Promise.reject(new Error('the other one')) };
    expect((await run(['a', 'b', 'first', '--id', '-'], [shorter, command])).code).toBe(0);
    expect(asked).toMatchObject({ args: ['first'], values: { limit: '5', id: '-' } });
  });
});

describe('values of options', () => {
  it('are numbers, times and JSON', () => {
    expect(wholeNumber({ n: '7' }, 'n')).toBe(7);
    expect(wholeNumber({}, 'n')).toBeUndefined();
    expect(['500ms', '5s', '10m', '1h'].map((t) => duration({ t }, 't'))).toEqual([500, 5_000, 600_000, 3_600_000]);
    expect(json('{"a":1}', 'it')).toEqual({ a: 1 });
  });

  it('are guessed where they are close', () => {
    const names = ['clients', 'rooms', 'rate', 'duration'];
    expect(['client', 'room', 'ratee', 'dur', 'zzz'].map((asked) => nearest(asked, names))).toEqual([
      'clients',
      'rooms',
      'rate',
      'duration',
      undefined,
    ]);
  });
});

it('rooms are added up over all instances, the fullest first', () => {
  const counted = [
    {
      instance: 'a',
      rooms: new Map([
        ['x', 1],
        ['y', 5],
      ]),
    },
    { instance: 'b', rooms: new Map([['x', 9]]) },
  ];
  expect(fullest(counted)).toEqual([
    { room: 'x', sockets: 10, instances: 2 },
    { room: 'y', sockets: 5, instances: 1 },
  ]);
});

it('no percentile is above the slowest', () => {
  const latency = build({
    lowestDiscernibleValue: 1,
    highestTrackableValue: 600_000_000,
    numberOfSignificantValueDigits: 3,
  });
  for (const value of [1_000, 123_457]) latency.recordValue(value);
  expect(latency.getValueAtPercentile(99.9)).toBeGreaterThan(latency.maxValue);
  expect(valueAt(latency, 99.9)).toBe(valueAt(latency, 100));
});

describe('the books of a load test', () => {
  it('balance where everybody has received everything', () => {
    const ledger = new Ledger();
    const members = ['a', 'a', 'b'].map((room) => ledger.join(room));
    ledger.acknowledged('a', 0);
    ledger.acknowledged('b', 0);
    for (const member of members) expect(ledger.received(member, 0)).toBe(true);
    expect(ledger.balance()).toEqual({ expected: 3, received: 3, lost: 0, told: 0, duplicated: 0 });
  });

  it('tell what is lost, what was told as a gap, and what came twice', () => {
    const ledger = new Ledger();
    const [one, other] = [ledger.join('a'), ledger.join('a')];
    for (const number of [0, 1, 2]) ledger.acknowledged('a', number);
    ledger.received(one, 0);
    expect(ledger.received(one, 0)).toBe(false);
    other.gaps++;
    ledger.received(other, 2);
    expect(ledger.balance()).toEqual({ expected: 6, received: 3, lost: 2, told: 2, duplicated: 1 });
    expect(ledger.missing).toBe(4);
  });
});
