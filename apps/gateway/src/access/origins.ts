/*
 * Which web pages may open a connection. Browsers say where a page is from; whoever is no browser says nothing, or anything:
 * this protects the users of browsers.
 */
import type { IncomingMessage } from 'node:http';

type Answer = (problem: string | null | undefined, allowed: boolean) => void;

/**
 * For Engine.IO's `allowRequest`. Pages of the gateway's own host may, on any port; others only where they are trusted, as soon
 * as any are named. A browser asks by itself for long polling, but not for a websocket.
 *
 * @param trusted `https://a.org`, or `*` for all; none: nothing is checked
 */
export function checkOrigin(trusted: readonly string[]): (request: IncomingMessage, answer: Answer) => void {
  const isOpen = trusted.length === 0 || trusted.includes('*');
  return ({ headers: { origin, host } }, answer) => {
    const own = hostOf(`http://${host}`);
    const isOwn = origin === undefined || (own !== undefined && hostOf(origin) === own);
    const isAllowed = isOpen || isOwn || trusted.includes(origin);
    answer(isAllowed ? undefined : 'this origin is not among CORS_ORIGINS', isAllowed);
  };
}

/** `null`, which a page in a sandbox is from, has none. */
function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).hostname : undefined;
}
