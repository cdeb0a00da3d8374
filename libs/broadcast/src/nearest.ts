/*
 * What somebody has most likely meant.
 */

/** The closest of the names, if one is close: two letters in five may be wrong. */
export function nearest(asked: string, names: readonly string[]): string | undefined {
  const [best] = names
    .map((name) => ({ name, far: name.startsWith(asked) && asked.length > 1 ? 0 : distance(asked, name) }))
    .filter(({ name, far }) => far <= Math.max(1, Math.floor(name.length / 2.5)))
    .sort((a, b) => a.far - b.far);
  return best?.name;
}

/** Letters to insert, to delete or to exchange (Levenshtein). */
export function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const exchange = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(row[j]! + 1, next[j - 1]! + 1, exchange));
    }
    row = next;
  }
  return row[b.length]!;
}
