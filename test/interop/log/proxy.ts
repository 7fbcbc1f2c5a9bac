import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Tampering } from "./tampering.ts";

/**
 * A log between a checker and ours: hands everything through, but one thing changed when told so, and always the same checkpoint, so
 * that all who read it see one tree however much is recorded meanwhile.
 */
export class Proxy {
  readonly #target: string;
  readonly #checkpoint: Buffer;
  readonly #server: Server;
  #tampering: Tampering | null = null;
  #changed = 0;
  #failed: string[] = [];

  private constructor(target: string, checkpoint: string) {
    this.#target = target;
    this.#checkpoint = Buffer.from(checkpoint);
    this.#server = createServer((request, response) => {
      this.#answer(request.url!).then(
        ({ status, body }) => response.writeHead(status).end(body),
        (error: unknown) => {
          this.#failed.push(`${request.url}: ${String(error)}`);
          response.writeHead(502).end();
        },
      );
    });
  }

  /** Listens in front of the log at `target`. */
  static async start(target: string, checkpoint: string): Promise<Proxy> {
    const proxy = new Proxy(target, checkpoint);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Runs `act` while `tampering` is in force. Rejects when nothing that was asked for was changed by it, or the log itself refused anything. */
  async during<T>(tampering: Tampering | null, act: () => Promise<T>): Promise<T> {
    this.#tampering = tampering;
    [this.#changed, this.#failed] = [0, []];
    try {
      const result = await act();
      if (this.#failed.length > 0) throw new Error(`the log refused: ${this.#failed.join("; ")}`);
      if (tampering !== null && this.#changed === 0)
        throw new Error(`${tampering.path} was never asked for, or not changed`);
      return result;
    } finally {
      this.#tampering = null;
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #answer(url: string): Promise<{ status: number; body: Uint8Array }> {
    const path = url.slice(1);
    const { status, body } =
      path === "checkpoint"
        ? { status: 200, body: this.#checkpoint }
        : await this.#fetch(`${this.#target}/${path}`);
    if (status !== 200) this.#failed.push(`${path}: ${status}`);
    if (this.#tampering?.path !== path) return { status, body };
    const changed = this.#tampering.change(body);
    if (!body.equals(changed)) this.#changed++;
    return { status, body: changed };
  }

  async #fetch(url: string): Promise<{ status: number; body: Buffer }> {
    const response = await fetch(url);
    return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
  }
}
