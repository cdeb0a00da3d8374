/*
 * Variables of the environment that are none of ours and look as if they were meant to be. They change nothing, which is
 * found out late: a limit that was never set.
 */
import { distance, nearest } from './nearest.js';
import { variables } from './variables.js';

const NAMES = Object.keys(variables);
/** What begins like this is nobody else's. */
const FAMILIES = /^(BROADCAST_|HISTORY_|AUTH_JW|RATE_LIMIT|JOIN_LIMIT|MAX_CONNECTIONS|DRAIN_)/;
/** Shorter names, PORT and HOST, are close to what everybody has. */
const SHORTEST = 8;
const MOST_WRONG = 2;

/** A sentence for each variable that is nearly one of ours, and for nothing else. */
export function unknownVariables(environment: NodeJS.ProcessEnv = process.env): string[] {
  return Object.keys(environment)
    .filter((name) => !NAMES.includes(name))
    .sort()
    .flatMap((name) => {
      const meant = meantBy(name);
      return meant === undefined ? [] : [`${name} is not a setting, and changes nothing: did you mean ${meant}?`];
    });
}

function meantBy(name: string): string | undefined {
  const close = NAMES.filter((known) => known.length >= SHORTEST)
    .map((known) => ({ known, far: distance(name.toUpperCase(), known) }))
    .filter(({ far }) => far <= MOST_WRONG)
    .sort((a, b) => a.far - b.far)[0]?.known;
  if (close !== undefined) return close;
  const family = FAMILIES.exec(name)?.[0];
  if (family === undefined) return undefined;
  const relatives = NAMES.filter((known) => known.startsWith(family));
  return nearest(name, relatives) ?? relatives.join(' or ');
}
