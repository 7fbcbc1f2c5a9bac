import { ALL_ACCEPTED } from "../core/consumer.ts";
import type { Encoding, OtlpConsumer, Sender, Signal } from "../core/consumer.ts";
import type { TokenFinder } from "../core/callers.ts";
import { createHttpServer } from "../core/http.ts";
import type { AnsweredRequest, HttpReply, HttpRequest, ListenAddress } from "../core/http.ts";
import type { ListenerOptions } from "../core/listener.ts";
import type { ErrorCode } from "../core/errors.ts";
import { peerAddress } from "../core/hosts.ts";
import { MEDIA_TYPES } from "../core/otlp-status.ts";
import { nowNanos } from "../core/time.ts";
import { Admission } from "./admission.ts";
import { declaredLength, FIRST_RESERVATION_BYTES, freeBuffer, readBody } from "./body.ts";
import { ACCEPTED_CODINGS, inflate, parseCoding, USUAL_RATIO } from "./inflate.ts";
import type { Coding } from "./inflate.ts";
import { ACCEPTED_TYPES, exportBody, requestEncoding, statusBody } from "./responses.ts";

/** OTLP 1.11 recommends this limit, raw and inflated (docs/specification.md, "OTLP/HTTP Request"). */
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_IN_FLIGHT_BYTES = 64 * 1024 * 1024;
/** Envoy's exporter drops a batch on any answer but 200, so we wait a little before we refuse one. */
const ADMISSION_TIMEOUT_MS = 200;
const SIGNALS: readonly Signal[] = ["logs", "traces"];

/** What the receiver counts. Each request ends in exactly one call. */
export interface ReceiverMetrics {
  /** Answered 200. */
  accepted(request: {
    readonly signal: Signal;
    readonly encoding: Encoding;
    readonly wireBytes: number;
    readonly bodyBytes: number;
    readonly rejected: number;
    readonly durationMs: number;
  }): void;
  /** Answered with an error; nothing of the request was taken. `signal` is null where the path is neither route's. */
  refused(request: {
    readonly signal: Signal | null;
    readonly code: ErrorCode;
    readonly sender: string;
  }): void;
  /** Beside the others, for each request that was answered. */
  readonly answered?: (request: AnsweredRequest) => void;
  /** The sender went away before its body was complete. */
  aborted(request: { readonly signal: Signal; readonly sender: string }): void;
}

export interface ReceiverOptions extends ListenerOptions {
  readonly tokens: TokenFinder | null;
  readonly allowedHosts?: readonly string[] | undefined;
  /** Largest body, as sent and inflated. */
  readonly maxBodyBytes?: number;
  /** Bound on all bodies in memory; see Admission. */
  readonly maxInFlightBytes?: number;
  readonly admissionTimeoutMs?: number;
  readonly bodyStallMs?: number;
  readonly consumer: OtlpConsumer;
  readonly metrics: ReceiverMetrics;
}

export interface Receiver {
  /** Bytes of bodies in memory, and requests that wait for room. */
  readonly admission: Pick<Admission, "bytesInFlight" | "waiting" | "maxBytes">;
  /** Throws: LISTEN_FAILED. */
  listen(): Promise<ListenAddress>;
  /** Refuses new requests with 503 and waits for those under way, at most `graceMs`. */
  close(graceMs?: number): Promise<void>;
}

/**
 * The OTLP/HTTP receiver: `POST /v1/logs` and `POST /v1/traces`. Hands complete, inflated bodies to the consumer and
 * answers as OTLP prescribes; knows nothing of what is in them.
 * Source: opentelemetry-proto 1.11, docs/specification.md, "OTLP/HTTP".
 */
