/*
 * The commands that there are, in the order in which the help shows them.
 */
import { instances, rooms } from './census.js';
import { checkConfig } from './check-config.js';
import type { Command } from './command.js';
import { doctor } from './doctor/doctor.js';
import { jobs } from './jobs.js';
import { load } from './load/load.js';
import { publish, tail } from './talk.js';

export const COMMANDS: readonly Command[] = [checkConfig, doctor, rooms, instances, tail, publish, ...jobs, load];
