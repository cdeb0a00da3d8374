/*
 * Where panes sit: a port stands for this host, nothing for this gateway. An address of another host is only reached where
 * the gateway's policy lets it (CORS_ORIGINS), which is fixed when the page is loaded.
 */

/** `3001`, `127.0.0.1:3001`, `http://…` → an origin; `undefined` for anything else. */
export function originOf(text, here) {
  const given = text.trim().replace(/\/+$/, '');
  if (given === '') return here.origin;
  const full = /^\d{1,5}$/.test(given)
    ? `${here.protocol}//${here.hostname}:${given}`
    : /^https?:\/\//.test(given)
      ? given
      : `${here.protocol}//${given}`;
  if (!URL.canParse(full)) return undefined;
  const { protocol, origin, pathname } = new URL(full);
  return /^https?:$/.test(protocol) && pathname === '/' ? origin : undefined;
}

/** The panes that the page's address asks for. */
export function panesOf(here) {
  const query = new URLSearchParams(here.search);
  const addresses = (query.get('panes') ?? '').split(',').filter((text) => text.trim() !== '');
  return {
    addresses: addresses.map((text) => originOf(text, here)).filter((origin) => origin !== undefined),
    room: query.get('room') ?? undefined,
  };
}

/** The page's address that has these panes; the room only where it is entered at once. */
export function addressOf(origins, room, here) {
  const short = origins.map((origin) => {
    const { hostname, protocol, port } = new URL(origin);
    return hostname === here.hostname && protocol === here.protocol && port !== '' ? port : origin;
  });
  const query = [`panes=${short.map(encodeURIComponent).join(',')}`];
  if (room !== undefined) query.push(`room=${encodeURIComponent(room)}`);
  return `${here.pathname}?${query.join('&')}`;
}
