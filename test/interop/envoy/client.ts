import { once } from "node:events";
import { readFileSync } from "node:fs";
import { Agent, type ClientRequest, type IncomingMessage, request as httpRequest } from "node:http";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { connect as connectTls, type TLSSocket } from "node:tls";

export const AUTHORITY = "orders.shop.example";
export const USER_AGENT = "shop-web/1.4";
/** One message of three bytes in gRPC's framing. */
const GRPC_MESSAGE = Buffer.from([0, 0, 0, 0, 3, 7, 7, 7]);
const CALL_TIME_LIMIT_MS = 20_000;

/** A request that is to be sent. */
export interface Request {
  readonly id: string;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: number;
}

/** What the client saw of a call of its own. */
export interface Seen {
  /** Milliseconds since the epoch, before the first byte was sent and after the last one came. */
  readonly from: number;
  readonly to: number;
  /** 0 when there was no answer. */
  readonly status: number;
  readonly received: number;
  readonly sent: number;
  /** The ports of the connection, by `connectionOf`. */
  readonly connection: string;
}

/** A connection over loopback: a client's port alone is not enough, since it may be in use towards several ports at a time. */
export function connectionOf(clientPort: unknown, serverPort: unknown): string {
  return `${clientPort} to ${serverPort}`;
}

/** Ways to the service: through the client's proxy as applications go, or past it. */
export class Client {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 32 });
  readonly #outbound: number;
  #grpc: ClientHttp2Session | undefined;

  constructor(outbound: number) {
    this.#outbound = outbound;
  }

  /** HTTP/1.1 through the client's proxy. With `giveUpAfterMs` it goes away without an answer. */
  async http(request: Request, giveUpAfterMs = 0): Promise<Seen> {
    const outgoing = httpRequest({
      port: this.#outbound,
      host: "127.0.0.1",
      agent: this.#agent,
      method: request.method,
      path: request.path,
      headers: { host: AUTHORITY, ...headersOf(request) },
    });
    return exchange(outgoing, this.#outbound, request, giveUpAfterMs);
  }

  /** HTTP/1.1 by mutual TLS straight to the server's proxy, under another workload's certificate. */
  async direct(port: number, tls: string, workload: string, request: Request): Promise<Seen> {
    const socket = await handshake(port, tls, workload);
    const outgoing = httpRequest({
      createConnection: () => socket,
      method: request.method,
      path: request.path,
      headers: { host: AUTHORITY, ...headersOf(request) },
    });
    const seen = await exchange(outgoing, port, request, 0);
    socket.destroy();
    return seen;
  }

  /** gRPC, one message each way, through the client's proxy. */
  async grpc(request: Request): Promise<Seen> {
    this.#grpc ??= connectHttp2(`http://127.0.0.1:${this.#outbound}`);
    const from = Date.now();
    const stream = this.#grpc.request({
      ":method": "POST",
      ":path": request.path,
      ":authority": AUTHORITY,
      "content-type": "application/grpc",
      te: "trailers",
      ...headersOf(request),
    });
    stream.end(GRPC_MESSAGE);
    let status = 0;
    let received = 0;
    stream.once("response", (headers) => (status = Number(headers[":status"])));
    for await (const part of stream) received += (part as Buffer).length;
    const connection = connectionOf(this.#grpc.socket!.localPort, this.#outbound);
    return { from, to: Date.now(), status, received, sent: GRPC_MESSAGE.length, connection };
  }

  close(): void {
    this.#agent.destroy();
    this.#grpc?.destroy();
  }
}

/** Sends bytes to a port that gives them back, and ends. */
export async function tcp(port: number, size: number): Promise<Seen> {
  const from = Date.now();
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  return echo(socket, port, from, size);
}

/** The same by mutual TLS. */
export async function tcpDirect(
  port: number,
  tls: string,
  workload: string,
  size: number,
): Promise<Seen> {
  const from = Date.now();
  return echo(await handshake(port, tls, workload), port, from, size);
}

/** A TLS connection without a certificate: refused. */
export async function withoutCertificate(port: number, tls: string): Promise<Seen> {
  const from = Date.now();
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    servername: AUTHORITY,
    ca: pem(tls, "ca"),
    checkServerIdentity: () => undefined,
  });
  return ended(socket, port, from, 0);
}

/** Bytes that are neither TLS nor HTTP. */
export async function speakPlainText(port: number): Promise<Seen> {
  const from = Date.now();
  const socket = connect(port, "127.0.0.1");
  await once(socket, "connect");
  socket.write("GOOD DAY TO YOU\r\n\r\n");
  return ended(socket, port, from, 0);
}

function echo(socket: Socket, port: number, from: number, size: number): Promise<Seen> {
  socket.end(Buffer.alloc(size, "x"));
  return ended(socket, port, from, size);
}

/** What comes over a connection to `port` until it is closed. */
async function ended(socket: Socket, port: number, from: number, sent: number): Promise<Seen> {
  let received = 0;
  let { localPort } = socket;
  socket.on("connect", () => ({ localPort } = socket));
  socket.on("data", (part: Buffer) => (received += part.length));
  // What refuses a connection resets it, as often as not.
  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  socket.on("error", () => undefined);
  socket.setTimeout(CALL_TIME_LIMIT_MS, () => socket.destroy());
  await closed;
  const connection = connectionOf(localPort, port);
  return { from, to: Date.now(), status: 0, received, sent, connection };
}

async function handshake(port: number, tls: string, workload: string): Promise<TLSSocket> {
  const socket = connectTls({
    port,
    host: "127.0.0.1",
    servername: AUTHORITY,
    ca: pem(tls, "ca"),
    cert: pem(tls, workload),
    key: readFileSync(join(tls, `${workload}.key`)),
    checkServerIdentity: () => undefined, // the name in an X.509-SVID is a URI
  });
  await once(socket, "secureConnect");
  return socket;
}

function pem(tls: string, name: string): Buffer {
  return readFileSync(join(tls, `${name}.pem`));
}

function headersOf({ id, headers }: Request): Record<string, string> {
  return { "user-agent": USER_AGENT, "x-request-id": id, "x-call": id, ...headers };
}

async function exchange(
  outgoing: ClientRequest,
  port: number,
  { body }: Request,
  giveUpAfterMs: number,
): Promise<Seen> {
  const from = Date.now();
  let connection = "";
  outgoing.once("socket", (socket) => {
    const note = (): void => void (connection = connectionOf(socket.localPort, port));
    if (socket.connecting) socket.once("connect", note);
    else note();
  });
  if (body > 0) outgoing.end(Buffer.alloc(body, "x"));
  else outgoing.end();
  if (giveUpAfterMs > 0) {
    outgoing.on("error", () => undefined);
    await setTimeout(giveUpAfterMs);
    outgoing.destroy();
    return { from, to: Date.now(), status: 0, received: 0, sent: body, connection };
  }
  const [response] = (await once(outgoing, "response")) as [IncomingMessage];
  let received = 0;
  for await (const part of response) received += (part as Buffer).length;
  return { from, to: Date.now(), status: response.statusCode!, received, sent: body, connection };
}
