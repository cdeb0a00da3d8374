/*
 * What is said in the bench: a text of a fixed length that begins with its number and the moment at which it was said, so
 * that who counts frames finds both at a fixed place. And saying it at a given pace.
 */
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises';

export const EVENT = 'm';
/** What comes before the text in a packet of Socket.IO. */
const PACKET = `42["${EVENT}","`;
const NUMBER = { from: PACKET.length, to: PACKET.length + 8 };
const MOMENT = { from: NUMBER.to + 1, to: NUMBER.to + 17 };
const LEAST = MOMENT.to - NUMBER.from + 1;

/** µs by a clock that all processes of a machine share. */
export function now() {
  return Number(process.hrtime.bigint() / 1_000n);
}

export function text(number, bytes) {
  const moment = String(now()).padStart(16, '0');
  return `${String(number).padStart(8, '0')} ${moment} ${'x'.repeat(Math.max(0, bytes - LEAST))}`;
}

/** The packet as Socket.IO writes it, for those who have no Socket.IO. */
export function packet(said) {
  return `${PACKET}${said}"]`;
}

/** Number and moment of a packet that begins at `at` in the bytes. */
export function read(bytes, at) {
  return { number: digits(bytes, at, NUMBER), moment: digits(bytes, at, MOMENT) };
}

/** The number of a text. */
export function numberOf(said) {
  return Number(said.slice(0, NUMBER.to - NUMBER.from));
}

/**
 * Calls `say(number, text)` `count` times: `batch` of them in one go, every `every` ms. Who is late goes on batch by batch, a
 * turn of the event loop apart, and makes no larger ones.
 *
 * @param {(number: number, text: string) => unknown} say
 * @param {{ count: number, batch?: number, every?: number, bytes?: number }} pace
 */
export async function speak(say, { count, batch = 1, every = 1, bytes = 100 }) {
  const from = performance.now();
  for (let number = 0; number < count;) {
    const due = from + (number / batch) * every;
    // By timers alone: who spins until it is due takes a core from those who are measured.
    while (performance.now() < due) await pause(1);
    for (const end = Math.min(count, number + batch); number < end; number++) say(number, text(number, bytes));
    await turn();
  }
}

function digits(bytes, at, { from, to }) {
  let value = 0;
  for (let i = at + from; i < at + to; i++) value = value * 10 + bytes[i] - 48;
  return value;
}
