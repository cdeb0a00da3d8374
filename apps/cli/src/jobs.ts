/*
 * `roomcast jobs …`: looking at the jobs of a queue, and doing something about those that were given up.
 */
import { checkQueue, type Jobs } from '@app/broadcast';
import { withBus } from './bus.js';
import { UsageError, type Asked, type Command, type Option } from './command.js';
import { duration, json, textOf, wholeNumber } from './values.js';

const ID: Option = { type: 'string', value: '<id>', help: 'only the job of this id' };
const LIMIT: Option = { type: 'string', value: '<n>', help: 'at most so many, the oldest first' };

function selectionOf({ values }: Asked) {
  const [id, limit] = [textOf(values, 'id'), wholeNumber(values, 'limit')];
  return { ...(id !== undefined && { id }), ...(limit !== undefined && { limit }) };
}

/** @throws UsageError */
function queueOf({ args: [queue = ''] }: Asked): string {
  try {
    return checkQueue(queue);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export const jobs: readonly Command[] = [
  {
    name: 'jobs stats',
    summary: 'count the jobs of a queue',
    args: ['<queue>'],
    run: (asked) => {
      const { out } = asked;
      const queue = queueOf(asked);
      return withBus(out, async (bus) => {
        const stats = await bus.jobs.stats(queue);
        const { waiting, running = 'not told by this broker', delayed, dead } = stats;
        const lines = Object.entries({ waiting, running, delayed, dead }).map(([name, count]) => `${name}: ${count}`);
        out.result(stats, lines.join('\n'));
      });
    },
  },
  {
    name: 'jobs add',
    summary: 'put a job into a queue',
    args: ['<queue>', '<pattern>', '[<json>]'],
    options: {
      id: { ...ID, help: 'the same id within 5 minutes is the same job, where the broker can tell' },
      delay: { type: 'string', value: '<time>', help: 'not before that: 5s' },
    },
    run: (asked) => {
      const { args, values, out } = asked;
      const queue = queueOf(asked);
      const [, pattern = '', data = 'null'] = args;
      const [id, content] = [textOf(values, 'id'), json(data, 'the data')];
      const options = { ...(id !== undefined && { id }), delay: duration(values, 'delay') ?? 0 };
      return withBus(out, async (bus) => {
        const added = await bus.jobs.enqueue(queue, pattern, content, options);
        out.result(added, added.id);
      });
    },
  },
  {
    name: 'jobs dead list',
    summary: 'print the dead letters of a queue: why, after how many attempts, and the job',
    args: ['<queue>'],
    options: { id: ID, limit: { ...LIMIT, default: '20' } },
    notes: 'One line of JSON each; with --json one list.',
    run: (asked) => {
      const { out } = asked;
      const queue = queueOf(asked);
      const selection = selectionOf(asked);
      return withBus(out, async (bus) => {
        const dead = (await bus.jobs.dead(queue, selection)).map(({ body, at, ...letter }) => {
          return { ...letter, at: new Date(at).toISOString(), job: body.toString() };
        });
        if (out.json) out.result(dead, '');
        else for (const letter of dead) out.text(JSON.stringify(letter));
      });
    },
  },
  change('replay', 'put dead letters back into their queue', 'put back', (jobs, queue, selection) =>
    jobs.replay(queue, selection),
  ),
  change('purge', 'forget dead letters', 'forgotten', (jobs, queue, selection) => jobs.purge(queue, selection)),
];

function change(
  word: string,
  summary: string,
  done: string,
  work: (jobs: Jobs, queue: string, selection: { id?: string; limit?: number }) => Promise<number>,
): Command {
  return {
    name: `jobs dead ${word}`,
    summary: `${summary}; all of them, unless some are named`,
    args: ['<queue>'],
    options: { id: ID, limit: LIMIT },
    run: (asked) => {
      const queue = queueOf(asked);
      const selection = selectionOf(asked);
      return withBus(asked.out, async (bus) => {
        const count = await work(bus.jobs, queue, selection);
        asked.out.result({ count }, `${count} ${done}`);
      });
    },
  };
}
