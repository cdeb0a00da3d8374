// A terminal client: `npm run chat -- --user bob --port 3001`. Type a line to say it; Ctrl-C leaves.
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { io } from 'socket.io-client';

const USAGE = 'npm run chat -- [--user bob] [--room 123] [--port 3001 | --url http://…] [--say "one line, then leave"]';
const values = options();

const url = values.url ?? `http://127.0.0.1:${values.port}`;
const { room, user } = values;
const socket = io(url, { auth: { user } });

/** The place of the last message that was shown. */
let since;
/** What is typed before the room is entered, or while the line is lost, waits for it. */
let isIn = false;
let enter;
let entered = entrance();
let said = Promise.resolve();

socket.onAny((event, ...args) => event !== 'room:presence' && show(event, ...args));
socket.on('room:presence', ({ joined = [], left = [] }) => {
  for (const name of joined) if (name !== user) console.log(`· ${name} is here`);
  for (const name of left) console.log(`· ${name} has left`);
});
socket.on('connect_error', (error) => {
  // With data it is a refusal by the gateway, which the same request would meet again.
  if (error.data || values.say !== undefined) leave(`${url}: ${error.message}`);
  console.error(`${url}: ${error.message}; is a gateway there? Trying again`);
});
socket.on('disconnect', (reason) => {
  console.log(`· disconnected (${reason})`);
  if (isIn) entered = entrance();
  isIn = false;
});
socket.on('connect', () => {
  // In the callback: what comes right after the answer may be handled before a promise of it is.
  socket.timeout(10_000).emit('room:join', { room, since }, async (error, joined) => {
    if (error || !joined.ok) leave(`cannot join ${room}: ${error?.message ?? joined.error.message}`);
    console.log(`· ${user} is in room ${room} by ${url}, with ${joined.count - 1} more`);
    if (joined.recovered === false) console.log('· what was said meanwhile is not kept any more');
    for (const { event, data, ...meta } of joined.missed ?? []) show(event, data, meta);
    if (!joined.recovered && joined.pos !== undefined) since = { pos: joined.pos, id: joined.id };
    isIn = true;
    enter();
    if (values.say !== undefined) {
      await say(values.say);
      socket.close();
    }
  });
});

if (values.say === undefined) {
  createInterface({ input: process.stdin })
    .on('line', (line) => {
      const text = line.trim();
      if (text) said = said.then(() => entered).then(() => say(text));
    })
    .on('close', () => said.then(() => socket.close()));
}

function entrance() {
  return new Promise((resolve) => (enter = resolve));
}

function show(event, data, meta) {
  const said = event === 'chat' && typeof data?.text === 'string' ? data.text : `${event} ${JSON.stringify(data)}`;
  console.log(`${meta?.from ?? '·'}: ${said}`);
  if (meta?.pos !== undefined) since = { pos: meta.pos, id: meta.id };
}

async function say(text) {
  const said = await ask('room:send', { room, event: 'chat', data: { text } });
  if (!said.ok) console.error(`· not sent: ${said.error.message}`);
}

async function ask(request, body) {
  try {
    return await socket.timeout(10_000).emitWithAck(request, body);
  } catch (error) {
    return { ok: false, error: { message: error.message } };
  }
}

function options() {
  try {
    const { values } = parseArgs({
      options: {
        url: { type: 'string' },
        port: { type: 'string', default: '3000' },
        room: { type: 'string', default: '123' },
        user: { type: 'string', default: `guest-${process.pid}` },
        say: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
      },
    });
    if (!values.help) return values;
    console.log(USAGE);
    process.exit();
  } catch (error) {
    return leave(`${error.message}\n${USAGE}`);
  }
}

function leave(why) {
  console.error(why);
  process.exit(1);
}
