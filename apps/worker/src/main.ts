/*
 * `node dist/apps/worker/src/main.js [--check-config]`
 */
import { requireOpenFiles } from '../../observability/src/open-files.js';

requireOpenFiles();
// Imported above, it would be loaded first, and with too few files allowed end with ERR_MODULE_NOT_FOUND and a stack.
await import('./process.js');
