/*
 * Where a handshake comes from, as far as it can be known.
 */
import { isIPv4, isIPv6 } from 'node:net';

export interface Handshake {
  readonly address: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/**
 * The address to count by: that of the connection, or where proxies are trusted, the one that the farthest of them has
 * seen. What a client itself claims is behind that and is not looked at.
 *
 * @param proxies how many of our own every connection comes through
 */
export function addressOf({ address, headers }: Handshake, proxies: number): string {
  if (proxies === 0) return group(address);
  const forwarded = [headers['x-forwarded-for']].flat().join(',').split(',');
  const seen = forwarded.at(-proxies)?.trim() ?? '';
  return group(isIPv4(seen) || isIPv6(seen) ? seen : address);
}

/** Whoever has an address of version 6 has 2^64 of them. */
function group(address: string): string {
  const mapped = /^::ffff:([\d.]+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [before, after] = address.split('::') as [string, string?];
  const left = before.split(':').filter((part) => part !== '');
  if (after === undefined) return left.slice(0, 4).join(':');
  const right = after.split(':').filter((part) => part !== '');
  const zeros = Array<string>(Math.max(0, 8 - left.length - right.length)).fill('0');
  return [...left, ...zeros, ...right].slice(0, 4).join(':');
}
