/*
 * The gateway as a process.
 */
import { run } from '@app/broadcast/nest';
import { checkSettings, startGateway } from './gateway.js';

await run({ check: checkSettings, start: (settings) => startGateway(settings) });
