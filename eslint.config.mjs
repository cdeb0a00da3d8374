/*
 * What a reader of this repository may rely on, as lint: promises are looked at, and every folder imports only from
 * the floors below it (docs: "The house").
 */
import { defineConfig, globalIgnores } from 'eslint/config';
import { builtinRules } from 'eslint/use-at-your-own-risk';
import prettier from 'eslint-config-prettier';
import tseslint from 'typescript-eslint';

const src = 'libs/broadcast/src';
const specs = ['**/*.spec.ts'];
// Floor 3: the files that put the library together, and may import all of it; those of the door without Nest, the rest.
const plain = ['index', 'environment', 'variables', 'durations', 'profile-settings', 'unknown-variables'];
const floor3 = [...plain, 'nest', 'broadcast.module', 'run'];
// Nest's side of the Socket.IO adapter: the one file of its folder that is behind the door for Nest only.
const nestIo = 'broadcast-io.adapter';

// What a folder may import, as regular expressions for the whole name.
const node = 'node:.+';
const own = String.raw`\./(?!.*\.\./).+`;
const ground = String.raw`(\.\./)+(?!(${floor3.join('|')})\.js$)[^./][^/]*\.js`;
const groundWithoutBus = String.raw`\.\./(?!(${[...floor3, 'bus'].join('|')})\.js$)[^./][^/]*\.js`;
const socketio = String.raw`(socket|engine)\.io(-[^/]+)?(/.+)?`;
const nest = '@nestjs/.+|rxjs(/.+)?|reflect-metadata';

export default defineConfig(
  globalIgnores(['**/dist/', '**/.venv/', 'coverage/', 'bench/results/']),

  {
    // What @eslint/js calls recommended.
    rules: Object.fromEntries(
      [...builtinRules].filter(([, { meta }]) => meta.docs?.recommended).map(([name]) => [name, 'error']),
    ),
  },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      // Its fixer turns the import of an injected class into a type, and Nest can no longer inject it.
      '@typescript-eslint/consistent-type-imports': 'off',
      // A method of a promised interface is async so that what it throws is a rejection, awaiting or not.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_', ignoreRestSiblings: true }],
    },
  },
  {
    // Packets of Nest and Socket.IO are typed `any`.
    files: [`${src}/{nest,socketio}/**/*.ts`, '{test,bench}/**/*.ts', ...specs],
    rules: {
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
    },
  },
  {
    files: ['{test,bench}/**/*.ts', ...specs],
    rules: { '@typescript-eslint/no-unsafe-member-access': 'off', '@typescript-eslint/no-unsafe-return': 'off' },
  },

  // Its types are in the package, which is not installed here.
  { files: ['examples/**/*.ts'], extends: [tseslint.configs.disableTypeChecked] },
  {
    files: ['**/*.{js,mjs,cjs}'],
    languageOptions: { ecmaVersion: 'latest', globals: readonly(nodeGlobals()) },
  },
  { files: ['**/*.cjs'], languageOptions: { sourceType: 'commonjs' } },
  {
    // Runs in browsers.
    files: ['apps/gateway/src/page/public/*.js'],
    languageOptions: { globals: { ...off(nodeGlobals()), ...readonly(browserGlobals()) } },
  },

  // The floors. Specs may look anywhere.
  {
    files: [`${src}/*.ts`],
    ignores: [...specs, ...floor3.map((name) => `${src}/${name}.ts`)],
    rules: only(
      [node, String.raw`\./(?!(${floor3.join('|')})\.js$)[^/]+\.js`],
      'Floor 0 imports node: and other files of floor 0.',
    ),
  },
  {
    files: [`${src}/testing/**/*.ts`],
    rules: only([node, own, ground], 'The conformance suite imports floor 0 and node: only.'),
  },
  {
    files: [`${src}/{rooms,socketio}/**/*.ts`],
    ignores: [...specs, `${src}/socketio/${nestIo}.ts`],
    rules: only(
      [node, String.raw`(?!.*\/${nestIo}\.js$)${own}`, ground, socketio],
      'Floor 2 imports floor 0 or Socket.IO: no driver, no broker library, no neighbour, and no Nest, which plain users lack.',
    ),
  },
  {
    files: [`${src}/nest/**/*.ts`, `${src}/socketio/${nestIo}.ts`],
    ignores: specs,
    rules: only(
      [node, own, ground, socketio, nest],
      'Floor 2 imports floor 0, Socket.IO or Nest: no driver, no broker library, no neighbour.',
    ),
  },
  {
    files: [...plain.map((name) => `${src}/${name}.ts`), `${src}/transports/index.ts`],
    rules: except(
      [nest, String.raw`(.*/)?(nest/.+|${nestIo}\.js|nest\.js|broadcast\.module\.js|run\.js)`],
      'The door without Nest has to open where Nest is not installed: this belongs behind nest.ts.',
    ),
  },
  ...Object.entries({ memory: [], redis: ['ioredis(/.+)?'], rabbitmq: ['amqplib(/.+)?'] }).map(([name, library]) => ({
    files: [`${src}/transports/${name}*.ts`],
    ignores: specs,
    rules: only(
      [node, groundWithoutBus, String.raw`\./${name}[^/]*\.js`, ...library],
      'A driver imports floor 0 without the bus, and its one broker library: no other driver.',
    ),
  })),
  {
    files: ['apps/**/*.ts'],
    // What a broker tells of itself is asked for by its own library.
    ignores: [...specs, 'apps/cli/src/doctor/{redis,rabbitmq}.ts'],
    rules: except(
      [String.raw`(ioredis|amqplib)(/.+)?`, String.raw`(.*/)?libs(/.+)?`, '@app/broadcast/(?!nest$).+'],
      'Apps import the library by its doors, @app/broadcast and @app/broadcast/nest, and no broker library.',
    ),
  },

  prettier,
);

/** Rules that refuse every import but these. */
function only(names, message) {
  return refuse(`^(?!(${names.join('|')})$)`, message);
}

/** Rules that refuse these imports. */
function except(names, message) {
  return refuse(`^(${names.join('|')})$`, message);
}

/** no-restricted-imports does not look at `await import('x')` and at the type `import('x').X`: the second rule does. */
function refuse(regex, message) {
  const pattern = regex.replaceAll('/', String.raw`\u002F`);
  return {
    'no-restricted-imports': ['error', { patterns: [{ regex, message }] }],
    'no-restricted-syntax': [
      'error',
      { selector: `ImportExpression > Literal.source[value=/${pattern}/]`, message },
      { selector: `TSImportType > Literal[value=/${pattern}/]`, message },
    ],
  };
}

function nodeGlobals() {
  return [
    ...['process', 'console', 'performance', 'Buffer', 'URL', 'URLSearchParams', 'TextEncoder', 'TextDecoder'],
    ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'setImmediate', 'clearImmediate'],
    ...['queueMicrotask', 'structuredClone', 'fetch', 'Event', 'EventTarget', 'AbortController', 'AbortSignal'],
  ];
}

function browserGlobals() {
  return [
    ...['document', 'location', 'matchMedia', 'getComputedStyle', 'addEventListener', 'ResizeObserver'],
    ...['URL', 'URLSearchParams', 'performance', 'crypto', 'console'],
    ...['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'],
  ];
}

function off(names) {
  return Object.fromEntries(names.map((name) => [name, 'off']));
}

function readonly(names) {
  return Object.fromEntries(names.map((name) => [name, 'readonly']));
}
