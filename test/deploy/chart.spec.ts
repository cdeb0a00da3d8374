/*
 * What the Helm chart promises: whatever it takes is good for Kubernetes and for the apps, its parts call each other by
 * the right names, and what it does not take is refused with a sentence.
 */
import { readEnvironment, transportOf } from '@app/broadcast';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { APP_DEFAULTS } from '../../libs/broadcast/src/environment.js';
import { variables } from '../../libs/broadcast/src/variables.js';
import { chart, helm, kubernetes, manifests, open, render, root, validate, type Manifest } from './helm.js';

interface EnvironmentVariable {
  name: string;
  value?: string;
  valueFrom?: { fieldRef?: { fieldPath: string }; secretKeyRef?: { name: string; key: string } };
}

const url = { redis: 'redis://broker.example.org', rabbitmq: 'amqp://broker.example.org', memory: undefined };
const memory = { transport: 'memory', gateway: { replicas: 1 }, worker: { enabled: false } };
/** Everything that is off by default, on. */
const all = {
  stickySessions: true,
  gracePeriod: 120,
  secrets: { BROADCAST_SECRET: { name: 'other', key: 'signing' } },
  settings: { MAX_MESSAGE_BYTES: 2_000_000, DRAIN_SHARE: 0.25, ROOM_PROFILES: { game: { history: { size: 0 } } } },
  image: { digest: `sha256:${'0'.repeat(64)}`, pullSecrets: [{ name: 'registry' }] },
  gateway: {
    autoscaling: { enabled: true, connections: { enabled: true, averageValue: 5_000_000 } },
    maxSurge: '50%',
    podAnnotations: { a: 'b' },
    podLabels: { team: 'rooms' },
    tolerations: [{ key: 'k', operator: 'Exists' }],
    nodeSelector: { disk: 'fast' },
    affinity: { nodeAffinity: {} },
    priorityClassName: 'high',
  },
  worker: { replicas: 3, autoscaling: { enabled: true } },
  ingress: {
    enabled: true,
    className: 'nginx',
    hosts: ['a.org', 'b.org'],
    tls: [{ secretName: 't', hosts: ['a.org'] }],
  },
  networkPolicy: {
    from: [{ namespaceSelector: {} }],
    broker: { to: [{ ipBlock: { cidr: '10.0.0.0/8' } }], ports: [6400] },
    egress: [{ ports: [{ port: 443 }] }],
  },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  serviceAccount: { annotations: { role: 'r' } },
  extraEnv: [{ name: 'NODE_EXTRA_CA_CERTS', value: '/ca/ca.pem' }],
  extraVolumes: [{ name: 'ca', configMap: { name: 'ca' } }],
  extraVolumeMounts: [{ name: 'ca', mountPath: '/ca' }],
};

const cases = [
  ['redis', {}],
  ['rabbitmq', { transport: 'rabbitmq' }],
  ['memory', memory],
  ['redis, with everything', { ...all, secrets: { ...all.secrets, REDIS_URL: { name: 'redis' } } }],
  ['rabbitmq, with everything', { ...all, transport: 'rabbitmq' }],
  [
    'redis, with nothing',
    { worker: { enabled: false }, networkPolicy: { enabled: false }, serviceAccount: { create: false } },
  ],
] as const;

const deployments = (found: readonly Manifest[]) => found.filter(({ kind }) => kind === 'Deployment');
const one = (found: readonly Manifest[], kind: string) => found.find((manifest) => manifest.kind === kind)!;
const containerOf = ({ spec }: Manifest) => spec.template.spec.containers[0];
const environmentOf = (deployment: Manifest) => containerOf(deployment).env as EnvironmentVariable[];

/** What a container is told, with what a Secret and the pod would add. */
function told(deployment: Manifest): Record<string, string> {
  const kept: Record<string, string | undefined> = { REDIS_URL: url.redis, RABBITMQ_URL: url.rabbitmq };
  return Object.fromEntries(
    environmentOf(deployment).map(({ name, value, valueFrom }) => [
      name,
      value ?? (valueFrom?.fieldRef ? `${deployment.metadata.name}-5d4f8c7b9-x2x7k` : (kept[name] ?? 'k'.repeat(32))),
    ]),
  );
}

