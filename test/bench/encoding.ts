import { RequestEncoder } from "../../src/encoder.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";

/** What the benches encode with: all dialects, and the redaction that is the default. */
export const encoder = new RequestEncoder({
  logId: "0123456789abcdef",
  normaliser: new Normaliser({ redact: {} }),
  maxRecordBytes: 1024 * 1024,
  maxEncodedBytes: 256 * 1024 * 1024,
});

export const RECEIVED = {
  receivedAtNs: 1_795_000_000_000_000_000n,
  sender: "bench",
  senderAuth: "none",
  retentionClass: "default",
};
