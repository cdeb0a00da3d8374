/*
 * The site: `npm run docs` builds it into dist/docs. The pages are read as they are on their own, in an editor or where the
 * repository is hosted: nothing in them is for the generator only.
 */
import { existsSync, statSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { defineConfig } from 'vitepress';
import { docs, navigation } from './navigation.mjs';

export default defineConfig({
  title: 'Roomcast',
  description: 'Live rooms across many instances of a service, over memory, Redis or RabbitMQ.',
  outDir: '../dist/docs',
  cacheDir: '../node_modules/.cache/vitepress',
  // To be read from a folder of any server, without rules for rewriting.
  cleanUrls: false,
  base: process.env.DOCS_BASE ?? '/',
  lastUpdated: false,
  themeConfig: {
    sidebar: navigation(),
    outline: [2, 3],
    search: { provider: 'local' },
  },
  markdown: {
    anchor: { slugify: slug },
    config: (markdown) => {
      markdown.core.ruler.push('outside', outside);
    },
  },
});

/** What a heading's anchor is where repositories are hosted. */
function slug(heading) {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

/** A link to a file that is no page, a test for example, leads nowhere on the site: its text is enough. */
function outside({ tokens, env }) {
  for (const { children } of tokens) {
    let open = 0;
    for (const token of children ?? []) {
      if (token.type === 'link_open' && leaves(token.attrGet('href'), env.path)) {
        token.hidden = true;
        open += 1;
      } else if (token.type === 'link_close' && open > 0) {
        token.hidden = true;
        open -= 1;
      }
      if (token.hidden) Object.assign(token, { type: 'text', tag: '', nesting: 0, content: '' });
    }
  }
}

function leaves(href, page) {
  if (/^[a-z]+:|^#/.test(href)) return false;
  const target = resolve(dirname(page), decodeURI(href).replace(/#.*/, ''));
  const inside = !relative(docs, target).startsWith('..');
  return !(inside && (existsSync(`${target}.md`) || (target.endsWith('.md') && statSync(target).isFile())));
}
