// Sources are ES modules; jest runs them, and the packages that ship ES modules only, as CommonJS.
const esmOnlyPackages = ['@nestjs/', 'dotenv/', 'dotenv-expand/', 'es-toolkit/', 'file-type/', 'js-yaml/', 'jose/'];

const common = { swcrc: false, sourceMaps: 'inline', module: { type: 'commonjs' } };
const typescript = {
  ...common,
  jsc: {
    target: 'es2022',
    keepClassNames: true,
    parser: { syntax: 'typescript', decorators: true },
    transform: { legacyDecorator: true, decoratorMetadata: true, useDefineForClassFields: true },
  },
};
const javascript = { ...common, jsc: { target: 'es2022', parser: { syntax: 'ecmascript' } } };

const shared = {
  rootDir: import.meta.dirname,
  testEnvironment: 'node',
  moduleFileExtensions: ['ts', 'js', 'mjs', 'cjs', 'json'],
  modulePathIgnorePatterns: ['<rootDir>/dist/'],
  resolver: '<rootDir>/tools/jest-resolver.cjs',
  moduleNameMapper: {
    '^@app/broadcast$': '<rootDir>/libs/broadcast/src/index.ts',
    '^@app/broadcast/nest$': '<rootDir>/libs/broadcast/src/nest.ts',
    '^@app/broadcast/testing$': '<rootDir>/libs/broadcast/src/testing/index.ts',
  },
  transform: { '^.+\\.ts$': ['@swc/jest', typescript], '^.+\\.m?js$': ['@swc/jest', javascript] },
  transformIgnorePatterns: [`/node_modules/(?!(${esmOnlyPackages.join('|')}))`],
};

export default {
  projects: [
    { ...shared, displayName: 'unit', testMatch: ['<rootDir>/{apps,libs}/**/*.spec.ts'] },
    {
      ...shared,
      displayName: 'conformance',
      testMatch: ['<rootDir>/test/conformance/*.spec.ts'],
      globalSetup: '<rootDir>/test/brokers/setup.ts',
      globalTeardown: '<rootDir>/test/brokers/teardown.ts',
    },
    {
      ...shared,
      displayName: 'system',
      testMatch: ['<rootDir>/test/{adapter,deploy,docs,examples,log,page,system}/*.spec.ts'],
      globalSetup: '<rootDir>/test/brokers/setup.ts',
      globalTeardown: '<rootDir>/test/brokers/teardown.ts',
    },
  ],
  // Conditions are waited for, each with a bound of its own that says what did not come true.
  testTimeout: 30_000,
  coverageProvider: 'v8',
  collectCoverageFrom: ['{apps,libs}/**/src/**/*.ts', '!**/*.spec.ts', '!**/main.ts', '!**/index.ts'],
};
