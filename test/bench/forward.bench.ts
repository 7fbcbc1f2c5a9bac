import { readOriginals } from "../../src/core/originals.ts";
import { freeRows } from "../../src/core/rows.ts";
import { RequestEncoder } from "../../src/encoder.ts";
import { FORWARD_KEYS, OwnAttributes } from "../../src/forward/attributes.ts";
import { RequestBuilder } from "../../src/forward/request.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { ValueRedactor } from "../../src/normalise/redaction/value-redactor.ts";
import { Originals } from "../../src/originals.ts";
import { applicationBody, envoyBody, spanBody } from "../support/traffic.ts";
import { measure, printTable } from "./measure.ts";

/** What the forwarder costs: keeping the records as they came in, and putting them together again. Without it, with it, in turns. */

const RECORDS = 1000;
const REQUESTS = 30;
const LOG_ID = "0123456789abcdef";
const RECEIVED = {
  receivedAtNs: 1_795_000_000_000_000_000n,
  sender: "bench",
  senderAuth: "none",
  retentionClass: "default",
};
const OPTIONS = {
  logId: LOG_ID,
  maxRecordBytes: 1024 * 1024,
  maxEncodedBytes: 256 * 1024 * 1024,
} as const;

const CASES = [
  { name: "application log, 25 attributes", signal: "logs", body: applicationBody(RECORDS) },
  { name: "Envoy access log, 25 attributes", signal: "logs", body: envoyBody(RECORDS) },
  { name: "span, 20 attributes", signal: "traces", body: spanBody(RECORDS) },
] as const;

export async function benchForward(): Promise<void> {
  const without = new RequestEncoder({ ...OPTIONS, normaliser: new Normaliser({ redact: {} }) });
  const keeping = new RequestEncoder({
    ...OPTIONS,
    normaliser: new Normaliser({ redact: {} }),
    originals: new Originals(new ValueRedactor({}), Object.values(FORWARD_KEYS)),
  });
  const attributes = new OwnAttributes(LOG_ID, "");
  const rows: string[][] = [];
  for (const { name, signal, body } of CASES) {
    const encode = async (encoder: RequestEncoder): Promise<void> => {
      for (let i = 0; i < REQUESTS; i++) freeRows(await encoder.encode(signal, body, RECEIVED));
    };
    const off = await measure(() => encode(without));
    const on = await measure(() => encode(keeping));
    const { originals, sections } = await keeping.encode(signal, body, RECEIVED);
    freeRows({ sections });
    const rebuilt = await measure(() => {
      for (let i = 0; i < REQUESTS; i++) {
        const builder = new RequestBuilder(signal);
        for (const original of readOriginals(originals!))
          builder.add(original, original.row, attributes.of(signal, original.row, 7));
        builder.take();
      }
    });
    const [offUs, onUs, rebuiltUs] = [off, on, rebuilt].map(
      ({ cpuUs }) => cpuUs / (REQUESTS * RECORDS),
    ) as [number, number, number];
    rows.push([
      name,
      offUs.toFixed(2),
      onUs.toFixed(2),
      (onUs - offUs).toFixed(2),
      rebuiltUs.toFixed(2),
      String(Math.round(originals!.length / RECORDS)),
    ]);
  }
  printTable(
    "The forwarder, µs of CPU a record, one thread",
    ["record", "without", "originals kept", "difference", "request built", "B kept"],
    rows,
  );
}
