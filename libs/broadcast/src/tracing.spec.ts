import * as telemetry from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { Tracing } from './tracing.js';

const NOTHING = () => ({});
const REMOTE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

describe('tracing', () => {
  it('does nothing without the API, and without an SDK behind it', async () => {
    for (const tracing of [new Tracing(), new Tracing({ telemetry })]) {
      expect(await tracing.produce('publish', NOTHING, async (traceparent) => String(traceparent))).toBe('undefined');
      expect(tracing.consume('deliver', REMOTE, NOTHING, () => 7)).toBe(7);
    }
  });

  describe('with an SDK', () => {
    const exporter = new InMemorySpanExporter();
    const tracing = new Tracing({ telemetry });
    const spans = () => exporter.getFinishedSpans();

    beforeAll(() => {
      telemetry.context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
      telemetry.trace.setGlobalTracerProvider(
        new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
      );
    });
    afterEach(() => exporter.reset());
    afterAll(() => {
      telemetry.trace.disable();
      telemetry.context.disable();
    });

    it('goes on with the trace that a message came with, through what is awaited', async () => {
      let sent: string | undefined;
      await tracing.consume('job', REMOTE, NOTHING, async () => {
        await new Promise((resolve) => setImmediate(resolve));
        await tracing.produce('publish', NOTHING, async (traceparent) => void (sent = traceparent));
      });
      const [publish, job] = spans();
      expect(job).toMatchObject({ name: 'job', kind: telemetry.SpanKind.CONSUMER });
      expect(publish).toMatchObject({ name: 'publish', kind: telemetry.SpanKind.PRODUCER });
      expect(job!.parentSpanContext).toMatchObject({ spanId: 'b7ad6b7169203331', isRemote: true });
      expect(publish!.parentSpanContext?.spanId).toBe(job!.spanContext().spanId);
      expect(sent).toBe(`00-0af7651916cd43dd8448eb211c80319c-${publish!.spanContext().spanId}-01`);
    });

    it.each([
      ['nothing', undefined],
      ['a number', 7],
      ['some text', 'trace me'],
      ['no trace', '00-00000000000000000000000000000000-b7ad6b7169203331-01'],
      ['no span', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01'],
      ['upper case', REMOTE.toUpperCase()],
      ['a version that cannot be', `ff${REMOTE.slice(2)}`],
    ])('makes no span of a message that came with %s', (_, traceparent) => {
      expect(tracing.consume('deliver', traceparent, NOTHING, () => 7)).toBe(7);
      expect(spans()).toEqual([]);
    });

    it('reads a later version as far as it is known', () => {
      tracing.consume('deliver', `cc${REMOTE.slice(2)}-what-will-be`, NOTHING, () => undefined);
      expect(spans()[0]?.spanContext().traceId).toBe('0af7651916cd43dd8448eb211c80319c');
    });

    it('leaves alone what its sender does not sample', () => {
      tracing.consume('deliver', `${REMOTE.slice(0, -2)}00`, NOTHING, () => undefined);
      expect(spans()).toEqual([]);
    });

    it('says what failed, at once or later, and lets it pass', async () => {
      const fail = () => {
        throw new Error('broken');
      };
      expect(() => tracing.consume('deliver', REMOTE, NOTHING, fail)).toThrow('broken');
      expect(() => tracing.produce('publish', NOTHING, fail)).toThrow('broken');
      await expect(tracing.produce('publish', NOTHING, async () => fail())).rejects.toThrow('broken');
      await expect(tracing.consume('job', REMOTE, NOTHING, async () => fail())).rejects.toThrow('broken');
      expect(spans().map(({ status, events }) => [status.code, events.length])).toEqual(
        Array(4).fill([telemetry.SpanStatusCode.ERROR, 1]),
      );
    });
  });
});
