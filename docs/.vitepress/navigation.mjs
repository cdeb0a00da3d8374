/*
 * The site's pages in their order, by the names of their files in docs/. A page that is not there (yet) is left out, and
 * one that is not here stands at the end: to add a page, write it, and name it in the group where people would look.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const docs = join(import.meta.dirname, '..');

const groups = {
  'Getting started': ['quick-start', 'concepts', 'choosing-a-transport', 'page', 'faq'],
  'In an application': ['library', 'nest', 'socketio', 'jobs', 'history', 'migrating'],
  'The gateway': ['gateway', 'http', 'access', 'errors', 'protocol'],
  Running: ['deployment', 'configuration', 'operations', 'cli', 'security', 'performance'],
  Guarantees: ['guarantees'],
};

/** Groups of pages as VitePress takes them. */
export function navigation() {
  const known = new Set([...Object.values(groups).flat(), 'index']);
  const others = readdirSync(docs)
    .filter((name) => name.endsWith('.md') && !known.has(name.slice(0, -3)))
    .map((name) => name.slice(0, -3));
  const decisions = readdirSync(join(docs, 'decisions')).map((name) => `decisions/${name.slice(0, -3)}`);
  return Object.entries({ ...groups, More: others, Decisions: decisions })
    .map(([text, pages]) => ({
      text,
      collapsed: text === 'Decisions',
      items: pages
        .filter((page) => existsSync(join(docs, `${page}.md`)))
        .map((page) => ({ text: titleOf(page), link: `/${page}` })),
    }))
    .filter(({ items }) => items.length > 0);
}

/** The first heading of a page. */
function titleOf(page) {
  return /^# (.+)$/m.exec(readFileSync(join(docs, `${page}.md`), 'utf8'))?.[1].replaceAll('`', '') ?? page;
}
