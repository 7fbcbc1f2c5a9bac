import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { buffer } from "node:stream/consumers";
import { zstdDecompressSync } from "node:zlib";

/** A request that went by, and what meshproof answered. */
export interface Passage {
  /** Digest of path and body, as it was before compression: equal for requests of equal bytes. */
  readonly key: string;
  readonly arrivedAt: number;
  /** Null while there is no answer, and when there was none. */
  status: number | null;
  answeredAt: number;
  retryAfterSeconds: number | null;
}

/** What stands between a Collector and meshproof, at an address that stays the same when meshproof gets another: writes down what goes by. */
export class Wiretap {
  readonly passages: Passage[] = [];
  /** While true, meshproof gets each request, and its answer is thrown away with the connection. */
  losesAnswers = false;
  readonly #target: () => string;
  readonly #server: Server;

  private constructor(target: () => string) {
    this.#target = target;
    this.#server = createServer((request, response) => {
      // The line is broken when meshproof is away: the Collector sees the connection end.
      this.#pass(request, response).catch(() => request.socket.destroy());
    });
  }

  /** `target` says where meshproof listens now. */
  static async start(target: () => string): Promise<Wiretap> {
    const wiretap = new Wiretap(target);
    await new Promise<void>((resolve) => wiretap.#server.listen(0, "127.0.0.1", resolve));
    return wiretap;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Requests that were acknowledged, by key: how often each was. */
  get acknowledged(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const { key, status } of this.passages)
      if (status === 200) counts.set(key, (counts.get(key) ?? 0) + 1);
    return counts;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #pass(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await buffer(request);
    const passage: Passage = {
      key: keyOf(request, body),
      arrivedAt: performance.now(),
      status: null,
      answeredAt: 0,
      retryAfterSeconds: null,
    };
    this.passages.push(passage);
    const headers: Record<string, string> = {};
    for (const name of ["content-type", "content-encoding", "user-agent"])
      if (typeof request.headers[name] === "string") headers[name] = request.headers[name];
    const url = this.#target() + request.url;
    const answer = await fetch(url, { method: "POST", headers, body: new Uint8Array(body) });
    const answerBody = Buffer.from(await answer.arrayBuffer());
    const retryAfter = answer.headers.get("retry-after");
    passage.status = answer.status;
    passage.answeredAt = performance.now();
    passage.retryAfterSeconds = retryAfter === null ? null : Number(retryAfter);
    if (this.losesAnswers) {
      request.socket.destroy();
      return;
    }
    response.statusCode = answer.status;
    for (const name of ["content-type", "retry-after"]) {
      const value = answer.headers.get(name);
      if (value !== null) response.setHeader(name, value);
    }
    response.end(answerBody);
  }
}

function keyOf({ url, headers }: IncomingMessage, body: Buffer): string {
  const plain = headers["content-encoding"] === "zstd" ? zstdDecompressSync(body) : body;
  return createHash("sha256").update(`${url}\n`).update(plain).digest("base64");
}
