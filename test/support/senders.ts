import { setTimeout } from "node:timers/promises";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import { emitJson } from "./otlp-json.ts";
import { ExportLogsServiceRequest, ExportTraceServiceRequest } from "./otlp-proto.ts";

/** Senders that share nothing with the receiver: their bytes come from node:zlib and protobufjs. */

export const CODINGS = ["identity", "gzip", "zstd", "deflate"] as const;
export type Coding = (typeof CODINGS)[number];
const MEDIA_TYPES = { protobuf: "application/x-protobuf", json: "application/json" } as const;
export type Encoding = keyof typeof MEDIA_TYPES;

export interface SendOptions {
  readonly encoding?: Encoding;
  readonly coding?: Coding;
  readonly token?: string;
  readonly userAgent?: string;
}

/** Sends one body, which is encoded as `encoding` already. */
export function send(
  url: string,
  body: Uint8Array | string,
  { encoding = "protobuf", coding = "identity", token, userAgent }: SendOptions = {},
): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: {
      "content-type": MEDIA_TYPES[encoding],
      ...(coding === "identity" ? {} : { "content-encoding": coding }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(userAgent === undefined ? {} : { "user-agent": userAgent }),
    },
    body: compress(coding, Buffer.from(body)),
  });
}

function compress(coding: Coding, body: Buffer): Uint8Array<ArrayBuffer> {
  const compressed = {
    identity: () => body,
    gzip: () => gzipSync(body),
    zstd: () => zstdCompressSync(body),
    deflate: () => deflateSync(body),
  }[coding]();
  return new Uint8Array(compressed);
}

/** OTLP/JSON of a protobuf request, spelled in one of many ways; which one, `seed` decides. */
export function toJson(signal: "logs" | "traces", body: Uint8Array, seed: number): string {
  const type = signal === "logs" ? ExportLogsServiceRequest : ExportTraceServiceRequest;
  return emitJson(type.decode(body), seed);
}

export interface LoadOptions {
  /** Where to send now: asked for each try. */
  readonly url: () => string;
  /** Body of request number `n`: no two are equal. */
  readonly body: (n: number) => Uint8Array;
  readonly senders: number;
  /** Request number `n` was answered 200. */
  readonly onAcknowledged?: (n: number) => void;
  /** Milliseconds before the next request; none without it. */
  readonly pauseMs?: () => number;
}

/**
 * Senders that send one request after the other, each until it is answered 200, as a collector with a queue does:
 * over restarts, resets and refusals.
 */
export class Load {
  /** Requests that were answered 200. */
  acknowledged = 0;
  /** Tries that were not. */
  failures = 0;
  readonly #options: LoadOptions;
  readonly #senders: Promise<void>[];
  #next = 0;
  #stopped = false;
  #isAbandoned = false;

  constructor(options: LoadOptions) {
    this.#options = options;
    this.#senders = Array.from({ length: options.senders }, () => this.#run());
  }

  /** Resolves when `count` more requests have been answered. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged + count;
    while (this.acknowledged < wanted) await setTimeout(5);
  }

  /** Sends nothing new; resolves when all that was begun has been answered. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#senders);
  }

  /** Sends nothing any more, also what is not answered yet. */
  async abandon(): Promise<void> {
    this.#isAbandoned = true;
    await this.stop();
  }

  async #run(): Promise<void> {
    while (!this.#stopped) {
      const { body: bodyOf, onAcknowledged, pauseMs } = this.#options;
      const n = this.#next++;
      const body = bodyOf(n);
      while (!(await this.#try(body))) {
        if (this.#isAbandoned) return;
        this.failures++;
        await setTimeout(20);
      }
      this.acknowledged++;
      onAcknowledged?.(n);
      if (pauseMs !== undefined) await setTimeout(pauseMs());
    }
  }

  async #try(body: Uint8Array): Promise<boolean> {
    try {
      const response = await send(this.#options.url(), body);
      await response.arrayBuffer();
      return response.status === 200;
    } catch {
      return false; // the connection broke: whether the batch was taken, nobody knows
    }
  }
}
