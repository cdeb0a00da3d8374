/*
 * The worker as a process.
 */
import { run } from '@app/broadcast/nest';
import { startWorker } from './worker.js';

await run({ start: (settings) => startWorker(settings) });
