/*
 * `node dist/apps/gateway/src/main.js [--check-config]`
 */
import { run } from '@app/broadcast/nest';
import { checkSettings, startGateway } from './gateway.js';

await run({ check: checkSettings, start: (settings) => startGateway(settings) });
