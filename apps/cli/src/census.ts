/*
 * `roomcast rooms` and `roomcast instances`: what the gateways say is there.
 */
import { takeCensus, type Counted } from '@app/broadcast';
import { withBus } from './bus.js';
import { DONE, FAILED, type Command } from './command.js';
import { table, type Output } from './output.js';
import { duration, wholeNumber } from './values.js';

const NOBODY =
  'No gateway has answered: are any running, and are BROADCAST_PREFIX and BROADCAST_SECRET theirs? (--wait for slow ones)';
const LONGEST_WAIT = '1m';
const WAIT = { type: 'string', value: '<time>', help: 'how long to wait for answers' } as const;

export const rooms: Command = {
  name: 'rooms',
  summary: 'list the rooms that somebody is in, with the sockets in each',
  args: ['[<part of the name>]'],
  options: {
    limit: { type: 'string', value: '<n>', help: 'at most so many, the fullest first', default: '50' },
    wait: { ...WAIT, default: '1s' },
  },
  run: ({ args: [part = ''], values, out }) => {
    const limit = wholeNumber(values, 'limit')!;
    const wait = duration(values, 'wait', LONGEST_WAIT);
    return withBus(out, async (bus) => {
      const counted = await takeCensus(bus, { wait });
      const all = fullest(counted).filter(({ room }) => room.includes(part));
      const rows = all.slice(0, limit).map(({ room, sockets, instances }) => [room, sockets, instances]);
      const heads = [{ head: 'ROOM' }, { head: 'SOCKETS', right: true }, { head: 'INSTANCES', right: true }];
      const foot = all.length > limit ? `\n… and ${all.length - limit} more (--limit)` : '';
      const value = { total: all.length, instances: counted.length, rooms: all.slice(0, limit) };
      if (counted.length === 0) return unanswered(out, value);
      const nobody = part === '' ? 'Nobody is in a room.' : `Nobody is in a room with ${part} in its name.`;
      out.result(value, all.length === 0 ? nobody : `${table(heads, rows)}${foot}`);
      return DONE;
    });
  },
};

export const instances: Command = {
  name: 'instances',
  summary: 'list the gateways, with their rooms and versions',
  options: { wait: { ...WAIT, help: 'how long to wait; each tells of itself every 5 s', default: '6500ms' } },
  notes: 'Workers are not listed: they do not announce themselves.',
  run: ({ values, out }) => {
    const wait = duration(values, 'wait', LONGEST_WAIT);
    return withBus(out, async (bus) => {
      const found = (await takeCensus(bus, { wait, introduced: true })).map(({ instance, member, rooms }) => ({
        instance,
        role: member?.role,
        version: member?.version,
        startedAt: member && new Date(member.startedAt).toISOString(),
        rooms: rooms.size,
        memberships: [...rooms.values()].reduce((sum, sockets) => sum + sockets, 0),
      }));
      const rows = found.map(({ instance, role = '?', version = '?', startedAt, rooms, memberships }) => {
        return [instance, role, version, startedAt === undefined ? '?' : age(startedAt), rooms, memberships];
      });
      const heads = [{ head: 'INSTANCE' }, { head: 'ROLE' }, { head: 'VERSION' }, { head: 'UP' }];
      const numbers = [
        { head: 'ROOMS', right: true },
        { head: 'MEMBERSHIPS', right: true },
      ];
      if (found.length === 0) return unanswered(out, found);
      out.result(found, table([...heads, ...numbers], rows));
      return DONE;
    });
  },
};

/** All rooms of all instances, the fullest first. */
export function fullest(counted: readonly Counted[]): { room: string; sockets: number; instances: number }[] {
  const totals = new Map<string, { room: string; sockets: number; instances: number }>();
  for (const { rooms } of counted) {
    for (const [room, sockets] of rooms) {
      const total = totals.get(room) ?? { room, sockets: 0, instances: 0 };
      totals.set(room, { room, sockets: total.sockets + sockets, instances: total.instances + 1 });
    }
  }
  return [...totals.values()].sort((a, b) => b.sockets - a.sockets || a.room.localeCompare(b.room));
}

/** That may be so, and is far more often a mistake. */
function unanswered(out: Output, value: unknown): number {
  if (out.json) out.result(value, '');
  out.progress(NOBODY);
  return FAILED;
}

function age(since: string): string {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(since)) / 1_000));
  const [days, hours, minutes] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3_600), Math.floor(seconds / 60)];
  if (days > 0) return `${days}d ${hours % 24}h`;
  if (hours > 0) return `${hours}h ${minutes % 60}m`;
  return minutes > 0 ? `${minutes}m ${seconds % 60}s` : `${seconds}s`;
}
