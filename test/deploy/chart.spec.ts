/*
 * What the Helm chart promises: whatever it takes is good for Kubernetes and for the apps, its parts call each other by
 * the right names, and what it does not take is refused with a sentence.
 */
import { readEnvironment, transportOf } from '@app/broadcast';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { APP_DEFAULTS } from '../../libs/broadcast/src/environment.js';
import { variables } from '../../libs/broadcast/src/variables.js';
import { chart, helm, kubernetes, manifests, render, root, validate, type Manifest } from './helm.js';

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
  settings: { MAX_MESSAGE_BYTES: 2_000_000, AUTH_ANONYMOUS: true, ROOM_PROFILES: { game: { history: { size: 0 } } } },
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
    expect(helm(['lint', chart, '--strict', '--quiet'], values)).toMatchObject({ code: 0 });
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
    const found = manifests(render({}, '--namespace', 'n', '--set', `fullnameOverride=${'x'.repeat(60)}`));
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
      AUTH_ANONYMOUS: 'true',
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
        expect(Object.keys(ofChart)).toEqual(expect.arrayContaining(Object.keys(environment)));
        for (const name of ['NODE_ENV', 'AUTH_ANONYMOUS', 'BROADCAST_TRANSPORT', 'SHUTDOWN_GRACE']) {
          expect([name, ofChart[name]]).toEqual([name, environment[name]]);
        }
      }
    }
  });

  it.each(['docs/deployment.md', 'examples/kubernetes/README.md'])('takes what %s has people type', (page) => {
    const text = readFileSync(join(root, page), 'utf8');
    const typed = [...text.matchAll(/^helm (?:install|upgrade(?: --install)?) (.+)$/gm)].map(([, words]) =>
      words!.split(' '),
    );
    expect(typed).toHaveLength(2);
    for (const [release, path, ...flags] of typed) {
      const command = ['template', release!, join(root, path!), ...flags.filter((flag) => flag !== '--reuse-values')];
      expect(helm(command)).toMatchObject({ code: 0, errors: '' });
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
    ['a digest that is none', { image: { digest: 'latest' } }, /'\/image\/digest': 'latest' does not match/],
  ])('%s', (_, values, sentence) => {
    const { code, errors } = helm(['template', 'live', chart], values);
    expect([code, errors]).toEqual([1, expect.stringMatching(sentence)]);
  });

  it('a Kubernetes that is too old', () => {
    const { code, errors } = helm(['template', 'live', chart], {}, '1.29.0');
    expect([code, errors]).toEqual([1, expect.stringContaining('requires kubeVersion: >=1.30.0-0')]);
  });
});
