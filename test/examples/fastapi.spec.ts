/*
 * examples/fastapi as its README has it run: a room server in Python whose clients talk with those of a gateway, over
 * each broker, and go on after a cut.
 */
import { until } from '@app/broadcast/testing';
import { spawn, type ChildProcess } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { WebSocket } from 'ws';
import { freePort } from '../brokers/broker-process.js';
import { openGate, type Gate } from '../brokers/gate.js';
import { Client, endAll, runGateway, type RunningGateway } from '../system/processes.js';
import { root } from '../system/projects.js';

interface Frame {
  event?: string;
  data?: unknown;
  meta?: { room: string; id?: string; at: number; from?: string; pos?: string };
  ack?: { ok: boolean; id?: string; error?: { code: string; message: string } };
}

const example = join(root, 'examples', 'fastapi');
const requirements = readFileSync(join(example, 'requirements.txt'));
const cache = join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'roomcast');
/** scripts/python.mjs makes it. */
const bin = join(cache, `python-${createHash('sha256').update(requirements).digest('hex').slice(0, 12)}`, 'bin');

/** A client of the example. */
class Talker {
  readonly frames: Frame[] = [];
  readonly socket: WebSocket;
  closed?: { code: number; reason: string };

  constructor(url: string) {
    this.socket = new WebSocket(url);
    this.socket.on('message', (text: Buffer) => this.frames.push(JSON.parse(text.toString()) as Frame));
    this.socket.on('close', (code, reason) => (this.closed = { code, reason: reason.toString() }));
    this.socket.on('error', () => undefined);
  }

  of(event: string): Frame[] {
    return this.frames.filter((frame) => frame.event === event);
  }

  get acks() {
    return this.frames.flatMap(({ ack }) => ack ?? []);
  }

  get chats(): unknown[] {
    return this.of('chat').map(({ data }) => data);
  }

  async say(message: unknown): Promise<NonNullable<Frame['ack']>> {
    const before = this.acks.length;
    this.socket.send(typeof message === 'string' || Buffer.isBuffer(message) ? message : JSON.stringify(message));
    await until('it is acknowledged', () => this.acks.length > before);
    return this.acks.at(-1)!;
  }
}

