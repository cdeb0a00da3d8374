/*
 * Patterns of internal messages: words between dots, as on an AMQP topic exchange. `*` stands for exactly one word, `#`
 * for any number of them, none included. They are matched here, in the process, so they mean the same on every
 * transport.
 */

/** Whether a subject (`room.opened`) is one of those that a pattern (`room.*`) stands for. */
export function matches(pattern: string, subject: string): boolean {
  if (pattern === subject) return true;
  if (!pattern.includes('*') && !pattern.includes('#')) return false;
  return matchWords(pattern.split('.'), subject.split('.'));
}

/** Walks the pattern once, keeping the set of places in the subject that it can have reached: no backtracking. */
function matchWords(pattern: readonly string[], subject: readonly string[]): boolean {
  let reached = new Set([0]);
  for (const word of pattern) {
    const next = new Set<number>();
    for (const place of reached) {
      if (word === '#') for (let i = place; i <= subject.length; i++) next.add(i);
      else if (place < subject.length && (word === '*' || word === subject[place])) next.add(place + 1);
    }
    if (next.size === 0) return false;
    reached = next;
  }
  return reached.has(subject.length);
}
