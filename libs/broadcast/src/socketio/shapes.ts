/*
 * What an answer to each kind of question looks like. Answers come from other versions, and from whoever can publish at
 * the broker: what looks otherwise goes no further.
 */
type Shape = (value: unknown, args: readonly unknown[]) => boolean;

const SHAPES = new Map<string, Shape>(
  Object.entries<Shape>({
    'sockets.ask': (value) => isObject(value) && isCount(value['clients']) && Array.isArray(value['responses']),
    'sockets.fetch': (value) => isListOf(value, isSocket),
    'servers.ask': (value) => Array.isArray(value) && value.length === 1,
    'servers.consult': (value) => Array.isArray(value) && value.length === 1,
    'rooms.sizes': (value, [rooms]) => isListOf(value, isCount) && value.length === (rooms as unknown[]).length,
    'rooms.stats': (value) => isListOf(value, (pair) => Array.isArray(pair) && isText(pair[0]) && isCount(pair[1])),
    'rooms.list': (value) => isListOf(value, isText),
  }),
);

/**
 * Whether it is an answer to a question of this kind. `null` is one to any: there is nothing to say.
 *
 * @param args of the question
 */
export function isAnswerTo(kind: string, args: readonly unknown[], value: unknown): boolean {
  return value === null || (SHAPES.get(kind)?.(value, args) ?? false);
}

function isSocket(value: unknown): boolean {
  return isObject(value) && isText(value['id']) && isObject(value['handshake']) && Array.isArray(value['rooms']);
}

function isListOf(value: unknown, isOne: (each: unknown) => boolean): value is unknown[] {
  return Array.isArray(value) && value.every(isOne);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): boolean {
  return typeof value === 'string';
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
