/*
 * What a command is, and how one is found, understood and run. Exit codes: 0 done, 1 it failed or a check did, 2 it was
 * asked wrongly.
 */
import { BroadcastError, nearest } from '@app/broadcast';
import { parseArgs } from 'node:util';
import { helpOf, overview } from './help.js';
import { Output } from './output.js';

export interface Option {
  readonly type: 'string' | 'boolean';
  readonly short?: string;
  /** What the value is, for the help: `<n>`. */
  readonly value?: string;
  readonly help: string;
  readonly default?: string;
}

export type Values = Readonly<Record<string, string | boolean | undefined>>;

export interface Asked {
  /** What stands behind the command's name. */
  readonly args: readonly string[];
  readonly values: Values;
  readonly out: Output;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
}

export interface Command {
  /** One word, or some: `jobs dead list`. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** The names of its arguments; optional ones in brackets. */
  readonly args?: readonly string[];
  readonly options?: Readonly<Record<string, Option>>;
  /** What else there is to know. */
  readonly notes?: string;
  /** Resolves with the exit code; nothing is 0. */
  run(asked: Asked): Promise<number | void>;
}

/** It was asked wrongly: the message says what was expected. */
export class UsageError extends Error {}

export const DONE = 0;
export const FAILED = 1;
export const ASKED_WRONGLY = 2;

/** Options of every command. */
export const COMMON: Readonly<Record<string, Option>> = {
  json: { type: 'boolean', help: 'print JSON' },
  help: { type: 'boolean', short: 'h', help: 'print this' },
};

/** Resolves with the exit code. */
export async function runCommand(commands: readonly Command[], argv: readonly string[]): Promise<number> {
  const out = new Output(argv.includes('--json'));
  const command = find(commands, argv);
  try {
    if (!command) {
      const [first] = argv;
      if (first === undefined || first === '--help' || first === '-h' || first === 'help') {
        out.text(overview(commands));
        return first === undefined ? ASKED_WRONGLY : DONE;
      }
      const group = commands.filter(({ name }) => name.startsWith(`${words(argv)} `));
      if (group.length > 0 && (argv.includes('--help') || argv.includes('-h'))) {
        out.text(overview(group));
        return DONE;
      }
      throw new UsageError(`there is no command ${words(argv)}${hint(words(argv), commands)}`);
    }
    const { values, args } = parse(command, argv);
    if (values['help'] === true) {
      out.text(helpOf(command));
      return DONE;
    }
    checkArgs(command, args);
    return (await command.run({ args, values, out, signal: ending() })) ?? DONE;
  } catch (error) {
    const wrong = error instanceof UsageError;
    const { code, message } = failureOf(error);
    const more = wrong ? ` (roomcast ${command ? `${command.name} ` : ''}--help tells more)` : '';
    out.failure(code, message, more);
    return wrong ? ASKED_WRONGLY : FAILED;
  }
}

/** The command whose name the words begin with; the longest one. */
function find(commands: readonly Command[], argv: readonly string[]): Command | undefined {
  return [...commands]
    .sort((a, b) => b.name.length - a.name.length)
    .find(({ name }) => name.split(' ').every((word, i) => argv[i] === word));
}

function parse(command: Command, argv: readonly string[]): { values: Values; args: string[] } {
  const options = { ...command.options, ...COMMON };
  const rest = argv.slice(command.name.split(' ').length);
  try {
    const config = Object.fromEntries(
      Object.entries(options).map(([name, { type, short }]) => [name, { type, ...(short !== undefined && { short }) }]),
    );
    const { values, positionals } = parseArgs({ args: rest, allowPositionals: true, options: config });
    const defaults = Object.entries(options).map(([name, option]) => [name, option.default]);
    return { values: { ...Object.fromEntries(defaults), ...values } as Values, args: positionals };
  } catch (error) {
    const { message } = error as Error;
    const [, unknown] = /^Unknown option '(-[^']*)'/.exec(message) ?? [];
    if (unknown === undefined) throw new UsageError(message.replace(/\. To specify.*$/s, ''));
    const like = nearest(unknown.replace(/^-+/, ''), Object.keys(options));
    throw new UsageError(`there is no option ${unknown}${like === undefined ? '' : `: do you mean --${like}?`}`);
  }
}

function checkArgs({ name, args: names = [] }: Command, args: readonly string[]): void {
  const least = names.filter((each) => !each.startsWith('[')).length;
  if (args.length < least) throw new UsageError(`${name} needs ${names.slice(args.length, least).join(' and ')}`);
  if (args.length > names.length) throw new UsageError(`${name} takes no ${JSON.stringify(args[names.length])}`);
}

function words(argv: readonly string[]): string {
  const end = argv.findIndex((word) => word.startsWith('-'));
  return argv.slice(0, end < 0 ? 3 : Math.min(3, end || 1)).join(' ');
}

function hint(asked: string, commands: readonly Command[]): string {
  const within = commands.filter(({ name }) => name.startsWith(`${asked} `)).map(({ name }) => name);
  if (within.length > 0) return `: there are ${within.join(', ')}`;
  const like = nearest(
    asked,
    commands.map(({ name }) => name),
  );
  return like === undefined ? '' : `: do you mean ${like}?`;
}

function failureOf(error: unknown): { code: string; message: string } {
  if (error instanceof UsageError) return { code: 'USAGE', message: error.message };
  if (error instanceof BroadcastError) return { code: error.code, message: error.message };
  return { code: 'ERROR', message: error instanceof Error ? error.message : String(error) };
}

/** The first one asks for the end, the second one ends. */
function ending(): AbortSignal {
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort());
  return end.signal;
}