describe.each([
  ['redis', 'REDIS_URL', process.env['TEST_REDIS_URL']!],
  ['rabbitmq', 'RABBITMQ_URL', process.env['TEST_RABBITMQ_URL']!],
])('the room server in Python, over %s', (transport, variable, broker) => {
  const room = 'lobby';
  let gate: Gate;
  let gateway: RunningGateway;
  let program: ChildProcess;
  let url: string;
  let output = '';
  let ann: Client;
  let bob: Talker;

  const enter = async (name = room, user = 'bob') => {
    const talker = new Talker(`${url.replace('http', 'ws')}/rooms/${name}?user=${user}`);
    await until(`${user} is in the room`, () => talker.of('joined').length > 0 || talker.closed !== undefined);
    return talker;
  };

  beforeAll(async () => {
    gate = await openGate(Number(new URL(broker).port));
    const environment = { BROADCAST_TRANSPORT: transport, BROADCAST_PREFIX: `p${randomBytes(4).toString('hex')}.` };
    gateway = await runGateway({ ...environment, [variable]: broker });
    const port = await freePort();
    const env = { ...process.env, ...environment, [variable]: gate.url(broker), PYTHONDONTWRITEBYTECODE: '1' };
    program = spawn(join(bin, 'uvicorn'), ['app:app', '--port', String(port)], { cwd: example, env });
    for (const stream of [program.stdout!, program.stderr!]) stream.on('data', (text) => (output += String(text)));
    url = `http://127.0.0.1:${port}`;
    await until(
      'it answers',
      async () => {
        if (program.exitCode !== null) throw new Error(`it ended:\n${output}`);
        return fetch(`${url}/health`).then(
          ({ ok }) => ok,
          () => false,
        );
      },
      30_000,
    );
    ann = await new Client(gateway.url, 'ann').join(room);
    bob = await enter();
  }, 60_000);

  afterAll(async () => {
    bob.socket.terminate();
    const exited = new Promise((resolve) => program.once('exit', resolve));
    program.kill('SIGTERM');
    await exited;
    endAll();
    await gate.close();
    expect(output).not.toMatch(/Exception in|Task exception|never retrieved/);
  });

  it('hears what is said at a gateway', async () => {
    const { id } = await ann.say(room, { text: 'hello from a gateway' });
    await until('bob hears it', () => bob.chats.length > 0);
    const [frame] = bob.of('chat');
    expect(frame).toMatchObject({ data: { text: 'hello from a gateway' }, meta: { room, id, from: 'ann' } });
  });

  it('says what gateways hear, keep, and know again', async () => {
    const data = { text: 'hello from Python, "äöü" \u2028 \ud83d\udc0d' };
    const id = randomBytes(8).toString('hex');
    for (let i = 0; i < 2; i++) expect(await bob.say({ event: 'chat', data, id })).toEqual({ ok: true, id });
    const last = { event: 'chat', data: 'last' };
    const { id: lastId } = await bob.say(last);
    await until('all hear the last', () => ann.chats.includes('last') && bob.chats.includes('last'));
    expect(ann.chats.slice(-2)).toEqual([data, 'last']);
    expect(bob.chats.slice(-2)).toEqual([data, 'last']);
    const { meta } = ann.heard.at(-1)!;
    expect(meta).toMatchObject({ room, id: lastId, from: 'bob', pos: expect.any(String) });
    const { messages } = await ann.ask('room:history', { room });
    expect(messages!.map(({ data }) => data).slice(-2)).toEqual([data, 'last']);
    // Only Redis tells those who listen to a room's channel where in the log it is.
    if (transport === 'redis') expect(bob.of('chat').at(-1)!.meta!.pos).toBe(meta!.pos);
  });

  it('says what comes by HTTP', async () => {
    const post = (body: unknown) =>
      fetch(`${url}/rooms/${room}/messages`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: JSON.stringify(body),
      });
    const answer = await post({ event: 'chat', data: 'by HTTP' });
    expect([answer.status, await answer.json()]).toEqual([201, { id: expect.any(String) }]);
    await until('all hear it', () => ann.chats.includes('by HTTP') && bob.chats.includes('by HTTP'));
    expect((await post({ event: 'room:closed' })).status).toBe(422);
  });

  it('refuses what is wrong, and goes on', async () => {
    for (const wrong of ['nonsense', '[]', '{"event":"room:gap"}', '{"event":"disconnect"}', '{"event":1}', '{}']) {
      expect(await bob.say(wrong)).toMatchObject({ ok: false, error: { code: 'BAD_REQUEST' } });
    }
    for (const number of ['NaN', '-Infinity', '1e999', '{"deep":[1e999]}']) {
      expect(await bob.say(`{"event":"chat","data":${number}}`)).toMatchObject({
        ok: false,
        error: { code: 'BAD_REQUEST', message: expect.stringMatching(/^data: /) as string },
      });
    }
    expect(await bob.say({ event: 'chat', data: 'x'.repeat(65_536) })).toMatchObject({
      ok: false,
      error: { code: 'TOO_LARGE', message: expect.stringContaining('the limit is 65536') as string },
    });
    expect(await bob.say(Buffer.from('{"event":"chat"}'))).toMatchObject({
      ok: false,
      error: { code: 'BAD_REQUEST', message: 'message: expected a text frame of JSON' },
    });
    const post = async (body: string) => {
      const headers = { 'Content-Type': 'application/json' };
      return (await fetch(`${url}/rooms/${room}/messages`, { method: 'POST', headers, body })).status;
    };
    expect(await post('{"event":"chat","data":NaN}')).toBe(422);
    expect(await post('{"event":"chat","data":1e999}')).toBe(422);
    expect(await post(JSON.stringify({ event: 'chat', data: 'x'.repeat(65_536) }))).toBe(413);
    expect((await enter('a%20b')).closed).toMatchObject({ code: 1008 });
    expect(await bob.say({ event: 'chat', data: 'still here' })).toMatchObject({ ok: true });
    await until('ann hears it', () => ann.chats.includes('still here'));
  });

  it('tells of a gap after a cut, and hears again', async () => {
    expect(output).not.toContain('Traceback');
    gate.cut();
    await until('bob is told', () => bob.of('room:gap').length > 0, 20_000);
    await ann.say(room, 'after the cut');
    await until('bob hears it', () => bob.chats.includes('after the cut'), 20_000);
    await until('it speaks again', async () => (await bob.say({ event: 'chat', data: 'me too' })).ok, 20_000);
    await until('ann hears it', () => ann.chats.includes('me too'));
  });

  it('lets rooms go that nobody is in, and takes them up again', async () => {
    const other = await enter('other', 'carl');
    other.socket.close();
    await until('it is closed', () => other.closed !== undefined);
    const again = await enter('other', 'carl');
    const dora = await new Client(gateway.url, 'dora').join('other');
    await dora.say('other', 1);
    await until('carl hears it', () => again.chats.length > 0);
    again.socket.close();
  });
});