describe.each(cases)('over %s', (name, values) => {
  const text = render(values);
  const found = manifests(text);
  const transport = name.split(',')[0] as keyof typeof url;

  it.each(kubernetes)('is what Kubernetes %s takes', (version) => {
    expect(validate(text, version)).toBe('');
  });

  it('passes helm lint', () => {
    expect(helm(['lint', chart, ...open, '--strict', '--quiet'], values)).toMatchObject({ code: 0 });
  });

  it('runs files of the build, with settings that the apps know and take', () => {
    for (const deployment of deployments(found)) {
      const environment = told(deployment);
      const { extraEnv = [] } = values as { extraEnv?: { name: string }[] };
      const own = Object.keys(environment).filter((variable) => !extraEnv.some((extra) => extra.name === variable));
      expect(Object.keys(variables)).toEqual(expect.arrayContaining(own));
      expect(new Set(own).size).toBe(environmentOf(deployment).length - extraEnv.length);
      const settings = readEnvironment(environment, APP_DEFAULTS);
      expect(transportOf(settings).name).toBe(transport);
      expect(environment[`${transport.toUpperCase()}_URL`]).toBe(url[transport]);
      expect(settings.INSTANCE_ID).toContain(deployment.metadata.name);
      const [program, file] = containerOf(deployment).command as [string, string];
      expect([program, existsSync(join(root, file))]).toEqual(['node', true]);
    }
  });

  it('gives pods more time to end than they need', () => {
    for (const deployment of deployments(found)) {
      const { terminationGracePeriodSeconds } = deployment.spec.template.spec;
      const preStop = containerOf(deployment).lifecycle.preStop.sleep.seconds as number;
      const grace = readEnvironment({ SHUTDOWN_GRACE: told(deployment)['SHUTDOWN_GRACE'] }).SHUTDOWN_GRACE / 1_000;
      expect(preStop).toBeGreaterThanOrEqual(2);
      expect(grace).toBeGreaterThanOrEqual(8);
      expect(terminationGracePeriodSeconds - preStop - grace).toBe(5);
    }
  });

  it('lets pods do no more than they have to', () => {
    for (const deployment of deployments(found)) {
      const pod = deployment.spec.template.spec;
      expect(pod).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
      });
      expect(containerOf(deployment).securityContext).toEqual({
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      });
    }
  });

  it('finds pods by labels that they have, and that stay', () => {
    const labelsOf = ({ spec }: Manifest) => spec.template.metadata.labels as Record<string, string>;
    const pods = deployments(found).map(labelsOf);
    const chosen = (selector: Record<string, string>) =>
      pods.filter((labels) => Object.entries(selector).every(([key, value]) => labels[key] === value));
    for (const deployment of deployments(found)) {
      const { matchLabels } = deployment.spec.selector;
      expect(chosen(matchLabels)).toEqual([labelsOf(deployment)]);
      expect(Object.keys(matchLabels).join()).not.toMatch(/version|chart/);
      for (const { labelSelector } of deployment.spec.template.spec.topologySpreadConstraints) {
        expect(chosen(labelSelector.matchLabels)).toEqual([labelsOf(deployment)]);
      }
    }
    for (const { kind, metadata, spec } of found) {
      const many = metadata.name.endsWith('-metrics') ? pods.length : 1;
      if (kind === 'Service') expect(chosen(spec.selector)).toHaveLength(many);
      if (kind === 'PodDisruptionBudget') expect(chosen(spec.selector.matchLabels)).toHaveLength(1);
      if (kind === 'NetworkPolicy') expect(chosen(spec.podSelector.matchLabels)).toHaveLength(1);
    }
    const names = deployments(found).map(({ metadata }) => metadata.name);
    for (const { kind, spec } of found) {
      if (kind === 'HorizontalPodAutoscaler') expect(names).toContain(spec.scaleTargetRef.name);
    }
  });

  it('leads from the Ingress, the Service and the probes to where the gateway listens', () => {
    const gateway = deployments(found)[0]!;
    const service = one(found, 'Service');
    const { ports, readinessProbe, livenessProbe, startupProbe } = containerOf(gateway);
    const metrics = { name: 'metrics', containerPort: Number(told(gateway)['METRICS_PORT']) };
    expect(ports).toEqual([{ name: 'http', containerPort: readEnvironment(told(gateway)).PORT }, metrics]);
    for (const worker of deployments(found).slice(1)) {
      expect(containerOf(worker).ports).toEqual([metrics]);
      expect(containerOf(worker).livenessProbe.httpGet).toEqual({ path: '/health/live', port: 'metrics' });
      expect(containerOf(worker).readinessProbe.httpGet).toEqual({ path: '/health/ready', port: 'metrics' });
    }
    expect(service.spec.ports[0].targetPort).toBe('http');
    for (const { httpGet } of [readinessProbe, livenessProbe, startupProbe]) expect(httpGet.port).toBe('http');
    expect(readinessProbe.httpGet.path).toBe('/health/ready');
    expect(livenessProbe.httpGet.path).toBe('/health/live');
    for (const { kind, spec } of found) {
      if (kind === 'ServiceMonitor') {
        const ofPods = found.find(({ metadata }) => metadata.name.endsWith('-metrics'))!;
        expect(ofPods.metadata.labels).toMatchObject(spec.selector.matchLabels);
        expect(service.metadata.labels).not.toMatchObject(spec.selector.matchLabels);
        expect(ofPods.spec.ports[0]).toMatchObject({ name: spec.endpoints[0].port, targetPort: 'metrics' });
        expect(spec.endpoints[0].path).toBe('/metrics');
      }
      if (kind !== 'Ingress') continue;
      for (const { path, backend } of spec.rules.flatMap((rule: { http: { paths: unknown[] } }) => rule.http.paths)) {
        expect(backend.service).toEqual({ name: service.metadata.name, port: { name: 'http' } });
        expect(path).not.toMatch(/^\/$|metrics/);
      }
    }
  });
});

