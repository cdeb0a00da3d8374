/*
 * Calls the HTTP API of a gateway, and holds every answer against the OpenAPI document that the gateway shows.
 */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export interface Called {
  status: number;
  headers: Headers;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- what each case expects of it is in the case
  body: any;
}

interface Document {
  paths: Record<string, Record<string, { operationId: string; responses: Record<string, object> }>>;
}

export class Api {
  readonly url: string;
  readonly #key: string | undefined;
  /** Operations that were called, each with the statuses that it has answered: `publish 201`. */
  readonly seen = new Set<string>();
  #document?: Document;
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });
  readonly #validators = new Map<string, ValidateFunction>();

  constructor(url: string, key?: string) {
    this.url = url;
    this.#key = key;
  }

  async document(): Promise<Document> {
    if (!this.#document) {
      const response = await fetch(`${this.url}/docs/openapi.json`);
      this.#document = (await response.json()) as Document;
      this.#ajv.addSchema(this.#document, 'openapi');
    }
    return this.#document;
  }

  get(path: string): Promise<Called> {
    return this.call('GET', path);
  }

  post(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Called> {
    return this.call('POST', path, { body: JSON.stringify(body), headers });
  }

  delete(path: string): Promise<Called> {
    return this.call('DELETE', path);
  }

  /** @param init `body` is sent as it is */
  async call(
    method: string,
    path: string,
    { body, headers }: RequestInit & { headers?: Record<string, string> } = {},
  ): Promise<Called> {
    const response = await fetch(this.url + path, {
      method,
      body,
      headers: {
        ...(body !== undefined && body !== null && { 'content-type': 'application/json' }),
        ...(this.#key !== undefined && { authorization: `Bearer ${this.#key}` }),
        ...headers,
      },
    });
    const called = { status: response.status, headers: response.headers, body: (await response.json()) as unknown };
    await this.#check(method, path, called);
    return called;
  }

  /** @throws when this operation is not documented to answer so */
  async #check(method: string, path: string, { status, body }: Called): Promise<void> {
    const { paths } = await this.document();
    const [address] = path.split('?') as [string];
    const fits = (template: string) => new RegExp(`^${template.replace(/\{\w+\}/g, '[^/]+')}$`).test(address);
    const template = Object.keys(paths).find(fits);
    const operation = template === undefined ? undefined : paths[template]![method.toLowerCase()];
    const pointer =
      operation && template
        ? `#/paths/${escape(template)}/${method.toLowerCase()}/responses/${status}`
        : '#/components/responses/NOT_FOUND';
    if (operation && !operation.responses[status]) {
      throw new Error(`${operation.operationId} is not documented to answer ${status}: ${JSON.stringify(body)}`);
    }
    const reference = operation?.responses[status] as { $ref?: string } | undefined;
    const at = `openapi${reference?.$ref ?? pointer}/content/application~1json/schema`;
    const validate = this.#validators.get(at) ?? this.#ajv.compile({ $ref: at });
    this.#validators.set(at, validate);
    if (!validate(body))
      throw new Error(
        `${method} ${path} answers otherwise than documented: ${JSON.stringify(validate.errors)} in ${JSON.stringify(body)}`,
      );
    if (operation) this.seen.add(`${operation.operationId} ${status}`);
  }
}

function escape(text: string): string {
  return encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));
}
