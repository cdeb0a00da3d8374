/*
 * Which servers there are, and what is in their rooms, for processes that are none: it asks as a server would, and waits for
 * a while, since nobody can know how many are going to answer. Whoever asks is no member, and nobody waits for it.
 */
import type { Bus } from '../bus.js';
import { decodeArgs, instanceOf, textOf, type Message } from '../envelope.js';
import type { Member } from '../membership.js';
import { ulid } from '../ulid.js';
import { isAnswerTo } from './shapes.js';

export interface CensusOptions {
  /** How long to wait for answers, in ms. @default 1_000 */
  wait?: number;
  /** Whether to wait for what servers tell of themselves too: each does so every 5 s. @default false */
  introduced?: boolean;
  /** Socket.IO namespace. @default '/' */
  namespace?: string;
}

/** A server that has answered. */
export interface Counted {
  /** Id of the instance. */
  readonly instance: string;
  /** What it tells of itself. `undefined`: it has not been heard. */
  readonly member?: Member;
  /** Sockets by room, without the rooms of single sockets. */
  readonly rooms: ReadonlyMap<string, number>;
}

const QUESTION = 'rooms.stats';
/** How often it is looked whether all are there, in ms. */
const LOOK = 50;
/** Time in which servers answer, in ms. */
const ANSWERS = 1_000;
/** Time in which each introduces itself, in ms: its interval, and some. */
const INTRODUCTIONS = 6_500;

/** @throws BroadcastError through the promise: the question could not be sent */
export async function takeCensus(
  bus: Bus,
  { introduced = false, wait = introduced ? INTRODUCTIONS : ANSWERS, namespace = '/' }: CensusOptions = {},
): Promise<Counted[]> {
  const answers = new Map<string, ReadonlyMap<string, number>>();
  const members = new Map<string, Member>();
  const question = ulid();
  const stops = [
    bus.control.on('sockets.answer', (message) => {
      const [id, value] = decodeArgs(message);
      if (textOf(id) !== question || !isAnswerTo(QUESTION, [], value)) return;
      answers.set(textOf(message.header.origin), new Map((value ?? []) as [string, number][]));
    }),
    bus.control.on('member', (message) => learn(members, message)),
  ];
  try {
    const nsp = namespace === '/' ? {} : { nsp: namespace };
    const begin = performance.now();
    await bus.control.send('all', { kind: QUESTION, origin: `${bus.instance}/${question}`, id: question, ...nsp }, []);
    const isComplete = () => introduced && [...answers.keys()].every((id) => members.has(id));
    for (let passed = 0; passed < wait; passed = performance.now() - begin) {
      if (passed > Math.min(wait, ANSWERS) && isComplete()) break;
      await new Promise((resolve) => setTimeout(resolve, LOOK));
    }
  } finally {
    for (const stop of stops) stop();
  }
  return [...answers]
    .map(([id, rooms]) => ({ instance: instanceOf(id), member: members.get(id), rooms }))
    .sort((a, b) => a.instance.localeCompare(b.instance));
}

function learn(members: Map<string, Member>, message: Message): void {
  const [told] = decodeArgs(message);
  if (typeof told !== 'object' || told === null) return;
  const { id, role, version, startedAt } = told as Record<string, unknown>;
  if (typeof id !== 'string' || typeof startedAt !== 'number') return;
  members.set(id, { id, role: textOf(role), version: textOf(version), startedAt });
}