interface Schema {
  required?: string[];
  properties?: Record<string, Schema>;
}

/** The values with nothing in them, but for those that the schema requires. */
function empty(values: object, { required = [], properties = {} }: Schema): object {
  const inner = ([key, value]: [string, unknown]) =>
    required.includes(key)
      ? typeof value === 'object' && !Array.isArray(value)
        ? [[key, empty(value as object, properties[key]!)]]
        : []
      : [[key, null]];
  return Object.fromEntries(Object.entries(values).flatMap(inner)) as object;
}

describe('the chart', () => {
  it('has two gateways and a worker over Redis where nothing else is said, that the network lets through', () => {
    const found = manifests(render());
    expect(deployments(found).map(({ metadata, spec }) => [metadata.name, spec.replicas])).toEqual([
      ['live-roomcast-gateway', 2],
      ['live-roomcast-worker', 1],
    ]);
    const policies = found.filter(({ kind }) => kind === 'NetworkPolicy').map(({ spec }) => spec);
    const metrics = { ports: [{ port: 'metrics', protocol: 'TCP' }], from: [{ namespaceSelector: {} }] };
    const clients = { ports: [{ port: 'http', protocol: 'TCP' }] };
    expect(policies.map(({ ingress }) => ingress)).toEqual([[clients, metrics], [metrics]]);
    const ports = (rules: { ports: { port: number }[] }[]) => rules.map((rule) => rule.ports.map(({ port }) => port));
    for (const { egress } of policies)
      expect(ports(egress)).toEqual([
        [53, 53],
        [6379, 6380],
      ]);
  });

  it('keeps names short enough for the name of a pod to be an INSTANCE_ID', () => {
    const found = manifests(render({}, '--namespace', 'n', '--set', `nameOverride=${'x'.repeat(60)}`));
    for (const { metadata } of deployments(found))
      expect(metadata.name.length + '-5d4f8c7b9-x2x7k'.length).toBeLessThan(64);
  });

  it.each([15, 35, 70, 3_600])('parts %i seconds', (gracePeriod) => {
    const [gateway] = deployments(manifests(render({ gracePeriod })));
    const { preStop } = containerOf(gateway!).lifecycle;
    const grace = told(gateway!)['SHUTDOWN_GRACE'];
    const parts = { 15: [2, '8s'], 35: [5, '25s'], 70: [10, '55s'], 3_600: [10, '3585s'] };
    expect([preStop.sleep.seconds, grace]).toEqual(parts[gracePeriod as keyof typeof parts]);
  });

  it('takes websockets only, unless the same client always reaches the same gateway', () => {
    const of = (stickySessions: boolean) => {
      const found = manifests(render({ stickySessions, ingress: { enabled: true } }));
      const annotations = one(found, 'Ingress').metadata.annotations!;
      return {
        takes: told(deployments(found)[0]!)['CLIENT_TRANSPORTS'],
        affinity: one(found, 'Service').spec.sessionAffinity as string | undefined,
        cookie: annotations['nginx.ingress.kubernetes.io/affinity'],
      };
    };
    expect(of(false)).toEqual({ takes: 'websocket', affinity: undefined, cookie: undefined });
    expect(of(true)).toEqual({ takes: 'polling,websocket', affinity: 'ClientIP', cookie: 'cookie' });
  });

  it('leaves the number of pods to the autoscaler, where there is one', () => {
    const found = manifests(render(all));
    for (const { spec } of deployments(found)) expect(spec).not.toHaveProperty('replicas');
    const [gateway, worker] = found.filter(({ kind }) => kind === 'HorizontalPodAutoscaler');
    const metrics = ({ spec }: Manifest) => spec.metrics.map(({ type }: { type: string }) => type) as string[];
    expect([metrics(gateway!), metrics(worker!)]).toEqual([['Resource', 'Pods'], ['Resource']]);
    const { metric, target } = gateway!.spec.metrics[1].pods;
    expect([metric.name, target.averageValue]).toEqual(['roomcast_connections', '5000000']);
  });

  it('writes settings as the apps read them', () => {
    const [gateway] = deployments(manifests(render(all)));
    expect(told(gateway!)).toMatchObject({
      MAX_MESSAGE_BYTES: '2000000',
      DRAIN_SHARE: '0.25',
      ROOM_PROFILES: '{"game":{"history":{"size":0}}}',
    });
  });

  it('has no secret in it, but where they are', () => {
    const [gateway] = deployments(manifests(render(all)));
    const references = environmentOf(gateway!).flatMap(({ name, value, valueFrom }) =>
      valueFrom?.secretKeyRef ? [[name, value, valueFrom.secretKeyRef]] : [],
    );
    expect(references).toEqual([
      ['BROADCAST_SECRET', undefined, { name: 'other', key: 'signing' }],
      ['REDIS_URL', undefined, { name: 'roomcast', key: 'REDIS_URL' }],
    ]);
  });

  it('tells the apps what Compose tells them, and a few things more', () => {
    const { services } = parse(readFileSync(join(root, 'docker-compose.yml'), 'utf8'), { merge: true });
    for (const transport of ['redis', 'rabbitmq'] as const) {
      const found = deployments(manifests(render({ transport, settings: { AUTH_ANONYMOUS: true } })));
      for (const [index, service] of [`${transport}-gateway-1`, `${transport}-worker`].entries()) {
        const ofChart = told(found[index]!);
        const { environment } = services[service];
        // Of HAProxy; in the chart an Ingress and preStop do.
        const others = ['TRUST_PROXY', 'DRAIN_DELAY'];
        const names = Object.keys(environment).filter((name) => !others.includes(name));
        expect(Object.keys(ofChart)).toEqual(expect.arrayContaining(names));
        for (const name of ['NODE_ENV', 'AUTH_ANONYMOUS', 'BROADCAST_TRANSPORT', 'SHUTDOWN_GRACE']) {
          expect([name, ofChart[name]]).toEqual([name, environment[name]]);
        }
      }
    }
  });

  it('has an Ingress for a proxy whose word is taken, unless settings know better', () => {
    const of = (values: object) =>
      deployments(manifests(render(values))).map((deployment) => told(deployment)['TRUST_PROXY']);
    expect(of({})).toEqual([undefined, undefined]);
    expect(of({ ingress: { enabled: true } })).toEqual(['1', undefined]);
    expect(of({ ingress: { enabled: true }, settings: { TRUST_PROXY: 2 } })).toEqual(['2', '2']);
  });

  it.each([
    ['tokens that are signed with a secret', { secrets: { AUTH_JWT_SECRET: {} } }],
    ['tokens of an issuer', { settings: { AUTH_JWKS_URL: 'https://issuer.example/jwks' } }],
    ['everybody', { settings: { AUTH_ANONYMOUS: '1' } }],
    ['a variable of its own', { extraEnv: [{ name: 'AUTH_JWT_SECRET', value: 'x'.repeat(32) }] }],
  ])('lets in %s', (_, values) => {
    expect(helm(['template', 'live', chart], values)).toMatchObject({ code: 0, errors: '' });
  });

  it('does without whatever a file of values sets to nothing, but for what it requires', () => {
    const nothing = empty(
      parse(readFileSync(join(chart, 'values.yaml'), 'utf8')) as object,
      JSON.parse(readFileSync(join(chart, 'values.schema.json'), 'utf8')) as Schema,
    );
    expect(nothing).toMatchObject({ secrets: null, gateway: { affinity: null }, extraEnv: null });
    const { code, output, errors } = helm(['template', 'live', chart], {
      ...nothing,
      settings: { AUTH_ANONYMOUS: true },
    });
    expect([code, errors, validate(output, kubernetes[1])]).toEqual([0, '', '']);
    expect(helm(['template', 'live', chart], nothing).errors).toContain('access: no client could enter');
  });

  it.each([
    ['docs/deployment.md', 2],
    ['examples/kubernetes/README.md', 2],
    ['README.md', 1],
  ])('takes what %s has people type', (page, times) => {
    const text = readFileSync(join(root, page), 'utf8');
    const typed = [...text.matchAll(/^helm (?:install|upgrade(?: --install)?) (.+)$/gm)].map(([, words]) =>
      words!.split(' '),
    );
    expect(typed).toHaveLength(times);
    const before: string[] = [];
    for (const [release, path, ...flags] of typed) {
      const reused = flags.includes('--reuse-values') ? [...before] : [];
      before.push(...flags.filter((flag) => flag !== '--reuse-values'));
      const command = ['template', release!, join(root, path!), ...reused, ...before.slice(reused.length)];
      expect(helm(command)).toMatchObject({ code: 0, errors: '' });
    }
  });

  it.each([
    [{ settings: { AUTH_ANONYMOUS: true } }, /Image: roomcast:\d.*everybody may come in.*HTTP API refuses everyone/s],
    [{ secrets: { AUTH_JWT_SECRET: {}, API_KEYS: {} } }, /Image: roomcast:\d.*need a token((?!HTTP API).)*$/s],
  ])('says where it looks for the image, and who may come in: %j', (values, notes) => {
    // helm renders NOTES.txt for a cluster only; anything else it renders anywhere.
    const copy = mkdtempSync(join(tmpdir(), 'chart-'));
    try {
      cpSync(chart, copy, { recursive: true });
      const text = readFileSync(join(copy, 'templates', 'NOTES.txt'), 'utf8');
      const template = `{{ define "notes" }}${text}{{ end }}\nnotes: {{ include "notes" . | toJson }}\n`;
      writeFileSync(join(copy, 'templates', 'notes.yaml'), template);
      const { output, errors } = helm(['template', 'live', copy, '--show-only', 'templates/notes.yaml'], values);
      expect([errors, (manifests(output)[0] as unknown as { notes: string }).notes]).toEqual([
        '',
        expect.stringMatching(notes),
      ]);
    } finally {
      rmSync(copy, { recursive: true });
    }
  });

  it('is of the version that the apps have', () => {
    const { appVersion } = parse(readFileSync(join(chart, 'Chart.yaml'), 'utf8'));
    expect(appVersion).toBe(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version);
  });
});

