import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { createServer as createTlsServer, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { promisify } from "node:util";
import { gunzip, inflate, zstdDecompress } from "node:zlib";
import { ExportLogsServiceRequest, ExportTraceServiceRequest, type Plain } from "./otlp-proto.ts";

/** A request that came to the next backend, decoded by code that shares nothing with the forwarder. */
export interface ReceivedRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly message: Plain;
  readonly atMs: number;
  /** What it was answered; 0 for nothing. */
  status: number;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
}

const DECODE = {
  gzip: promisify<Buffer, Buffer>(gunzip),
  deflate: promisify<Buffer, Buffer>(inflate),
  zstd: promisify<Buffer, Buffer>(zstdDecompress),
  identity: async (body: Buffer) => body,
} as const;

/** An OTLP/HTTP server that keeps what it gets and answers as it is told. */
export class NextBackend {
  readonly requests: ReceivedRequest[] = [];
  /** What to answer to the request with this number, from 0 on; null to never answer. By default all is accepted. */
  answer: (request: ReceivedRequest, number: number) => Answer | null = () => ({ status: 200 });
  readonly #server: Server;
  readonly #scheme: string;
  #port = 0;

  private constructor(server: Server, scheme: string) {
    this.#server = server;
    this.#scheme = scheme;
  }

  static async start(tls?: ServerOptions, port = 0): Promise<NextBackend> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    const backend = new NextBackend(server as Server, tls === undefined ? "http" : "https");
    server.on("request", (request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk: Buffer) => chunks.push(chunk));
      request.on("end", () => {
        const coding = (request.headers["content-encoding"] ?? "identity") as keyof typeof DECODE;
        void DECODE[coding](Buffer.concat(chunks)).then((body) => {
          const isLogs = request.url!.endsWith("logs");
          const oracle = isLogs ? ExportLogsServiceRequest : ExportTraceServiceRequest;
          const received: ReceivedRequest = {
            path: request.url!,
            headers: request.headers,
            message: oracle.decode(body),
            atMs: performance.now(),
            status: 0,
          };
          const answer = backend.answer(received, backend.requests.push(received) - 1);
          if (answer === null) return;
          received.status = answer.status;
          response.writeHead(answer.status, {
            "content-type": "application/x-protobuf",
            ...answer.headers,
          });
          response.end(answer.body);
        });
      });
    });
    await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
    backend.#port = (server.address() as AddressInfo).port;
    return backend;
  }

  get port(): number {
    return this.#port;
  }

  get url(): string {
    return `${this.#scheme}://127.0.0.1:${this.#port}`;
  }

  /** Every record that came, in all requests. */
  records(): ReceivedRecord[] {
    return this.requests.flatMap(({ message }) => recordsOf(message));
  }

  /** Those of the requests that were answered with 200. */
  accepted(): ReceivedRecord[] {
    return this.requests
      .filter(({ status }) => status === 200)
      .flatMap(({ message }) => recordsOf(message));
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}

export interface ReceivedRecord {
  readonly record: Plain;
  readonly resource: Plain;
  readonly scope: Plain;
  /** Attributes by key, of equal ones the last; numbers as decimal texts. */
  readonly attributes: Readonly<Record<string, unknown>>;
}

function recordsOf(message: Plain): ReceivedRecord[] {
  const list = (of: Plain, ...keys: string[]): Plain[] =>
    keys.flatMap((key) => (of[key] ?? []) as Plain[]);
  return list(message, "resourceLogs", "resourceSpans").flatMap((resource) =>
    list(resource, "scopeLogs", "scopeSpans").flatMap((scope) =>
      list(scope, "logRecords", "spans").map((record) => ({
        record,
        resource: (resource["resource"] ?? {}) as Plain,
        scope: (scope["scope"] ?? {}) as Plain,
        attributes: Object.fromEntries(
          ((record["attributes"] ?? []) as { key: string; value?: Plain }[]).map(
            ({ key, value = {} }) => [key, Object.values(value)[0]],
          ),
        ),
      })),
    ),
  );
}
