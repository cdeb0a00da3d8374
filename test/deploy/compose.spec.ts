/*
 * What docker-compose.yml and deploy/ promise, as far as that can be seen without a Docker engine: the apps take their
 * settings, the commands are files that the build makes, and the parts call each other by the right names.
 */
import { readEnvironment, transportOf } from '@app/broadcast';
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { startGateway } from '../../apps/gateway/src/gateway.js';

interface Service {
  image: string;
  build?: { context: string; dockerfile: string };
  command?: string[];
  depends_on?: Record<string, { condition: string; required?: boolean }>;
  environment?: Record<string, string>;
  healthcheck?: { test?: string[]; disable?: boolean };
  init?: boolean;
  networks?: { default: { aliases: string[] } };
  ports?: string[];
  profiles?: string[];
  stop_grace_period?: string;
  volumes?: string[];
  read_only?: boolean;
  cap_drop?: string[];
  security_opt?: string[];
}

const root = join(__dirname, '..', '..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const { services, volumes } = parse(read('docker-compose.yml'), { merge: true }) as {
  services: Record<string, Service>;
  volumes: Record<string, null>;
};
/** What Compose starts with this profile, or with none. */
const started = (profile?: string) =>
  Object.fromEntries(
    Object.entries(services).filter(([, { profiles = [] }]) => !profiles.length || profiles.includes(profile!)),
  );

/** The instructions of the Dockerfile, stage by stage. */
const stages = read('deploy/Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, '')
  .split(/^(?=FROM )/m)
  .filter((stage) => stage.startsWith('FROM '))
  .map((stage) => stage.trim().split(/\n+/));
const image = stages.at(-1)!;
/** What a line of the image says after these words. */
const says = (start: string) =>
  image
    .find((line) => line.startsWith(start))
    ?.slice(start.length)
    .trim() ?? '';
const healthCommand = JSON.parse(/CMD (\[.*\])$/.exec(says('HEALTHCHECK'))![1]!) as string[];

const transports = ['redis', 'rabbitmq'] as const;

describe.each(transports)('docker compose --profile %s', (transport) => {
  const all = started(transport);
  const apps = Object.entries(all).filter(([, { image }]) => image === 'roomcast');
  const gateways = apps.filter(([, { command }]) => command === undefined);
  /** The name that the load balancer knows a gateway by. */
  const alias = ({ networks }: Service) => networks!.default.aliases.join();

  it('starts two gateways and a worker, each by its own name, the broker and the load balancer', () => {
    expect(apps.map(([name]) => name)).toEqual(
      ['gateway-1', 'gateway-2', 'worker'].map((app) => `${transport}-${app}`),
    );
    expect(new Set(apps.map(([, { environment }]) => environment!['INSTANCE_ID'])).size).toBe(3);
    const others = Object.keys(all).filter((name) => !apps.some(([app]) => app === name));
    expect(others).toEqual([transport, 'load-balancer']);
  });

  it('starts the broker of that transport', () => {
    const broker = all[transport]!;
    expect(broker.image).toMatch(new RegExp(`^${transport}:`));
    expect(broker.healthcheck?.test?.[0]).toBe('CMD');
    // What it keeps is in a volume that Compose makes.
    const [volume] = broker.volumes![0]!.split(':') as [string];
    expect(Object.keys(volumes)).toContain(volume);
    if (transport === 'redis') expect(broker.command!.join(' ')).toContain('--appendonly yes');
  });

  it.each(apps)('gives %s settings that the apps know and take', (_, { environment = {}, ...app }) => {
    // Nothing that is set where Compose runs may contradict the profile.
    expect(JSON.stringify(environment)).not.toContain('$');
    const settings = readEnvironment(environment);
    expect(Object.keys(settings)).toEqual(expect.arrayContaining(Object.keys(environment)));
    expect(transportOf(settings).name).toBe(transport);
    const urls = Object.entries(environment).filter(([name]) => name.endsWith('_URL'));
    expect(urls).toEqual([[`${transport.toUpperCase()}_URL`, expect.any(String)]]);
    expect(new URL(urls[0]![1]).hostname).toBe(transport);
    expect(app.depends_on).toEqual({ [transport]: { condition: 'service_healthy' } });
    expect(settings).toMatchObject({ NODE_ENV: 'production', AUTH_ANONYMOUS: true });
    expect(app).toMatchObject({ init: true, stop_grace_period: expect.stringMatching(/^\d+s$/) });
    expect(parseInt(app.stop_grace_period!) * 1_000).toBeGreaterThan(settings.SHUTDOWN_GRACE);
  });

  it.each(apps)('lets %s do no more than it has to', (_, { read_only, cap_drop, security_opt }) => {
    expect([read_only, cap_drop, security_opt]).toEqual([true, ['ALL'], ['no-new-privileges:true']]);
  });

  it('waits only for services that are there and whose health is asked', () => {
    for (const { depends_on = {} } of Object.values(all)) {
      for (const [name, { condition, required = true }] of Object.entries(depends_on)) {
        // Compose leaves out what is not required and not of the profile, but not what it has never heard of.
        expect(Object.keys(required ? all : services)).toContain(name);
        expect([name, condition]).toEqual([name, 'service_healthy']);
        const { image, healthcheck } = services[name]!;
        expect(healthcheck?.test ?? (image === 'roomcast' && says('HEALTHCHECK'))).toBeTruthy();
        expect(healthcheck?.disable).toBeFalsy();
      }
    }
  });

  it('builds the image once, from a file that is there', () => {
    const built = apps.filter(([, { build }]) => build !== undefined);
    expect(built).toHaveLength(1);
    const { context, dockerfile } = built[0]![1].build!;
    expect(existsSync(join(root, context, dockerfile))).toBe(true);
  });

  it.each(apps)('runs a file of the build as %s', (_, { command = JSON.parse(says('CMD ')) as string[] }) => {
    expect(command[0]).toBe('node');
    expect({ file: command[1], built: existsSync(join(root, command[1]!)) }).toEqual({ file: command[1], built: true });
  });

  it('publishes the ports that its services listen on, each once', () => {
    const published = Object.values(all).flatMap(({ ports = [] }) => ports.map((port) => port.split(':').at(-2)));
    expect(new Set(published).size).toBe(published.length);
    for (const [, { ports, environment }] of gateways) {
      expect(ports![0]).toMatch(new RegExp(`:${readEnvironment(environment).PORT}$`));
    }
  });

  it('puts a load balancer in front of exactly its gateways', () => {
    const balancer = all['load-balancer']!;
    const [file, place] = balancer.volumes![0]!.split(':') as [string, string];
    expect([balancer.image, place]).toEqual([expect.stringMatching(/^haproxy:/), '/usr/local/etc/haproxy/haproxy.cfg']);
    const config = read(file);
    const servers = [...config.matchAll(/^ {2}server (\S+) (\S+):(\d+) id (\d+)$/gm)].map(([, ...parts]) => parts);
    expect(servers).toEqual(
      gateways.map(([, gateway], index) => [
        ...[alias(gateway), alias(gateway), String(readEnvironment(gateway.environment).PORT), String(index + 1)],
      ]),
    );
    // Its word for where clients come from is taken, and it has time to see that a gateway is to end.
    const [, inter, fall] = /check inter (\d+)s fall (\d+)/.exec(config)!;
    for (const [, { environment, stop_grace_period }] of gateways) {
      const { TRUST_PROXY, DRAIN_DELAY, SHUTDOWN_GRACE } = readEnvironment(environment);
      expect(TRUST_PROXY).toBe(1);
      expect(DRAIN_DELAY).toBeGreaterThan(Number(inter) * Number(fall) * 1_000);
      expect(parseInt(stop_grace_period!) * 1_000).toBeGreaterThan(DRAIN_DELAY + SHUTDOWN_GRACE);
    }
    const sticky = [...config.matchAll(/^ {2}use-server (\S+) if \{ sc_get_gpt0\(0\) eq (\d+) \}$/gm)];
    expect(sticky.map(([, name, id]) => [name, id])).toEqual(servers.map(([name, , , id]) => [name, id]));
    const awaited = Object.keys(balancer.depends_on!).filter((name) => name in all);
    expect(awaited).toEqual(gateways.map(([name]) => name));
    expect(balancer.ports).toEqual([`8080:${/^ {2}bind :(\d+)$/m.exec(config)![1]}`]);
  });
});

it('starts nothing without a profile, and has no others', () => {
  expect(started()).toEqual({});
  expect(new Set(Object.values(services).flatMap(({ profiles }) => profiles))).toEqual(new Set(transports));
});

it('has the services that pages have people run something in', () => {
  const pages = ['README.md', ...readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))];
  const text = pages.map((name) => read(name === 'README.md' ? name : join('docs', name))).join('\n');
  const named = [...text.matchAll(/docker compose .*?(?:run|exec)((?: --?[\w-]+)*) ([\w-]+)/g)].map(
    ([, , name]) => name,
  );
  expect(named).toContain('redis-gateway-1');
  expect(Object.keys(services)).toEqual(expect.arrayContaining(named));
});

