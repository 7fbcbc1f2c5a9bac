import http from "node:http";
import https from "node:https";
import { promisify } from "node:util";
import zlib from "node:zlib";
import { Cursor, WireError } from "../core/wire.ts";
import { retryAfterMs } from "./backoff.ts";
import type { ExportRequest } from "./request.ts";

export type Compression = "none" | "gzip" | "deflate" | "zstd";

/** PEM. */
export interface ClientTls {
  readonly ca?: Buffer;
  readonly cert?: Buffer;
  readonly key?: Buffer;
  readonly serverName?: string;
  readonly insecureSkipVerify: boolean;
}

export interface ExporterOptions {
  readonly urls: Readonly<Record<"logs" | "traces", string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly compression: Compression;
  readonly timeoutMs: number;
  readonly tls: ClientTls;
  readonly userAgent: string;
}

/** What became of one attempt. */
export type Outcome =
  | { readonly kind: "accepted"; readonly rejected: number; readonly message: string }
  /** The same request may be taken later. */
  | { readonly kind: "retry"; readonly reason: string; readonly afterMs: number }
  /** It never will. */
  | { readonly kind: "refused"; readonly reason: string };

/** Opentelemetry-proto 1.11, docs/specification.md, "Retryable Response Codes": no other answer may be answered by the same request again. */
const RETRYABLE: ReadonlySet<number> = new Set([429, 502, 503, 504]);
/** An answer is some bytes; no server makes us read more. */
const MAX_ANSWER_BYTES = 64 * 1024;
const MAX_MESSAGE_LENGTH = 200;

const COMPRESS: Readonly<
  Record<Exclude<Compression, "none">, (body: Buffer) => Promise<Uint8Array>>
> = {
  gzip: promisify(zlib.gzip),
  deflate: promisify(zlib.deflate),
  zstd: promisify(zlib.zstdCompress),
};

/** Sends export requests to one OTLP/HTTP server. Redirects are not followed: where records go stands in the configuration. */
export class Exporter {
  readonly #options: ExporterOptions;
  readonly #agents: readonly [http.Agent, https.Agent];

  constructor(options: ExporterOptions) {
    this.#options = options;
    const { ca, cert, key, serverName, insecureSkipVerify } = options.tls;
    const settings = { keepAlive: true, maxSockets: 1 };
    this.#agents = [
      new http.Agent(settings),
      new https.Agent({
        ...settings,
        ...(ca === undefined ? {} : { ca }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { servername: serverName }),
        rejectUnauthorized: !insecureSkipVerify,
      }),
    ];
  }

  /** Where requests go, without what may be secret in it: for people. */
  get destination(): string {
    return new URL(this.#options.urls.logs).host;
  }

  /** Compresses the body of a request once for all attempts. */
  compress({ body }: ExportRequest): Promise<Uint8Array> {
    const { compression } = this.#options;
    return compression === "none" ? Promise.resolve(body) : COMPRESS[compression](body);
  }

  /** One attempt. Rejects when `signal` is aborted, and for nothing else. */
  async send(signal: "logs" | "traces", body: Uint8Array, abort: AbortSignal): Promise<Outcome> {
    const { timeoutMs } = this.#options;
    const timeout = AbortSignal.timeout(timeoutMs);
    try {
      const answer = await this.#post(signal, body, AbortSignal.any([abort, timeout]));
      if (answer.status >= 200 && answer.status < 300) return readPartialSuccess(answer.body);
      const reason = `answered with status ${answer.status}`;
      return RETRYABLE.has(answer.status)
        ? { kind: "retry", reason, afterMs: retryAfterMs(answer.retryAfter, Date.now()) }
        : { kind: "refused", reason };
    } catch (error) {
      abort.throwIfAborted();
      const reason = timeout.aborted ? `no answer within ${timeoutMs} ms` : reasonOf(error);
      return { kind: "retry", reason, afterMs: 0 };
    }
  }

  close(): void {
    for (const agent of this.#agents) agent.destroy();
  }

  #post(
    signal: "logs" | "traces",
    body: Uint8Array,
    abort: AbortSignal,
  ): Promise<{ status: number; retryAfter: string | undefined; body: Buffer }> {
    const { urls, headers, compression, userAgent } = this.#options;
    const url = new URL(urls[signal]);
    const isTls = url.protocol === "https:";
    return new Promise((resolve, reject) => {
      const request = (isTls ? https : http).request(url, {
        method: "POST",
        agent: this.#agents[isTls ? 1 : 0],
        signal: abort,
        headers: {
          "user-agent": userAgent,
          ...headers,
          "content-type": "application/x-protobuf",
          "content-length": body.length,
          ...(compression === "none" ? {} : { "content-encoding": compression }),
        },
      });
      request.once("error", reject);
      request.once("response", (response) => {
        const chunks: Buffer[] = [];
        let length = 0;
        response.on("data", (chunk: Buffer) => {
          length += chunk.length;
          if (length <= MAX_ANSWER_BYTES) chunks.push(chunk);
          else response.destroy(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
        });
        response.once("error", reject);
        response.once("end", () =>
          resolve({
            status: response.statusCode!,
            retryAfter: response.headers["retry-after"],
            body: Buffer.concat(chunks),
          }),
        );
      });
      request.end(body);
    });
  }
}

/** ExportLogsServiceResponse { 1: partial_success { 1: rejected, 2: error_message } }; traces have the same shape. What cannot be read says nothing. */
function readPartialSuccess(body: Buffer): Outcome {
  let rejected = 0;
  let message = "";
  try {
    const cursor = new Cursor();
    cursor.reset(body, 0);
    while (cursor.position < body.length) {
      const tag = cursor.varint(body.length);
      if (tag !== 0x0a) {
        cursor.skip(tag, body.length);
        continue;
      }
      const end = cursor.delimited(body.length);
      while (cursor.position < end) {
        const inner = cursor.varint(end);
        if (inner === 0x08) rejected = cursor.varint(end);
        else if (inner === 0x12) {
          const textEnd = cursor.delimited(end);
          message = body.toString("utf8", cursor.position, textEnd);
          cursor.position = textEnd;
        } else cursor.skip(inner, end);
      }
    }
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
  }
  return { kind: "accepted", rejected, message: message.slice(0, MAX_MESSAGE_LENGTH) };
}

/** An error's code says more than its text, and holds nothing of what was sent. */
function reasonOf(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
