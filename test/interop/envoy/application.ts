import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { setTimeout } from "node:timers/promises";

/** How long the answer to /orders/stream takes, and the time between two parts of it. */
export const STREAM = { parts: 12, everyMs: 250 } as const;

/** Ports of what stands behind the server's proxy. */
export interface ApplicationPorts {
  readonly http: number;
  readonly grpc: number;
  readonly ledger: number;
  readonly policyEngine: number;
}

/** The application behind the server's proxy: HTTP/1.1, gRPC, plain TCP, and the policy engine that the proxy asks. */
export class Application {
  readonly ports: ApplicationPorts;
  readonly #servers: readonly Server[];
  readonly #close: () => void;

  private constructor(ports: ApplicationPorts, servers: readonly Server[], close: () => void) {
    this.ports = ports;
    this.#servers = servers;
    this.#close = close;
  }

  static async start(): Promise<Application> {
    const flaky = new Set<string>();
    const http = createServer((request, response) => void answer(request, response, flaky));
    const grpc = createHttp2Server();
    grpc.on("stream", (stream, headers) => void answerGrpc(stream, String(headers[":path"])));
    const ledger = createTcpServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => undefined);
      socket.pipe(socket); // what comes goes back
    });
    const policyEngine = createServer(decide);
    const servers: Server[] = [http, grpc, ledger, policyEngine];
    const sessions = new Set<{ destroy: () => unknown }>();
    for (const server of servers)
      server.on("connection", (socket) => {
        sessions.add(socket);
        socket.on("close", () => sessions.delete(socket));
      });
    const ports: number[] = [];
    for (const server of servers) {
      server.listen(0, "127.0.0.1");
      await once(server, "listening");
      ports.push((server.address() as AddressInfo).port);
    }
    const [httpPort, grpcPort, ledgerPort, policyPort] = ports as [number, number, number, number];
    return new Application(
      { http: httpPort, grpc: grpcPort, ledger: ledgerPort, policyEngine: policyPort },
      servers,
      () => sessions.forEach((socket) => socket.destroy()),
    );
  }

  close(): void {
    for (const server of this.#servers) server.close();
    this.#close();
  }
}

/** What is asked for stands in the query: `bytes` of answer, `status`. */
async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  flaky: Set<string>,
): Promise<void> {
  const { pathname, searchParams } = new URL(request.url!, "http://application");
  const id = String(request.headers["x-call"]);
  request.on("error", () => undefined);
  for await (const _ of request); // the whole of it, before the answer
  if (pathname === "/reports/slow" || pathname === "/orders/abandoned") return; // whoever asked gives up
  if (pathname === "/orders/flaky" && !flaky.has(id)) {
    flaky.add(id);
    response.writeHead(503).end("try again");
  } else if (pathname === "/orders/stream") {
    response.writeHead(200);
    for (let part = 0; part < STREAM.parts; part++) {
      response.write("x".repeat(100));
      await setTimeout(STREAM.everyMs);
    }
    response.end();
  } else {
    response.writeHead(Number(searchParams.get("status") ?? 200));
    response.end("x".repeat(Number(searchParams.get("bytes") ?? 0)));
  }
}

/** Sends one message back, then the status that the method's name asks for. */
async function answerGrpc(stream: ServerHttp2Stream, path: string): Promise<void> {
  stream.on("error", () => undefined);
  stream.on("wantTrailers", () =>
    stream.sendTrailers({ "grpc-status": path.endsWith("/Refuse") ? "7" : "0" }),
  );
  for await (const _ of stream);
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  stream.end(Buffer.from([0, 0, 0, 0, 3, 1, 2, 3]));
}

/** Refuses, redirects or breaks down as the header says. */
function decide({ headers }: IncomingMessage, response: ServerResponse): void {
  const approval = headers["x-approval"];
  if (approval === "given") response.writeHead(200).end();
  else if (approval === "elsewhere") response.writeHead(302, { location: "/login" }).end();
  else if (approval === "broken") response.writeHead(500).end();
  else response.writeHead(403).end("no approval");
}
