/*
 * The port of a gateway, tried before anything is started: what is in its way is then the only thing that is said.
 */
import { BroadcastError } from '@app/broadcast';
import { once } from 'node:events';
import { createServer } from 'node:net';
import type { Settings } from './settings.js';

type Place = Pick<Settings, 'PORT' | 'HOST'>;

/** @throws BroadcastError `BAD_REQUEST` through the promise: nobody can listen there */
export async function checkPort(place: Place): Promise<void> {
  if (place.PORT === 0) return;
  const probe = createServer();
  try {
    probe.listen(place.PORT, place.HOST);
    await once(probe, 'listening');
  } catch (error) {
    throw explainPort(error, place);
  }
  probe.close();
  await once(probe, 'close');
}

/** What listening there has come to, as a sentence where it is known. */
export function explainPort(error: unknown, { PORT, HOST }: Place): unknown {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case 'EADDRINUSE':
      return refuse(`PORT: ${PORT} on ${HOST} is in use: stop what uses it, or choose another.`, error);
    case 'EACCES':
      return refuse(`PORT: this process may not listen on ${PORT}: choose another.`, error);
    case 'ENOTFOUND':
    case 'EADDRNOTAVAIL':
      return refuse(`HOST: ${HOST} is no address of this machine: 0.0.0.0 is all of them.`, error);
    default:
      return error;
  }
}

function refuse(sentence: string, cause: unknown): BroadcastError {
  return new BroadcastError('BAD_REQUEST', sentence, { cause });
}
