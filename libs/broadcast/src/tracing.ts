/*
 * Traces across instances: the context of a message travels in its header, as W3C's `traceparent`, and whoever hears the
 * message goes on with the trace. The library does not import OpenTelemetry; an application that has it hands it in:
 *
 *   import * as telemetry from '@opentelemetry/api';
 *   new Bus(redis(), { telemetry });
 *
 * Without it, or without an SDK behind it, nothing is made and nothing travels.
 */
import { toError } from './errors.js';
import { VERSION } from './version.js';

/** What a trace context is made of. */
export interface SpanContext {
  readonly traceId: string;
  readonly spanId: string;
  readonly traceFlags: number;
}

export interface Span {
  spanContext(): SpanContext;
  recordException(error: Error): void;
  setStatus(status: { code: number; message?: string }): unknown;
  end(): void;
}

export type Attributes = Record<string, string | number>;

/** A context of OpenTelemetry: nobody here looks into it. */
export type Context = object;

/** The part of `@opentelemetry/api` (1.x) that is used here. */
export interface Telemetry {
  readonly ROOT_CONTEXT: Context;
  readonly context: {
    active(): Context;
    with<T>(context: Context, work: () => T): T;
  };
  readonly trace: {
    getTracerProvider(): object;
    getTracer(
      name: string,
      version?: string,
    ): { startSpan(name: string, options?: { kind?: number; attributes?: Attributes }, context?: Context): Span };
    setSpan(context: Context, span: Span): Context;
    setSpanContext(context: Context, spanContext: SpanContext & { isRemote?: boolean }): Context;
  };
}

export interface TracingOptions {
  /** The module `@opentelemetry/api`. @default none: nothing is traced */
  telemetry?: Telemetry;
}

const NAME = '@roomcast/broadcast';
/** OpenTelemetry's SpanKind and SpanStatusCode. */
const [PRODUCER, CONSUMER] = [3, 4];
const ERROR = 2;
/** https://www.w3.org/TR/trace-context/#traceparent-header: of later versions the first four fields count. */
const TRACEPARENT = /^(?!ff)[\da-f]{2}-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(?:-.*)?$/;

export class Tracing {
  readonly #telemetry?: Telemetry;

  constructor({ telemetry }: TracingOptions = {}) {
    this.#telemetry = telemetry;
  }

  /** Hands something over, as a span of its own; `send` puts the `traceparent` into what travels. */
  produce<T>(name: string, attributes: () => Attributes, send: (traceparent?: string) => Promise<T>): Promise<T> {
    const telemetry = this.#active();
    if (!telemetry) return send();
    const { context, trace } = telemetry;
    const span = trace.getTracer(NAME, VERSION).startSpan(name, { kind: PRODUCER, attributes: attributes() });
    try {
      const sent = context.with(trace.setSpan(context.active(), span), () => send(traceparentOf(span)));
      return sent.then(
        (value) => (span.end(), value),
        (error: unknown) => failed(span, error),
      );
    } catch (error) {
      end(span, error);
      throw error;
    }
  }

  /**
   * Does what came with a `traceparent`, as a span of that trace. What came without one began nowhere, and makes none:
   * whether something is traced is decided where it begins.
   *
   * @param traceparent as it came: what is none counts as none
   */
  consume<T>(name: string, traceparent: unknown, attributes: () => Attributes, work: () => T): T {
    const telemetry = traceparent === undefined ? undefined : this.#active();
    const parent = telemetry && parse(traceparent);
    if (!parent) return work();
    const { context, trace, ROOT_CONTEXT } = telemetry;
    const remote = trace.setSpanContext(ROOT_CONTEXT, { ...parent, isRemote: true });
    const options = { kind: CONSUMER, attributes: attributes() };
    const span = trace.getTracer(NAME, VERSION).startSpan(name, options, remote);
    try {
      const result = context.with(trace.setSpan(remote, span), work);
      if (!(result instanceof Promise)) {
        span.end();
        return result;
      }
      return result.then(
        (value: unknown) => (span.end(), value),
        (error: unknown) => failed(span, error),
      ) as T;
    } catch (error) {
      end(span, error);
      throw error;
    }
  }

  /** The API gives spans that do nothing where no SDK is behind it, but makes them anew each time: it is asked first. */
  #active(): Telemetry | undefined {
    if (!this.#telemetry) return undefined;
    const provider = this.#telemetry.trace.getTracerProvider() as { getDelegateTracer?: (name: string) => unknown };
    return provider.getDelegateTracer && !provider.getDelegateTracer(NAME) ? undefined : this.#telemetry;
  }
}

function traceparentOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  const flags = (traceFlags & 0xff).toString(16).padStart(2, '0');
  const traceparent = `00-${traceId}-${spanId}-${flags}`;
  return TRACEPARENT.test(traceparent) ? traceparent : undefined;
}

function parse(traceparent: unknown): SpanContext | undefined {
  if (typeof traceparent !== 'string') return undefined;
  const [, traceId, spanId, flags] = TRACEPARENT.exec(traceparent) ?? [];
  if (traceId === undefined || spanId === undefined) return undefined;
  return { traceId, spanId, traceFlags: parseInt(flags!, 16) & 1 };
}

function end(span: Span, thrown: unknown): void {
  const error = toError(thrown);
  span.recordException(error);
  span.setStatus({ code: ERROR, message: error.message });
  span.end();
}

function failed(span: Span, error: unknown): Promise<never> {
  end(span, error);
  return Promise.reject(toError(error));
}
