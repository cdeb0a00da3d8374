/*
 * The help, made from what the commands say of themselves.
 */
import { COMMON, type Command, type Option } from './command.js';

const ENVIRONMENT = `The broker comes from the environment, as for the gateways: BROADCAST_TRANSPORT, REDIS_URL, RABBITMQ_URL,
BROADCAST_PREFIX, BROADCAST_SECRET, … (docs/configuration.md).`;
const CODES = 'Exit code: 0 done · 1 it failed, or a check did · 2 it was asked wrongly.';

export function overview(commands: readonly Command[]): string {
  const lines = commands.map(({ name, args = [], summary }) => [[name, ...args].join(' '), summary] as const);
  return `roomcast <command> [--json] [--help]\n\n${columns(lines)}\n\n${ENVIRONMENT}\n${CODES}`;
}

export function helpOf({ name, args = [], summary, options = {}, notes }: Command): string {
  const all = Object.entries({ ...options, ...COMMON });
  const lines = all.map(([option, about]) => [spelling(option, about), explanation(about)] as const);
  const parts = [`roomcast ${[name, ...args].join(' ')} [options]`, sentence(summary), columns(lines)];
  return [...parts, ...(notes === undefined ? [] : [notes])].join('\n\n');
}

function spelling(name: string, { short, value }: Option): string {
  return `--${name}${value === undefined ? '' : ` ${value}`}${short === undefined ? '' : `, -${short}`}`;
}

function explanation({ help, default: value }: Option): string {
  return value === undefined ? help : `${help} (${value})`;
}

function sentence(text: string): string {
  return `${text[0]!.toUpperCase()}${text.slice(1)}.`;
}

function columns(lines: readonly (readonly [string, string])[]): string {
  const width = Math.max(...lines.map(([left]) => left.length)) + 2;
  return lines.map(([left, right]) => `  ${left.padEnd(width)}${right}`).join('\n');
}
