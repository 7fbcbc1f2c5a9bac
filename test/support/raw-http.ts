import { connect } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { ConnectionOptions } from "node:tls";

export interface RawResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

/** A connection that sends exactly the bytes it is told to, and reads answers one by one. */
export class RawConnection {
  readonly socket: Socket;
  #received = Buffer.alloc(0);
  #wake = () => {};
  #closed = false;

  constructor(port: number, tls?: ConnectionOptions) {
    this.socket =
      tls === undefined
        ? connect(port, "127.0.0.1")
        : connectTls({ port, host: "127.0.0.1", servername: "localhost", ...tls });
    this.socket.on("data", (chunk: Buffer) => {
      this.#received = Buffer.concat([this.#received, chunk]);
      this.#wake();
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      this.#closed = true;
      this.#wake();
    });
  }

  send(...parts: (string | Buffer)[]): void {
    for (const part of parts) this.socket.write(part);
  }

  /** The next answer, interim ones (100) included; undefined when the connection closes before it is complete. */
  async response(): Promise<RawResponse | undefined> {
    for (;;) {
      const response = this.#take();
      if (response !== undefined) return response;
      if (this.#closed) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Resolves when the server has closed the connection; returns what came that was not read. */
  async closed(): Promise<Buffer> {
    while (!this.#closed) await new Promise<void>((resolve) => (this.#wake = resolve));
    return this.#received;
  }

  close(): void {
    this.socket.destroy();
  }

  #take(): RawResponse | undefined {
    const end = this.#received.indexOf("\r\n\r\n");
    if (end < 0) return undefined;
    const [line, ...fields] = this.#received.toString("latin1", 0, end).split("\r\n");
    const headers = Object.fromEntries(
      fields.map((field) => [
        field.slice(0, field.indexOf(":")).toLowerCase(),
        field.slice(field.indexOf(":") + 1).trim(),
      ]),
    );
    const length = Number(headers["content-length"] ?? 0);
    if (this.#received.length < end + 4 + length) return undefined;
    const body = this.#received.subarray(end + 4, end + 4 + length);
    this.#received = this.#received.subarray(end + 4 + length);
    return { status: Number(line?.split(" ")[1]), headers, body };
  }
}

/** A request as bytes, without its body unless one is given; Content-Length is added for a body. */
export function requestBytes(
  method: string,
  path: string,
  headers: Record<string, string | number> = {},
  body?: string | Buffer,
): Buffer {
  const all: Record<string, string | number> = { Host: "localhost", ...headers };
  if (body !== undefined) all["Content-Length"] ??= Buffer.byteLength(body);
  const head = `${method} ${path} HTTP/1.1\r\n${Object.entries(all)
    .map(([name, value]) => `${name}: ${value}\r\n`)
    .join("")}\r\n`;
  return Buffer.concat([Buffer.from(head), Buffer.from(body ?? "")]);
}

/** One request on a connection of its own. */
export async function exchange(
  port: number,
  bytes: Buffer,
  tls?: ConnectionOptions,
): Promise<RawResponse | undefined> {
  const connection = new RawConnection(port, tls);
  connection.send(bytes);
  const response = await connection.response();
  connection.close();
  return response;
}

/** Waits until `condition` holds, for what has no promise of its own. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}
