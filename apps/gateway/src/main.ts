/*
 * `node dist/apps/gateway/src/main.js [--check-config]`
 */
import { run } from '@app/broadcast';
import { startGateway } from './gateway.js';

await run((environment) => startGateway(environment));
