/*
 * Whether an instance could do its work there: what it does with a broker, done once, with the rights that it would have.
 */
import { BroadcastError, createBus, Rooms, ulid, type Bus, type Environment } from '@app/broadcast';
import { fail, messageOf, ok, unknown, type Check } from './check.js';
import { judgeRoundTrip } from './judge.js';

const PATIENCE = 8_000;

/** Names that are left at the broker. */
export interface Used {
  readonly room: string;
  /** Of the message in it. */
  readonly message: string;
  readonly queue: string;
}

/** @param left told what was used */
export async function walk(settings: Environment, left: (used: Used) => unknown): Promise<Check[]> {
  const id = ulid().slice(-12).toLowerCase();
  const [room, queue, message] = [`doctor:${id}`, `doctor-${id}`, `doctor-${id}`];
  const bus = createBus({ ...settings, INSTANCE_ID: undefined });
  bus.on('error', () => undefined);
  const checks: Check[] = [];
  const step = async (name: string, work: () => Promise<Check>) => {
    checks.push(await work().catch((error: unknown) => failed(name, error)));
  };
  try {
    await step('rights', async () => {
      await bus.connect(PATIENCE);
      return ok('rights', 'it opens a link, and subscribes');
    });
    if (bus.state !== 'up') return checks;
    await step('live rooms', () => hearOneself(bus, room));
    await step('histories', () => readBack(bus, room, message));
    await step('jobs', async () => {
      await bus.jobs.enqueue(queue, 'doctor', null);
      return ok('jobs', 'a queue takes one');
    });
  } finally {
    await bus.close();
    await Promise.resolve(left({ room, message, queue })).catch(() => undefined);
  }
  return checks;
}

async function hearOneself(bus: Bus, room: string): Promise<Check> {
  const began = { at: 0 };
  let heard!: (ms: number) => void;
  const echo = new Promise<number>((resolve) => (heard = resolve));
  const subscription = bus.subscribe(`room:${room}`, () => heard(performance.now() - began.at));
  try {
    await subscription.ready(PATIENCE);
    began.at = performance.now();
    await bus.publish(`room:${room}`, Buffer.from('{"event":"doctor"}'));
    let timer: NodeJS.Timeout | undefined;
    const silence = new Promise<never>((_resolve, reject) => {
      const late = () => reject(new BroadcastError('TIMEOUT', 'what was published did not come back'));
      timer = setTimeout(late, PATIENCE);
    });
    return judgeRoundTrip(await Promise.race([echo, silence]).finally(() => clearTimeout(timer)));
  } finally {
    subscription.close();
  }
}

async function readBack(bus: Bus, room: string, id: string): Promise<Check> {
  const rooms = new Rooms(bus);
  if (!rooms.keeps(room)) return unknown('histories', 'HISTORY_SIZE is 0: rooms keep nothing');
  await rooms.publish({ room, event: 'doctor', id });
  const { messages } = await rooms.history({ room });
  if (messages.some((message) => message.id === id)) return ok('histories', 'what is said is kept, and read again');
  return fail(
    'histories',
    'what was said is not there',
    'something else may delete it: look at what uses this broker.',
  );
}

function failed(name: string, error: unknown): Check {
  const refusal = causesOf(error).find((message) => /NOPERM|ACCESS_REFUSED/.test(message));
  if (refusal !== undefined) {
    return fail(name, refusal, 'give the user the rights that an instance needs: docs/cli.md, "Rights".');
  }
  const full = causesOf(error).find((message) => /\bOOM\b/.test(message));
  if (full !== undefined) {
    return fail(name, full, 'Redis has no memory left: raise its maxmemory, or keep less (HISTORY_SIZE, HISTORY_TTL).');
  }
  return fail(name, messageOf(error), 'look at the checks before this one, and into the log of the broker.');
}

/** What it says, and what was behind it: the bus tells what that means for a message, the broker why. */
function causesOf(error: unknown): string[] {
  const messages: string[] = [];
  for (
    let at: unknown = error;
    at !== undefined && at !== null && messages.length < 8;
    at = (at as { cause?: unknown }).cause
  ) {
    messages.push(messageOf(at));
  }
  return messages.reverse();
}
