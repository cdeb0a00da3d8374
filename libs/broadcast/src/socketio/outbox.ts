/*
 * When frames are written: once per turn of the event loop and connection, in slices of a few ms, the rooms in turn, so
 * that a large room keeps neither the event loop nor the small rooms waiting.
 */
import { clearInterval, setImmediate, setInterval, setTimeout } from 'node:timers';
import type { Frame } from './frame.js';
import { Outlet, type Connection } from './outlet.js';

export interface OutboxOptions {
  /** How long frames are gathered before they are written, in ms. 0: until the end of the turn. @default 0 */
  coalesce?: number;
  /** Bytes that may wait for one client; beyond that the room's policy says what happens. @default any number */
  slowClientBytes?: number;
  /** How long a client may take nothing of what waits for it, in ms. Needs `slowClientBytes`. @default 30_000 */
  slowClientAge?: number;
}

export type DeliveryCounts = Outbox['counts'];

/** Connections that a room has something for, in the order of their turns. */
export interface Run {
  readonly room: string;
  readonly outlets: Outlet[];
  /** The next one. */
  at: number;
  /** The last of this lap: beyond are those who came, or came again, since it began. */
  end: number;
  /** Bytes of the frames that came in the lap before, and in this one. */
  older: number;
  newer: number;
}

/** How long may be written without letting anybody else do something, in ms. */
const SLICE = 3;
/** Connections of one room in a row. */
const STEP = 4;
/** Bytes of different frames that may wait. Beyond that the broker waits: nothing is read until all is written. */
const MAX_WAITING = 16 * 1024 * 1024;
/** Connections that a run remembers after their turn. */
const SPENT = 4_096;

export class Outbox {
  /** What happened so far, in numbers that only grow. */
  readonly counts = {
    /** Frames handed to connections: messages times receivers. */
    delivered: 0,
    /** Writes that they took. */
    writes: 0,
    /** Frames among them that shared their write with others. */
    coalesced: 0,
    /** Frames among them that took engine.io's ordinary way. */
    ordinary: 0,
    /** Volatile messages that a connection was not free for. */
    volatileDropped: 0,
    /** Times that everything was written at once since too much waited. */
    forced: 0,
    /** Clients disconnected since too many bytes waited for them. */
    slowBytes: 0,
    /** Clients disconnected since they took nothing for too long. */
    slowAge: 0,
    /** Frames that slow clients missed, and were told of. */
    slowDropped: 0,
    /** Frames that slow clients missed, since later ones of their keys told the same anew. */
    slowSuperseded: 0,
  };
  /** Hears what writing to a socket has thrown. */
  readonly failed: (error: Error) => void;
  readonly limit: number | undefined;
  readonly #coalesce: number;
  readonly #age: number;
  /** Those whose clients take nothing now. */
  readonly #slow = new Set<Outlet>();
  #sweeping?: NodeJS.Timeout;
  readonly #outlets = new WeakMap<Connection, Outlet>();
  /** In turn: the one that had its turn goes to the end. */
  readonly #runs = new Map<string, Run>();
  #waiting = 0;
  #isScheduled = false;

  constructor(
    { coalesce = 0, slowClientBytes, slowClientAge = 30_000 }: OutboxOptions,
    failed: (error: Error) => void,
  ) {
    this.#coalesce = coalesce;
    this.limit = slowClientBytes;
    this.#age = slowClientAge;
    this.failed = failed;
  }

  outletOf(conn: Connection): Outlet {
    const known = this.#outlets.get(conn);
    if (known) return known;
    const outlet = new Outlet(conn, this);
    this.#outlets.set(conn, outlet);
    return outlet;
  }

  /** Where the connections wait for which a room's frame is meant. */
  runFor(room: string, frame: Frame): Run {
    const bytes = frame.bytes.length;
    let run = this.#runs.get(room);
    if (!run) this.#runs.set(room, (run = { room, outlets: [], at: 0, end: 0, older: 0, newer: 0 }));
    run.newer += bytes;
    this.#waiting += bytes;
    return run;
  }

  put(run: Run, outlet: Outlet, frame: Frame): void {
    if (!outlet.put(frame) && !isSooner(run, outlet.run)) return;
    outlet.run = run;
    run.outlets.push(outlet);
  }

  /** To be called after the puts. */
  schedule(): void {
    if (this.#waiting > MAX_WAITING) {
      this.counts.forced++;
      this.flush();
    }
    if (this.#isScheduled || this.#runs.size === 0) return;
    this.#isScheduled = true;
    beforeExit(this);
    if (this.#coalesce > 0) setTimeout(this.#slice, this.#coalesce);
    else setImmediate(this.#slice);
  }

  /** Writes everything now. */
  flush(): void {
    for (let run = this.#next(); run; run = this.#next()) this.#step(run, Infinity);
  }

  waits(outlet: Outlet, on: boolean): void {
    if (!on) this.#slow.delete(outlet);
    else if (this.limit !== undefined) this.#slow.add(outlet);
    if (this.#slow.size > 0) this.#sweeping ??= setInterval(() => this.#sweep(), this.#age / 4).unref();
  }

  #sweep(): void {
    const before = performance.now() - this.#age;
    for (const outlet of this.#slow) if (outlet.waitingSince! < before) outlet.giveUp('slowAge');
    if (this.#slow.size > 0) return;
    clearInterval(this.#sweeping);
    this.#sweeping = undefined;
  }

  readonly #slice = (): void => {
    const until = performance.now() + SLICE;
    for (let run = this.#next(); run; run = this.#next()) {
      this.#step(run, STEP);
      if (performance.now() < until) continue;
      setImmediate(this.#slice);
      return;
    }
    this.#isScheduled = false;
    scheduled.delete(this);
  };

  #next(): Run | undefined {
    return this.#runs.values().next().value;
  }

  #step(run: Run, count: number): void {
    const { outlets } = run;
    for (const stop = Math.min(run.at + count, outlets.length); run.at < stop;) {
      const outlet = outlets[run.at++]!;
      if (outlet.run === run) outlet.run = undefined;
      outlet.flush();
    }
    if (run.at >= run.end) this.#endLap(run);
    this.#runs.delete(run.room);
    if (run.at < outlets.length) this.#runs.set(run.room, run);
    else this.#waiting -= run.older + run.newer;
    if (run.at > SPENT && run.at < outlets.length) {
      outlets.splice(0, run.at);
      run.end -= run.at;
      run.at = 0;
    }
  }

  /** What came before this lap has been written to everyone. */
  #endLap(run: Run): void {
    this.#waiting -= run.older;
    run.older = run.newer;
    run.newer = 0;
    run.end = run.outlets.length;
  }
}

/** Those that have something to write. What is said in the turn in which the process exits is said yet. */
const scheduled = new Set<Outbox>();
let isWatching = false;

function beforeExit(outbox: Outbox): void {
  scheduled.add(outbox);
  if (isWatching) return;
  isWatching = true;
  process.on('exit', () => scheduled.forEach((each) => each.flush()));
}

/** Whether an outlet that waits in one run would have its turn sooner in the other. */
function isSooner(run: Run, now: Run | undefined): boolean {
  return now !== run && (now === undefined || run.outlets.length - run.at < now.outlets.length - now.at);
}
