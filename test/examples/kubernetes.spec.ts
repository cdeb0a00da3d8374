/*
 * examples/kubernetes as far as that can be seen without a cluster: its files are what Kubernetes takes, the chart takes
 * its values, and the parts call each other by the right names.
 */
import { readEnvironment } from '@app/broadcast';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { helm, kubernetes, manifests, render, root, validate, chart } from '../deploy/helm.js';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const readme = read('examples/kubernetes/README.md');

describe.each(['redis', 'rabbitmq'] as const)('over %s', (transport) => {
  const file = `examples/kubernetes/${transport}.yaml`;
  const valuesFile = `examples/kubernetes/values-${transport}.yaml`;
  const values = parse(read(valuesFile));
  const broker = manifests(read(file));
  const of = (kind: string) => broker.find((manifest) => manifest.kind === kind)!;

  it('is what Kubernetes and the chart take', () => {
    for (const version of kubernetes) expect(validate(`${read(file)}\n---\n${render(values)}`, version)).toBe('');
    expect(helm(['lint', chart, '--strict', '--quiet'], values)).toMatchObject({ code: 0 });
  });

  it('has the address of its broker where the chart looks for it', () => {
    const found = manifests(render(values));
    const [gateway] = found.filter(({ kind }) => kind === 'Deployment');
    const variable = `${transport.toUpperCase()}_URL`;
    const { env, image } = gateway!.spec.template.spec.containers[0];
    const { secretKeyRef } = env.find(({ name }: { name: string }) => name === variable).valueFrom;
    const secret = of('Secret') as unknown as { metadata: { name: string }; stringData: Record<string, string> };
    expect(secret.metadata.name).toBe(secretKeyRef.name);
    const { hostname, port } = new URL(secret.stringData[secretKeyRef.key]!);
    readEnvironment({ [variable]: secret.stringData[secretKeyRef.key] });
    const service = of('Service');
    expect([hostname, Number(port)]).toEqual([service.metadata.name, service.spec.ports[0].port]);
    const labels = of('Deployment').spec.template.metadata.labels;
    expect(labels).toMatchObject(service.spec.selector);
    for (const { kind, spec } of found) {
      if (kind !== 'NetworkPolicy') continue;
      const rule = spec.egress.find(({ to }: { to?: unknown }) => to);
      expect(labels).toMatchObject(rule.to[0].podSelector.matchLabels);
      expect(rule.ports.map(({ port }: { port: number }) => port)).toContain(Number(port));
    }
    expect(readme).toContain(`-t ${image} .`);
  });

  it('is installed by what the README says', () => {
    expect(readme).toContain(`kubectl apply -f ${file}\n`);
    const [, release] = new RegExp(`helm upgrade --install (\\S+) deploy/helm/roomcast --values ${valuesFile}\n`).exec(
      readme,
    )!;
    const names = manifests(render(values)).map(({ kind, metadata }) => `${kind.toLowerCase()}/${metadata.name}`);
    const named = [...readme.matchAll(/(?:deployment|service)\/[\w-]+/g)].map(([name]) => name);
    expect(release).toBe('live');
    expect(named.length).toBeGreaterThan(2);
    expect(names).toEqual(expect.arrayContaining(named));
  });
});
