/** What a sender may export to us; also the last part of its path, `/v1/<signal>`. */
export type Signal = "logs" | "traces";

/** How an OTLP request is written; the answer uses the same (opentelemetry-proto, docs/specification.md, "OTLP/HTTP Request"). */
export type Encoding = "protobuf" | "json";

/** Who a request comes from, as every record of it will say (columns `Sender` and `SenderAuth`). */
export interface Sender {
  /** Name of the token or of the certificate; the address of the peer when nothing is asked of senders. */
  readonly name: string;
  readonly auth: "token" | "mtls" | "none";
}

/** One OTLP export request: complete, inflated, from a sender who may send, not yet decoded. */
export interface OtlpRequest {
  readonly signal: Signal;
  readonly encoding: Encoding;
  /** The message after Content-Encoding was undone; never empty. Freed when `consume` settles: views of it are empty from then on. */
  readonly body: Buffer;
  readonly sender: Sender;
  /** The User-Agent header, or "". */
  readonly userAgent: string;
  /** When the last byte had arrived. */
  readonly receivedAtNs: bigint;
}

/** What the sender is answered: how many records were rejected (0 for none) and why, or a warning beside full acceptance. */
export interface ExportResult {
  readonly rejected: number;
  readonly message: string;
}

export const ALL_ACCEPTED: ExportResult = { rejected: 0, message: "" };

/** Takes requests into safety. */
export interface OtlpConsumer {
  /**
   * Resolves when every record that was not rejected is durable; only then is the sender answered 200.
   * Throws: a MeshproofError when nothing of the request was taken. Any other exception is answered 503, so that it is sent again.
   */
  consume(request: OtlpRequest): Promise<ExportResult>;
}
