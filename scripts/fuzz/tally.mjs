/*
 * What came back: answers by code, and what must not come back. A finding names the input that brought it.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../prerequisites.mjs';

/** The codes that the documentation knows. */
export const CODES = new Set(
  [...readFileSync(join(root, 'docs', 'errors.md'), 'utf8').matchAll(/^\| `([A-Z_]+)` \|/gm)].map(([, code]) => code),
);
/** What only the inside of a server knows. */
const INSIDE = /\n\s+at |node_modules|file:\/\/\/|[/\\](dist|apps|libs)[/\\]|\.[cm]?[jt]s:\d+/;
const KEPT = 20;

export class Tally {
  /** @type {Record<string, number>} */
  answers = {};
  /** @type {{ what: string, input: string }[]} */
  findings = [];
  found = 0;

  count(answer) {
    this.answers[answer] = (this.answers[answer] ?? 0) + 1;
  }

  find(what, input) {
    this.found++;
    if (this.findings.length < KEPT) this.findings.push({ what, input: show(input) });
  }

  /** A refusal, `{ code, message }`, in whatever it came. */
  refusal(error, input) {
    const { code, message } = error ?? {};
    this.count(String(code));
    if (!CODES.has(code)) this.find(`answered with the code ${show(code)}, which is not documented`, input);
    // Documented, but what was sent is to be refused, and not to fail.
    else if (code === 'INTERNAL') this.find(`the server failed: ${message}`, input);
    if (typeof message !== 'string' || message.length > 1_000) this.find(`says ${show(message)}`, input);
    if (INSIDE.test(message)) this.find(`tells of its inside: ${message}`, input);
  }

  /** What a socket was acknowledged with. */
  acknowledged(answer, input) {
    if (answer?.ok === true) this.count('ok');
    else if (answer?.ok === false) this.refusal(answer.error, input);
    else this.find(`acknowledged with ${show(answer)}`, input);
  }
}

export function show(value) {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return text.length > 400 ? `${text.slice(0, 400)}… (${text.length} characters)` : text;
}
