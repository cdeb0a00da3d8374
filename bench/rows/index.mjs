/*
 * All rows, in the order in which they are reported. One offers a title, the brokers that it needs, and `run(bench)`, which
 * resolves with figures, ratios and notes.
 */
import { acks } from './acks.mjs';
import { P1, P1b, P5 } from './fan-out.mjs';
import { history } from './history.mjs';
import { P7 } from './hot-room.mjs';
import { P6 } from './joins.mjs';
import { P3 } from './latency.mjs';
import { P8 } from './memory.mjs';
import { P2 } from './no-members.mjs';
import { P4 } from './publishing.mjs';
import { rebind } from './rebind.mjs';
import { P9 } from './rooms.mjs';
import { transports } from './transports.mjs';

export const ROWS = { P1, P1b, P2, P3, P4, P5, P6, P7, P8, P9, transports, history, acks, rebind };
