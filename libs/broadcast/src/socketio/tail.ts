/*
 * What waits to be written to a socket, by its last frame: each knows what waits before it. Sockets that wait for the
 * same frames share them, the bytes that they come to as well, so that a message to a full room is a comparison for each
 * of its sockets and is copied once for all of them.
 */
import type { Frame } from './frame.js';

export class Tail {
  readonly frame: Frame;
  readonly before: Tail | undefined;
  /** Bytes of all of it. */
  readonly length: number;
  /** Frames. */
  readonly count: number;
  #after?: Tail;
  #whole?: readonly [Buffer];

  constructor(frame: Frame, before?: Tail) {
    this.frame = frame;
    this.before = before;
    this.length = frame.bytes.length + (before?.length ?? 0);
    this.count = 1 + (before?.count ?? 0);
  }

  /** What waits with one frame more: the same for all who had the same. */
  then(frame: Frame): Tail {
    const after = this.#after;
    return after?.frame === frame ? after : (this.#after = new Tail(frame, this));
  }

  /** All of it as one buffer, in the form that Engine.IO hands to `ws`. */
  get whole(): readonly [Buffer] {
    return (this.#whole ??= [this.before ? this.#join() : this.frame.bytes]);
  }

  /** Oldest first. */
  get frames(): Frame[] {
    const frames: Frame[] = [this.frame];
    for (let tail = this.before; tail; tail = tail.before) frames.push(tail.frame);
    return frames.reverse();
  }

  #join(): Buffer {
    const whole = Buffer.allocUnsafe(this.length);
    this.frame.bytes.copy(whole, this.before?.length);
    for (let tail = this.before; tail; tail = tail.before) tail.frame.bytes.copy(whole, tail.before?.length);
    return whole;
  }
}
