/*
 * How deep what is said may nest. JSON.parse takes any depth, but nothing that walks values afterwards does: a text of a few
 * thousand brackets could be stored, and ended the process of whoever wrote it again in an answer.
 */

import { BroadcastError } from './errors.js';

/** Levels of arrays and objects, the arguments' own array included. PHP's `json_decode` reads 512, Python's `json` 1,000. */
export const MOST_DEPTH = 500;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;

/**
 * @param json well-formed
 * @throws BroadcastError with this code when it nests too deep
 */
export function checkDepth(json: string, code: 'BAD_REQUEST' | 'UNREADABLE'): void {
  if (isTooDeep(json)) throw new BroadcastError(code, `it nests deeper than ${MOST_DEPTH} levels`);
}

function isTooDeep(json: string): boolean {
  // Each level is opened and closed.
  if (json.length <= 2 * MOST_DEPTH) return false;
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const character = json.charCodeAt(at);
    if (character === QUOTE) at = endOfText(json, at);
    else if (character === 0x5b || character === 0x7b) {
      if (++depth > MOST_DEPTH) return true;
    } else if (character === 0x5d || character === 0x7d) depth--;
  }
  return false;
}

/** Where the text that begins with this quote ends. */
function endOfText(json: string, start: number): number {
  for (let end = start; ;) {
    end = json.indexOf('"', end + 1);
    if (end < 0) return json.length;
    let before = end - 1;
    while (json.charCodeAt(before) === BACKSLASH) before--;
    if ((end - before) % 2 === 1) return end;
  }
}
