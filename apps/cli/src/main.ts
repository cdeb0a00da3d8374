#!/usr/bin/env node
/*
 * `roomcast <command>`: what an operator asks of a deployment. docs/cli.md has all of it.
 */
import { runCommand } from './command.js';
import { COMMANDS } from './commands.js';

// Whoever reads what is printed here may have read enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
process.exitCode = await runCommand(COMMANDS, process.argv.slice(2));
