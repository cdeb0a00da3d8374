/*
 * A CPU profile in a page: in which functions the time itself went, and in which files.
 */

const ROWS = 25;

/** @returns {string} Markdown */
export function summary({ nodes, samples, timeDeltas }, title) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const functions = new Map();
  const files = new Map();
  let busy = 0;
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    const file = place(url);
    if (functionName === '(idle)') return;
    const took = timeDeltas[i + 1] ?? 0;
    busy += took;
    const name = `${functionName || '(anonymous)'}${url ? ` ${file}:${lineNumber + 1}` : ''}`;
    functions.set(name, (functions.get(name) ?? 0) + took);
    files.set(packageOf(file || functionName), (files.get(packageOf(file || functionName)) ?? 0) + took);
  });
  const rows = (times) =>
    [...times]
      .sort(([, a], [, b]) => b - a)
      .slice(0, ROWS)
      .map(([name, time]) => `| ${name} | ${((100 * time) / busy).toFixed(1)} % | ${(time / 1_000).toFixed(1)} |`);
  return [
    `# ${title}`,
    `\n${(busy / 1_000).toFixed(0)} ms of CPU by the profiler's clock, without idle time.`,
    '\n| function | self time | ms |\n|---|---:|---:|',
    ...rows(functions),
    '\n| where | self time | ms |\n|---|---:|---:|',
    ...rows(files),
    '',
  ].join('\n');
}

/** Without the folders of this machine. */
function place(url) {
  const inside = /(?:node_modules|dist)\/(.+)$/.exec(url.slice(url.lastIndexOf('/node_modules/') + 1));
  return inside ? inside[1] : url.replace(/^file:.*\/bench\//, 'bench/');
}

function packageOf(file) {
  if (file.startsWith('node:')) return 'Node';
  if (file.startsWith('libs/')) return 'Roomcast';
  const [first, second] = file.split('/');
  return first.startsWith('@') ? `${first}/${second}` : first;
}
