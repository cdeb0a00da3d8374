/*
 * `node dist/apps/worker/src/main.js [--check-config]`
 */
import { run } from '@app/broadcast/nest';
import { startWorker } from './worker.js';

await run({ start: (settings) => startWorker(settings) });