export function createReceiver(options: ReceiverOptions): Receiver {
  const { consumer, metrics, maxBodyBytes = MAX_BODY_BYTES } = options;
  const admission = new Admission({
    maxBytes: options.maxInFlightBytes ?? MAX_IN_FLIGHT_BYTES,
    timeoutMs: options.admissionTimeoutMs ?? ADMISSION_TIMEOUT_MS,
  });

  const server = createHttpServer({
    host: options.host,
    port: options.port,
    tls: options.tls,
    access: { tokens: options.tokens, roles: ["sender", "admin"] },
    allowedHosts: options.allowedHosts,
    errorBody: statusBody,
    onRefused: (error, request) =>
      metrics.refused({
        signal: signalOf(request.url),
        code: error.code,
        sender: request.caller?.name ?? peerAddress(request.raw.socket.remoteAddress),
      }),
    ...(metrics.answered === undefined ? {} : { onAnswered: metrics.answered }),
    headersTimeoutMs: options.headersTimeoutMs,
    requestTimeoutMs: options.requestTimeoutMs,
    logger: options.logger,
  });
  for (const signal of SIGNALS) {
    server.routes.post(`/v1/${signal}`, (request, reply) => receive(signal, request, reply));
  }

  async function receive(
    signal: Signal,
    request: HttpRequest,
    reply: HttpReply,
  ): Promise<HttpReply> {
    const startedMs = performance.now();
    const { name, auth } = request.caller as Sender;
    const { raw } = request;
    const { encoding, coding } = negotiate(request, reply);
    const declared = declaredLength(raw, maxBodyBytes);
    const reservation = admission.open();
    let wire: Buffer | undefined;
    let body: Buffer | undefined;
    try {
      // Room for the inflated body is asked for at the door, so that requests do not each hold half of what they need.
      const expected = Math.min(
        (declared ?? 0) * (coding === "identity" ? 1 : USUAL_RATIO),
        FIRST_RESERVATION_BYTES,
        maxBodyBytes,
      );
      await reservation.resize(expected);
      wire = await readBody(raw, reply.raw, reservation, maxBodyBytes, options.bodyStallMs);
      if (wire === undefined) {
        metrics.aborted({ signal, sender: name });
        return reply.hijack(); // nobody is there to answer
      }
      const wireBytes = wire.length;
      if (coding !== "identity" && wireBytes > 0) {
        body = await inflate(coding, wire, reservation, maxBodyBytes);
        freeBuffer(wire);
      } else {
        body = wire;
      }
      const bodyBytes = body.length;
      const result =
        bodyBytes === 0
          ? ALL_ACCEPTED // an empty request is a success (docs/specification.md, "Full Success")
          : await consumer.consume({
              signal,
              encoding,
              body,
              sender: { name, auth },
              userAgent: raw.headers["user-agent"] ?? "",
              receivedAtNs: nowNanos(),
            });
      metrics.accepted({
        signal,
        encoding,
        wireBytes,
        bodyBytes,
        rejected: result.rejected,
        durationMs: performance.now() - startedMs,
      });
      return reply
        .header("content-type", MEDIA_TYPES[encoding])
        .send(exportBody(signal, encoding, result));
    } finally {
      if (wire !== undefined) freeBuffer(wire);
      if (body !== undefined) freeBuffer(body);
      reservation.release();
    }
  }

  return { admission, listen: server.listen, close: server.close };
}

/** How the request is written. Throws: UNSUPPORTED_MEDIA_TYPE, with what is accepted in the headers of the answer (RFC 9110, section 15.5.16). */
function negotiate({ raw }: HttpRequest, reply: HttpReply): { encoding: Encoding; coding: Coding } {
  try {
    return {
      encoding: requestEncoding(raw.headers["content-type"]),
      coding: parseCoding(raw.headers["content-encoding"]),
    };
  } catch (error) {
    reply.headers({ accept: ACCEPTED_TYPES, "accept-encoding": ACCEPTED_CODINGS });
    throw error;
  }
}

function signalOf(url: string): Signal | null {
  return (
    SIGNALS.find((signal) => url === `/v1/${signal}` || url.startsWith(`/v1/${signal}?`)) ?? null
  );
}