it.each(['docker-compose.yml', 'README.md'])('is started and stopped by what %s says', (file) => {
  const said = [...read(file).matchAll(/docker compose(.*?) (up|down)\b/g)].map(([, ...words]) => words);
  expect(said).toEqual([
    ...transports.map((transport) => [` --profile ${transport}`, 'up']),
    [' --profile "*"', 'down'],
  ]);
});

describe('the image', () => {
  const copied = stages
    .flat()
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));

  it('copies files that are there and that .dockerignore lets through, and nothing else is sent', () => {
    const [first, ...lines] = read('.dockerignore')
      .split('\n')
      .filter((line) => line && !line.startsWith('#'));
    expect(first).toBe('*');
    const sent = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1));
    expect(new Set(copied)).toEqual(new Set(sent));
    expect(copied.filter((path) => !existsSync(join(root, path)))).toEqual([]);
  });

  it('is of the Node of .nvmrc, throughout', () => {
    for (const [from] of stages) expect(from).toMatch(new RegExp(`^FROM node:${read('.nvmrc').trim()}-`));
  });

  it('brings along the package.json that makes the build ES modules, and runs as nobody special', () => {
    expect(says('COPY package.json')).toBe('./');
    expect(says('USER ')).toBe('1000:1000');
    expect(says('STOPSIGNAL ')).toBe('SIGTERM');
    expect(says('ENV ')).toBe('NODE_ENV=production');
    expect(says('EXPOSE ')).toBe(String(readEnvironment({}).PORT));
  });

  it('asks a gateway for its health where the gateway answers, and so does the load balancer', async () => {
    const { app, url } = await startGateway(
      readEnvironment({ PORT: '0', HOST: '127.0.0.1', LOG_LEVEL: 'fatal', AUTH_ANONYMOUS: 'true' }),
    );
    const path = /option httpchk GET (\S+)/.exec(read('deploy/load-balancer/haproxy.cfg'))![1]!;
    const check = () =>
      new Promise((resolve) => {
        const [, ...args] = healthCommand;
        const env = { PORT: new URL(url).port };
        execFile(process.execPath, args, { env }, (error) => resolve(error ? error.code : 0));
      });
    try {
      expect(await check()).toBe(0);
      expect((await fetch(`${url}${path}`)).status).toBe(200);
    } finally {
      await app.close();
    }
    expect(await check()).toBe(1);
  });
});
