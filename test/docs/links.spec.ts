/*
 * Every link of every page leads to a file that is there, and to a heading that it has; the site can be built, with all
 * pages; and what is generated is up to date.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { promisify } from 'node:util';

const root = join(__dirname, '..', '..');
const run = promisify(execFile);
const pages = pagesIn('.');

describe.each(pages)('%s', (page) => {
  const text = withoutCode(readFileSync(join(root, page), 'utf8'));

  it('leads where it says', () => {
    const wrong = [...text.matchAll(/\]\(([^()\s]+)(?: "[^"]*")?\)/g)]
      .map(([, link]) => link!)
      .filter((link) => !/^[a-z]+:/.test(link) && !leads(page, link));
    expect(wrong).toEqual([]);
  });

  it('begins with its title, and has headings that can be told apart', () => {
    expect(text).toMatch(/^# \S/m);
    const anchors = anchorsOf(text);
    expect(anchors.filter((anchor, index) => anchors.indexOf(anchor) !== index)).toEqual([]);
  });
});

it('finds a link that leads nowhere', () => {
  expect(leads('docs/gateway.md', 'protocol.md#8-signed-messages')).toBe(true);
  expect(leads('docs/gateway.md', '#coming-back')).toBe(true);
  expect(leads('docs/gateway.md', '../test/system')).toBe(true);
  expect(leads('docs/gateway.md', 'protocol.md#8-unsigned-messages')).toBe(false);
  expect(leads('docs/gateway.md', 'nowhere.md')).toBe(false);
});

it('is built as a site with all of its pages', async () => {
  const out = join(root, 'dist', 'docs');
  rmSync(out, { recursive: true, force: true });
  await run('npm', ['run', '--silent', 'docs'], { cwd: root, env: { ...process.env, NO_COLOR: '1' } });
  for (const page of pages.filter((name) => name.startsWith('docs/'))) {
    expect([page, existsSync(join(out, relative('docs', page).replace(/md$/, 'html')))]).toEqual([page, true]);
  }
}, 180_000);

it('has a configuration that is up to date', async () => {
  const { stdout } = await run(process.execPath, ['scripts/configuration.mjs', '--check'], { cwd: root });
  expect(stdout).toBe('');
});

function leads(page: string, link: string): boolean {
  const [path = '', anchor] = decodeURI(link).split('#');
  const target = path === '' ? join(root, page) : resolve(dirname(join(root, page)), path);
  if (!existsSync(target)) return false;
  if (anchor === undefined || !statSync(target).isFile()) return anchor === undefined;
  return !target.endsWith('.md') || anchorsOf(withoutCode(readFileSync(target, 'utf8'))).includes(anchor);
}

/** The anchors of a page's headings, as they are where repositories are hosted, and on the site. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#{1,6} (.+)$/gm)].map(([, heading]) =>
    heading!
      .replace(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replace(/\s/g, '-'),
  );
}

function withoutCode(text: string): string {
  return text.replace(/^( *)```.*?^\1```/gms, '').replace(/`[^`\n]*`(?!\])/g, '`code`');
}

function pagesIn(folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return /^(node_modules|dist|coverage|\..+)$/.test(entry.name) ? [] : pagesIn(path);
    return entry.name.endsWith('.md') ? [path] : [];
  });
}
