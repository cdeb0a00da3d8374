/*
 * One subject on stage: an instance that speaks, one that hears, and the clients of that one. Where there is no broker, one
 * instance does both.
 */
import { PLAIN } from './subjects.mjs';

/** Time in which the clients have to hear each other's instance at all, in ms. */
const SETTLING = 60_000;

export class Stage {
  #bench;
  #crowds = [];

  constructor(bench, subject, options) {
    this.#bench = bench;
    this.subject = subject;
    this.options = options;
  }

  /**
   * @param {object} options `clients` and `real` ones of them, in `room` (with `rooms`: spread over so many); `receivers` of a
   * message, where times are wanted; `history`: the bus's; `alone`: one instance; `late`: the event loop is watched; `bystander`: one more, that has clients, and
   * none of them in that room
   */
  static async open(bench, subject, options = {}) {
    const stage = new Stage(bench, subject, options);
    const { alone = false, bystander = false, history, execArgv } = options;
    stage.prefix = bench.prefix();
    const opening = { ...bench.urls, prefix: stage.prefix, history, coalesce: 1 };
    const instances = Array.from({ length: 1 + !alone + bystander }, () =>
      bench.start('./instance.mjs', { args: [subject], execArgv }),
    );
    stage.ports = await Promise.all(instances.map((instance) => instance.call('open', subject, opening)));
    [stage.speaker, stage.hearer = stage.speaker, stage.bystander] = instances;
    stage.instances = instances;
    if (options.clients) await stage.crowd(options);
    return stage;
  }

  /**
   * Adds clients to the instance that hears, or to another. Those in a room are there when they have heard what the other
   * instance says. Real ones need Socket.IO.
   */
  async crowd({
    load = this.#bench.load,
    at = this.hearer,
    port = this.ports[this.instances.indexOf(at)],
    real = 0,
    clients,
    room,
    rooms,
    receivers,
    bytes,
  }) {
    const plain = PLAIN.has(this.subject);
    const name = `${this.prefix}/${room}`;
    const crowd = { load, name };
    this.#crowds.push(crowd);
    await load.call('connect', name, {
      ...{ port, clients, room, rooms, receivers, bytes },
      ...(plain ? { plain } : { real: Math.min(real, clients) }),
    });
    if (at === this.hearer && room !== undefined) await this.#settle(crowd, room, rooms, clients, bytes);
    return crowd;
  }

  /** Nobody promises that a room is heard at once, except for us: something is said until everyone has heard it. */
  async #settle({ load, name }, room, rooms, clients, bytes) {
    const until = Date.now() + SETTLING;
    for (;;) {
      await load.call('reset', name);
      await this.speaker.call('speak', { room, rooms, count: rooms ?? 1, batch: 10, bytes });
      try {
        return await load.call('expect', name, clients, 1_000);
      } catch (error) {
        if (!error.lost || Date.now() > until) throw new Error(`${this.subject}: ${error.message}`, { cause: error });
      }
    }
  }

  /**
   * Says something, waits until all of it has arrived, and resolves with what that cost the instances.
   *
   * @param {{ speech: object, deliveries: number, crowd?: object }[]} parts what goes on at the same time: for `speech` see
   * `speak` in instance.mjs; what all clients of the crowd together hear of it
   * @throws with `lost`, if some never came
   */
  async run(...parts) {
    const [first] = this.#crowds;
    for (const { crowd = first } of parts) await crowd.load.call('reset', crowd.name);
    await Promise.all(this.instances.map((instance) => instance.call('begin', this.options.late)));
    const outcomes = await Promise.allSettled(
      parts.flatMap(({ speech, deliveries, crowd: { load, name } = first }) => [
        this.speaker.call('speak', speech),
        load.call('expect', name, deliveries),
      ]),
    );
    const ends = await Promise.all(this.instances.map((instance) => instance.call('end')));
    for (const { status, reason } of outcomes) if (status === 'rejected') throw reason;
    const of = (instance) => ends[this.instances.indexOf(instance)];
    return { speaker: of(this.speaker), hearer: of(this.hearer), bystander: of(this.bystander) };
  }

  /** How long each message of the last run took to the last of its receivers, in ms. */
  times({ load, name } = this.#crowds[0]) {
    return load.call('times', name);
  }

  async close() {
    for (const { load, name } of this.#crowds) await load.call('close', name);
    await Promise.all(this.instances.map((instance) => instance.stop()));
  }
}
