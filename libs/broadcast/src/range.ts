/*
 * A range of whole numbers as a regular expression, for those who can only look at text, such as the schema of the Helm
 * chart's values.
 */

/** What matches the numbers from `min` to `max` as they are written, and no other. Leading zeros do not count. */
export function range(min: number, max: number): string {
  const parts: string[] = min === 0 ? ['0'] : [];
  let low = Math.max(1, min);
  while (low <= max) {
    const [part, next] = Number.isInteger(Math.log10(low)) && low * 10 - 1 <= max ? decades(low, max) : block(low, max);
    parts.push(part);
    low = next;
  }
  return `0*(${parts.join('|')})`;
}

/** From a power of ten on: all numbers of so many digits. */
function decades(low: number, max: number): [part: string, next: number] {
  const first = String(low).length - 1;
  const last = String(max + 1).length - 2;
  const digits = first === last ? `{${first}}` : `{${first},${last}}`;
  return [last === 0 ? '[1-9]' : `[1-9]\\d${digits}`, 10 ** (last + 1)];
}

/** The numbers that differ in one digit, and in all that follow it. */
function block(low: number, max: number): [part: string, next: number] {
  let size = 1;
  while (low % (size * 10) === 0 && low + size * 10 - 1 <= max) size *= 10;
  const from = Math.floor(low / size) % 10;
  const to = Math.min(9, from + Math.floor((max - low + 1) / size) - 1);
  const head = Math.floor(low / size / 10) || '';
  const rest = size === 1 ? '' : size === 10 ? '\\d' : `\\d{${String(size).length - 1}}`;
  return [`${head}${from === to ? from : `[${from}-${to}]`}${rest}`, low + (to - from + 1) * size];
}
