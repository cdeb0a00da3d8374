import { Ajv } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ANSWER_CODES } from '../answer.js';
import { REQUESTS } from '../requests.js';
import { asyncapi } from './asyncapi.js';
import { openapi } from './openapi.js';

const packages = join(__dirname, '..', '..', '..', '..', 'node_modules');

/** What is wrong with the document, by its specification's own schema. */
function problems(ajv: Ajv, schema: string, document: object): unknown {
  const validate = ajv.compile(JSON.parse(readFileSync(join(packages, schema), 'utf8')) as object);
  return validate(document) ? [] : validate.errors;
}

describe('the OpenAPI document', () => {
  const document = openapi('1.2.3') as { info: object; paths: Record<string, Record<string, object>> };
  const options = { strict: false, validateFormats: false };

  it('is one by the specification', () => {
    const schema = '@seriousme/openapi-schema-validator/schemas/v3.1/schema.json';
    expect(problems(new Ajv2020(options), schema, document)).toEqual([]);
    const broken = { ...document, paths: { x: {} } };
    expect(problems(new Ajv2020(options), schema, broken)).not.toEqual([]);
  });

  it('names every part that it refers to', () => {
    const references = JSON.stringify(document).match(/"#\/[^"]+"/g) ?? [];
    expect(references.length).toBeGreaterThan(20);
    for (const reference of new Set(references))
      expect([reference, find(document, reference)]).not.toContain(undefined);
  });

  it('shows bodies as they are checked', () => {
    const text = JSON.stringify(document.paths['/v1/broadcasts']);
    expect(text).toContain('"maxItems":10000');
    expect(text).toContain('"required":["event","rooms"]');
    expect(text).toContain('Idempotency-Key');
  });
});

describe('the AsyncAPI document', () => {
  const document = asyncapi('1.2.3') as { operations: Record<string, { messages: { $ref: string }[] }> };
  const options = { strict: false, validateFormats: false, logger: false } as const;
  const schema = '@asyncapi/specs/schemas/3.0.0-without-$id.json';

  it('is one by the specification', () => {
    expect(problems(new Ajv(options), schema, document)).toEqual([]);
    expect(problems(new Ajv(options), schema, { ...document, operations: { x: { action: 'sing' } } })).not.toEqual([]);
  });

  it('has an operation for every request', () => {
    const names = REQUESTS.map((request) => request.replace(/:(\w)/g, (_, letter: string) => letter.toUpperCase()));
    expect(Object.keys(document.operations)).toEqual(expect.arrayContaining(names));
  });

  it('names every part that it refers to', () => {
    const references = JSON.stringify(document).match(/"#\/[^"]+"/g) ?? [];
    for (const reference of new Set(references))
      expect([reference, find(document, reference)]).not.toContain(undefined);
  });
});

describe('docs/errors.md', () => {
  const text = readFileSync(join(packages, '..', 'docs', 'errors.md'), 'utf8');

  it.each(ANSWER_CODES)('says what causes %s, and what to do', (code) => {
    const row = text.split('\n').find((line) => line.startsWith(`| \`${code}\``));
    expect(row?.split('|').filter((cell) => cell.trim().length > 1).length).toBe(4);
  });
});

function find(document: object, reference: string): unknown {
  const path = (JSON.parse(reference) as string).slice(2).split('/');
  const names = path.map((name) => name.replaceAll('~1', '/').replaceAll('~0', '~'));
  return names.reduce<unknown>((part, name) => (part as Record<string, unknown> | undefined)?.[name], document);
}
