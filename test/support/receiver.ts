import type { Test } from "tap";
import type { ExportResult, OtlpRequest } from "../../src/core/consumer.ts";
import type { Logger } from "../../src/core/logger.ts";
import { createReceiver } from "../../src/receive/otlp.ts";
import type { ReceiverOptions } from "../../src/receive/otlp.ts";

/** What a receiver under test was asked, counted and logged. */
export interface Observed {
  readonly requests: (Omit<OtlpRequest, "body"> & { readonly body: Buffer })[];
  readonly counted: string[];
  readonly errors: { readonly fields: Record<string, unknown>; readonly message: string }[];
}

/** A receiver on a free port with a consumer that keeps copies, closed with the test. */
export async function startReceiver(
  t: Test,
  options: Partial<ReceiverOptions> & {
    consume?: (request: OtlpRequest) => Promise<ExportResult>;
  } = {},
) {
  const observed: Observed = { requests: [], counted: [], errors: [] };
  const logger: Logger = {
    debug() {},
    info() {},
    warn() {},
    error: (fields, message) =>
      observed.errors.push({ fields: fields as Record<string, unknown>, message }),
  };
  const { consume, ...rest } = options;
  const receiver = createReceiver({
    host: "127.0.0.1",
    port: 0,
    tokens: null,
    logger,
    metrics: {
      accepted: ({ signal, encoding, wireBytes, bodyBytes, rejected }) =>
        observed.counted.push(
          `accepted ${signal} ${encoding} ${wireBytes} ${bodyBytes} ${rejected}`,
        ),
      refused: ({ signal, code, sender }) =>
        observed.counted.push(`refused ${signal} ${code} ${sender}`),
      aborted: ({ signal, sender }) => observed.counted.push(`aborted ${signal} ${sender}`),
    },
    consumer: {
      async consume(request) {
        observed.requests.push({ ...request, body: Buffer.from(request.body) });
        return consume === undefined ? { rejected: 0, message: "" } : consume(request);
      },
    },
    ...rest,
  });
  t.teardown(() => receiver.close(0));
  const { port } = await receiver.listen();
  return { receiver, port, observed };
}
