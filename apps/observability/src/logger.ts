/*
 * The log of an app: lines for people, or JSON for machines, with the instance and whatever else is known (room, id of the
 * message, queue) as fields beside the message. Never what clients say, nor what they are let in by.
 */
import type { Environment } from '@app/broadcast';
import { ConsoleLogger, LOG_LEVELS, type ConsoleLoggerOptions } from '@nestjs/common';
import { randomBytes } from 'node:crypto';

type JsonLine = ReturnType<ConsoleLogger['getJsonLogObject']>;

/** Parts of Nest that tell what they find in the code, which is the same each time: for those who look for it. */
const CURIOUS: readonly unknown[] = ['InstanceLoader', 'RoutesResolver', 'RouterExplorer', 'WebSocketsController'];

class InstanceLogger extends ConsoleLogger {
  readonly #instance: string;

  constructor(instance: string, options: ConsoleLoggerOptions) {
    super(options);
    this.#instance = instance;
  }

  override log(message: unknown, ...more: unknown[]): void {
    if (CURIOUS.includes(more.at(-1))) this.debug(message, ...more);
    else super.log(message, ...more);
  }

  protected override getJsonLogObject(...line: Parameters<ConsoleLogger['getJsonLogObject']>): JsonLine {
    return { ...super.getJsonLogObject(...line), instance: this.#instance };
  }
}

/** `logger.error('what happened', { room, id })`: fields are the last argument but a stack. */
export function createLogger({ LOG_LEVEL, LOG_FORMAT }: Environment, instance: string): ConsoleLogger {
  return new InstanceLogger(instance, {
    logLevels: LOG_LEVELS.slice(LOG_LEVELS.indexOf(LOG_LEVEL)),
    json: LOG_FORMAT === 'json',
    flattenParams: true,
  });
}

/** An id for an instance that was given none, drawn before the bus is made so that every line has it. */
export function newInstance(): string {
  return `i-${randomBytes(4).toString('hex')}`;
}