describe('wrong values are refused', () => {
  it.each<[string, object, RegExp]>([
    ['an unknown one', { replicas: 3 }, /additional properties 'replicas' not allowed/],
    ['a misspelt one', { gateway: { replica: 3 } }, /'\/gateway': additional properties 'replica' not allowed/],
    ['of the wrong type', { gateway: { replicas: 'three' } }, /'\/gateway\/replicas': got string, want integer/],
    ['too small', { gracePeriod: 5 }, /'\/gracePeriod': minimum: got 5, want 15/],
    ['another transport', { transport: 'kafka' }, /'\/transport': value must be one of 'redis', 'rabbitmq', 'memory'/],
    ['a setting that nobody knows', { settings: { HISTORY: 1 } }, /'\/settings': additional properties 'HISTORY' not/],
    [
      'a setting of the wrong form',
      { settings: { HISTORY_TTL: '10 minutes' } },
      /'\/settings\/HISTORY_TTL': '10 min.* does not match/,
    ],
    [
      'a setting that is not one of a few',
      { settings: { LOG_LEVEL: 'loud' } },
      /'\/settings\/LOG_LEVEL': value must be one of 'fatal'/,
    ],
    [
      'a secret for everyone to read',
      { settings: { REDIS_URL: 'redis://a' } },
      /'\/settings': additional properties 'REDIS_URL' not/,
    ],
    [
      'a setting that the chart makes',
      { settings: { SHUTDOWN_GRACE: '1s' } },
      /additional properties 'SHUTDOWN_GRACE' not/,
    ],
    [
      'a secret itself',
      { secrets: { BROADCAST_SECRET: 'hunter2hunter2hu' } },
      /'\/secrets\/BROADCAST_SECRET': got string, want object/,
    ],
    [
      'no Secret',
      { existingSecret: '' },
      /existingSecret: name the Secret that holds REDIS_URL, or say where it is in secrets.REDIS_URL.name\./,
    ],
    [
      'the address of the other broker',
      { secrets: { RABBITMQ_URL: {} } },
      /secrets.RABBITMQ_URL: has no meaning where transport is redis\./,
    ],
    [
      'several gateways on memory',
      { ...memory, gateway: { replicas: 2 } },
      /transport: memory reaches one pod only, .*gateway.replicas=1/,
    ],
    [
      'a worker on memory',
      { ...memory, worker: { enabled: true } },
      /transport: memory reaches one pod only, .*worker.enabled=false/,
    ],
    [
      'fewer than fewest',
      { gateway: { autoscaling: { enabled: true, minReplicas: 20 } } },
      /gateway.autoscaling.minReplicas: 20 is more than maxReplicas, 10\./,
    ],
    [
      'an autoscaler that looks at nothing',
      { worker: { autoscaling: { enabled: true, cpu: { enabled: false } } } },
      /worker.autoscaling: on, but with nothing to go by\. Enable cpu, or set enabled=false\./,
    ],
    ['an Ingress to nowhere', { ingress: { enabled: true, paths: [] } }, /ingress.paths: an Ingress without a path/],
    ['a path that is none', { ingress: { paths: ['socket.io'] } }, /'\/ingress\/paths\/0': 'socket.io' does not match/],
    [
      'nobody to be let in',
      {},
      /access: no client could enter.*secrets\.AUTH_JWT_SECRET.*settings\.AUTH_ANONYMOUS=true/,
    ],
    ['nobody but those whom nobody lets in', { settings: { AUTH_ANONYMOUS: false } }, /access: no client could enter/],
    [
      'signatures without a secret',
      { settings: { BROADCAST_REQUIRE_SIGNED: true } },
      /settings.BROADCAST_REQUIRE_SIGNED: needs a BROADCAST_SECRET/,
    ],
    [
      'a label that is there',
      { gateway: { podLabels: { 'app.kubernetes.io/name': 'x' } } },
      /gateway.podLabels: app.kubernetes.io\/name is a label that the chart sets itself/,
    ],
    ['no gateway at all', { gateway: null }, /at '': missing property 'gateway'/],
    ['a name with a dot', { fullnameOverride: 'a.b' }, /'\/fullnameOverride': 'a.b' does not match/],
    [
      'a name that would be cut',
      { fullnameOverride: 'x'.repeat(39) },
      /'\/fullnameOverride': maxLength: got 39, want 38/,
    ],
    ['a part of a name with capitals', { nameOverride: 'Rooms' }, /'\/nameOverride': 'Rooms' does not match/],
    ['an image with a space', { image: { repository: 'room cast' } }, /'\/image\/repository': 'room cast' does not/],
    ['an image with its tag', { image: { repository: 'roomcast:1' } }, /'\/image\/repository': 'roomcast:1' does not/],
    ['a tag with a space', { image: { tag: 'la test' } }, /'\/image\/tag': 'la test' does not match/],
    ['a Secret that is none', { existingSecret: 'Room_Cast' }, /'\/existingSecret': 'Room_Cast' does not match/],
    ['an account that is none', { serviceAccount: { name: 'a b' } }, /'\/serviceAccount\/name': 'a b' does not match/],
    [
      'a host that is none',
      { ingress: { hosts: ['https://a.org'] } },
      /'\/ingress\/hosts\/0': 'https:.* does not match/,
    ],
    ['a variable that is none', { extraEnv: [{ name: '1 A', value: '' }] }, /'\/extraEnv\/0\/name': '1 A' does not/],
    [
      'an amount of memory that is none',
      { worker: { resources: { limits: { memory: '1 GB' } } } },
      /'\/worker\/resources\/limits\/memory': '1 GB' does not match/,
    ],
    [
      'a misspelt toleration',
      { gateway: { tolerations: [{ operater: 'Exists' }] } },
      /'\/gateway\/tolerations\/0': additional properties 'operater'/,
    ],
    ['a misspelt affinity', { worker: { affinity: { podAfinity: {} } } }, /additional properties 'podAfinity' not/],
    ['a digest that is none', { image: { digest: 'latest' } }, /'\/image\/digest': 'latest' does not match/],
  ])('%s', (_, values, sentence) => {
    const { code, errors } = helm(['template', 'live', chart], values);
    expect([code, errors]).toEqual([1, expect.stringMatching(sentence)]);
  });

  it.each<[string, unknown]>([
    ['HISTORY_SIZE', 999_999_999],
    ['HISTORY_SIZE', '999999999'],
    ['TRUST_PROXY', 99],
    ['SLOW_CLIENT_BYTES', 1],
    ['COALESCE_MS', '99999'],
    ['MAX_CONNECTIONS', 0],
    ['DRAIN_SHARE', '0.0'],
    ['DRAIN_SHARE', 0],
    ['JOB_LEASE', '1ms'],
    ['JOB_LEASE', '2h'],
    ['HISTORY_TTL', '0s'],
    ['CORS_ORIGINS', 'garbage'],
    ['AUTH_JWKS_URL', 'foo'],
    ['ROOM_PROFILES', { game: { history: { size: -5 } } }],
    ['ROOM_PROFILES', { game: { histroy: {} } }],
    ['ROOM_PROFILES', '{"game":{}}'],
  ])('%s: %j, which the apps would refuse', (name, value) => {
    const { code, errors } = helm(['template', 'live', chart, ...open], { settings: { [name]: value } });
    expect([code, errors]).toEqual([1, expect.stringContaining(`- at '/settings/${name}`)]);
  });

  it.each<[string, unknown]>([
    ['HISTORY_SIZE', 100_000],
    ['HISTORY_SIZE', '0'],
    ['TRUST_PROXY', 10],
    ['SLOW_CLIENT_BYTES', 1_073_741_824],
    ['MAX_CONNECTIONS', 'off'],
    ['DRAIN_SHARE', 0.1],
    ['DRAIN_SHARE', 1],
    ['DRAIN_SHARE', '.25'],
    ['JOB_LEASE', '1h'],
    ['CORS_ORIGINS', 'https://a.org, http://localhost:5173'],
    ['ROOM_PROFILES', { game: { slow: 'latest', slowMode: 5 }, support: { history: { ttl: '24h' } } }],
  ])('but not %s: %j, which they take', (name, value) => {
    const [gateway] = deployments(manifests(render({ settings: { [name]: value } })));
    expect(() => readEnvironment(told(gateway!), APP_DEFAULTS)).not.toThrow();
  });

  it('a release that no Service may be called by', () => {
    const { code, errors } = helm(['template', '9live', chart, ...open]);
    expect([code, errors]).toEqual([
      1,
      expect.stringContaining('fullnameOverride: the release would be called 9live-'),
    ]);
  });

  it('a Kubernetes that is too old', () => {
    const { code, errors } = helm(['template', 'live', chart], {}, '1.29.0');
    expect([code, errors]).toEqual([1, expect.stringContaining('requires kubeVersion: >=1.30.0-0')]);
  });
});
