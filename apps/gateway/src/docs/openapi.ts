/*
 * The OpenAPI document, made of the operations and of the schemas that requests are checked with.
 */
import { z } from 'zod';
import { ANSWER_CODES, type AnswerCode } from '../answer.js';
import { errorAnswer } from '../answers.js';
import { STATUS } from '../http/http-answer.filter.js';
import { messageId } from '../requests.js';
import { OPERATIONS, type Operation } from './operations.js';

type Json = Record<string, unknown>;

const DESCRIPTION =
  'Live rooms over many instances. Every refusal is `{ error: { code, message, retryAfter? } }` with the status that fits ' +
  'its code; `retryAfter` is in ms, the header `Retry-After` in seconds. What sockets ask and hear is in ' +
  '[/docs/asyncapi.json](/docs/asyncapi.json).';

/** @param version of the API: the gateway's own */
export function openapi(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const operation of OPERATIONS) {
    const path = operation.path.replace(/:(\w+)/g, '{$1}');
    paths[path] = { ...paths[path], [operation.method]: describe(operation) };
  }
  return {
    openapi: '3.1.0',
    info: { title: 'Roomcast', version, description: DESCRIPTION, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: '/' }],
    tags: [
      { name: 'rooms', description: 'For services, with an API key.' },
      { name: 'health', description: 'For orchestrators.' },
    ],
    paths,
    components: {
      securitySchemes: { apiKey: { type: 'http', scheme: 'bearer', description: 'One of API_KEYS.' } },
      schemas: { Error: schemaOf(errorAnswer, 'output') },
      responses: Object.fromEntries(ANSWER_CODES.map((code) => [code, refusalOf(code)])),
      headers: {
        RetryAfter: { description: 'When to try again, in seconds.', schema: { type: 'integer', minimum: 1 } },
      },
    },
  };
}

function describe({ id, summary, description, answers, refusals = [], ...asked }: Operation): Json {
  const isOpen = refusals.length === 0;
  return {
    operationId: id,
    tags: [isOpen ? 'health' : 'rooms'],
    summary,
    ...(description !== undefined && { description }),
    security: isOpen ? [] : [{ apiKey: [] }],
    parameters: [...parametersOf('path', asked.params), ...parametersOf('query', asked.query), ...headersOf(asked)],
    ...(asked.body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(asked.body, 'input') } } },
    }),
    responses: { ...answersOf(answers), ...refusedWith(refusals, asked.body !== undefined) },
  };
}

function answersOf(answers: Operation['answers']): Json {
  return Object.fromEntries(
    Object.entries(answers).map(([status, { description, schema }]) => [
      status,
      { description, content: { 'application/json': { schema: schemaOf(schema, 'output') } } },
    ]),
  );
}

function refusedWith(codes: readonly AnswerCode[], hasBody: boolean): Json {
  const refused: [number, Json][] = codes.map((code) => [STATUS[code], { $ref: `#/components/responses/${code}` }]);
  if (hasBody) refused.push([415, { $ref: '#/components/responses/BAD_REQUEST' }]);
  return Object.fromEntries(refused);
}

function refusalOf(code: AnswerCode): Json {
  const mayReturn = STATUS[code] === STATUS.RATE_LIMITED || STATUS[code] === STATUS.UNAVAILABLE;
  return {
    description: `Refused: \`${code}\`.`,
    ...(mayReturn && { headers: { 'Retry-After': { $ref: '#/components/headers/RetryAfter' } } }),
    content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
  };
}

function parametersOf(place: 'path' | 'query', schema: z.ZodObject | undefined): Json[] {
  if (!schema) return [];
  const { properties = {}, required = [] } = schemaOf(schema, 'input') as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  return Object.entries(properties).map(([name, { description, ...each }]) => ({
    name,
    in: place,
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema: each,
  }));
}

function headersOf({ idempotent }: Pick<Operation, 'idempotent'>): Json[] {
  if (!idempotent) return [];
  const { description, ...schema } = schemaOf(messageId, 'input');
  return [{ name: 'Idempotency-Key', in: 'header', required: false, description, schema }];
}

/** The dialect of OpenAPI 3.1 is that of JSON Schema 2020-12. */
function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { target: 'draft-2020-12', io }) as Json;
  return rest;
}
