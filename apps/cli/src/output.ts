/*
 * What a command prints: text for people, or JSON for programs; never both on one stream.
 */

/** A column: its head, and which way it leans. */
export interface Column {
  readonly head: string;
  readonly right?: boolean;
}

export class Output {
  readonly json: boolean;

  constructor(json: boolean) {
    this.json = json;
  }

  /** For people. */
  text(text: string): void {
    process.stdout.write(`${text}\n`);
  }

  /** A value for programs, or its text for people. */
  result(value: unknown, text: string): void {
    this.text(this.json ? JSON.stringify(value, null, 2) : text);
  }

  /** One of many, as they come: a line of JSON, or one for people. */
  line(value: unknown, text: string): void {
    this.text(this.json ? JSON.stringify(value) : text);
  }

  /** What goes on, for people who wait. Not a part of the result. */
  progress(text: string): void {
    process.stderr.write(`${text}\n`);
  }

  failure(code: string, message: string, more = ''): void {
    if (this.json) this.text(JSON.stringify({ error: { code, message } }));
    process.stderr.write(code === 'USAGE' ? `roomcast: ${message}${more}\n` : `${code}: ${message}\n`);
  }
}

export function table(columns: readonly Column[], rows: readonly (readonly (string | number)[])[]): string {
  const cells = [columns.map(({ head }) => head), ...rows.map((row) => row.map(String))];
  const widths = columns.map((_, i) => Math.max(...cells.map((row) => row[i]!.length)));
  return cells
    .map((row) => row.map((cell, i) => (columns[i]!.right ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!))))
    .map((row) => row.join('   ').trimEnd())
    .join('\n');
}
