/*
 * What becomes of frames that a slow client does not take: which of them may go, and what it is told instead. By a
 * room's policy: `disconnect`, nothing may go, the client comes back and recovers; `drop-oldest`, the oldest go, and a
 * `room:gap` says how many; `latest`, only the last of each key stays, for state that is said anew all the time.
 */
import type { SlowPolicy } from '../profiles.js';
import { frameOf, type Frame } from './frame.js';
import { Tail } from './tail.js';

/** What a frame is about: read only where somebody is slow. */
export interface Subject {
  readonly nsp: string;
  readonly room: string | undefined;
  readonly slow: SlowPolicy;
  /** Of state: what is said under the same key takes its place. */
  readonly key: () => string;
  /** It tells of so many frames that were dropped. */
  readonly dropped?: number;
}

export interface Trimmed {
  readonly tail: Tail | undefined;
  readonly dropped: number;
  readonly superseded: number;
}

/** So much is dropped that it is not looked for with every frame. */
const SLACK = 0.75;

/** Whether a slow client may miss it, and stay. */
export function mayGo({ subject }: Frame): boolean {
  return subject !== undefined && subject.slow !== 'disconnect';
}

/** What stays of what waits, so that it has at most `limit` bytes if that can be. */
export function trim(tail: Tail, limit: number): Trimmed {
  const latest = withoutSuperseded(tail.frames);
  const superseded = tail.count - latest.length;
  const { frames, dropped } =
    sizeOf(latest) > limit ? withoutOldest(latest, limit * SLACK) : { frames: latest, dropped: 0 };
  if (superseded + dropped === 0) return { tail, dropped, superseded };
  let left: Tail | undefined;
  for (const frame of frames) left = new Tail(frame, left);
  return { tail: left, dropped, superseded };
}

function withoutSuperseded(frames: Frame[]): Frame[] {
  const keys = new Set<string>();
  const isLast = ({ subject }: Frame): boolean => {
    if (subject?.slow !== 'latest') return true;
    const key = JSON.stringify([subject.nsp, subject.room, subject.key()]);
    return !keys.has(key) && Boolean(keys.add(key));
  };
  return frames.toReversed().filter(isLast).reverse();
}

function withoutOldest(frames: Frame[], limit: number): { frames: Frame[]; dropped: number } {
  const rooms = new Map<string, Subject & { dropped: number }>();
  const kept: Frame[] = [];
  let size = sizeOf(frames);
  let dropped = 0;
  for (const frame of frames) {
    const { subject } = frame;
    // What was told of earlier drops is told with those of now.
    const earlier = subject?.dropped;
    if (!subject || subject.slow !== 'drop-oldest' || (size <= limit && earlier === undefined)) {
      kept.push(frame);
      continue;
    }
    size -= frame.bytes.length;
    dropped += earlier === undefined ? 1 : 0;
    const name = `${subject.nsp} ${subject.room}`;
    rooms.set(name, { ...subject, dropped: (rooms.get(name)?.dropped ?? 0) + (earlier ?? 1) });
  }
  return { frames: [...[...rooms.values()].map(gap), ...kept], dropped };
}

/** In front of what comes after it: `room:gap` `{ room, reason: 'slow', dropped }`. */
function gap(subject: Subject & { dropped: number }): Frame {
  const { nsp, room, dropped } = subject;
  const packet = JSON.stringify(['room:gap', { room, reason: 'slow', dropped }]);
  return frameOf([`2${nsp === '/' ? '' : `${nsp},`}${packet}`], {}, subject);
}

function sizeOf(frames: readonly Frame[]): number {
  return frames.reduce((sum, { bytes }) => sum + bytes.length, 0);
}
