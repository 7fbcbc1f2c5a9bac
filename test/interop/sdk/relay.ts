import { createHash } from "node:crypto";
import {
  createServer,
  type IncomingMessage,
  request,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";

/** A request that came through a relay. */
export interface Relayed {
  readonly path: string;
  readonly contentType: string;
  /** Content-Encoding; "none" without one. */
  readonly compression: string;
  /** First part of the User-Agent. */
  readonly userAgent: string;
  /** SHA-256 of the body as it came. */
  readonly digest: string;
  /** What was answered, 0 when nothing was. */
  readonly status: number;
  readonly body: Buffer;
  /** Whether the sender got the answer. */
  readonly isDelivered: boolean;
}

/** An HTTP proxy in front of the OTLP port that keeps its own, notes what comes, and can lose answers or be away. */
export class Relay {
  readonly relayed: Relayed[] = [];
  /** Loses the answer to each body that comes for the first time: meshproof has it, the sender does not know. */
  losesFirstAnswers = false;
  readonly #server: Server;
  readonly #target: () => number;
  readonly #seen = new Set<string>();
  #port = 0;

  private constructor(target: () => number) {
    this.#target = target;
    this.#server = createServer((incoming, outgoing) => {
      this.#pass(incoming, outgoing).catch(() => outgoing.destroy());
    });
  }

  /** `target` is asked for the port of meshproof for each request. */
  static async start(target: () => number): Promise<Relay> {
    const relay = new Relay(target);
    await relay.comeBack();
    return relay;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Connections are refused from now on. */
  async goAway(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** Listens again, on the port that it had. */
  async comeBack(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async #pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await bytesOf(incoming);
    const digest = createHash("sha256").update(body).digest("hex");
    // The body goes on whole, also where it came in chunks.
    const { host: _, "transfer-encoding": __, ...headers } = incoming.headers;
    const answer = await new Promise<IncomingMessage>((resolve, reject) =>
      request(
        {
          port: this.#target(),
          host: "127.0.0.1",
          method: incoming.method,
          path: incoming.url,
          headers: { ...headers, "content-length": body.length },
        },
        resolve,
      )
        .once("error", reject)
        .end(body),
    );
    const answerBody = await bytesOf(answer);
    const isLost = this.losesFirstAnswers && !this.#seen.has(digest);
    this.#seen.add(digest);
    this.relayed.push({
      path: incoming.url ?? "",
      contentType: headers["content-type"] ?? "",
      compression: headers["content-encoding"] ?? "none",
      userAgent: (headers["user-agent"] ?? "").split("/")[0]!,
      digest,
      status: answer.statusCode ?? 0,
      body: answerBody,
      isDelivered: !isLost,
    });
    if (isLost) outgoing.destroy();
    else outgoing.writeHead(answer.statusCode!, answer.headers).end(answerBody);
  }
}

async function bytesOf(stream: AsyncIterable<Buffer>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}
