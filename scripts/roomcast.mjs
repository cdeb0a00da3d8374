// `npm run roomcast -- <command>`: the operator's command line, once it is built.
import { existsSync } from 'node:fs';

const main = new URL('../dist/apps/cli/src/main.js', import.meta.url);
if (existsSync(main)) await import(main);
else {
  console.error('The command line is not built yet: run `npm ci && npm run build` first.');
  process.exitCode = 2;
}
