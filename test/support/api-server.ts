import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { main } from "../../src/cli/index.ts";

/** What was asked of a fake API. */
export interface Asked {
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  readonly authorization: string | undefined;
}

export interface FakeApi {
  readonly url: string;
  readonly port: number;
  /** Every request so far. */
  readonly asked: Asked[];
}

export type Answer = (asked: Asked, response: ServerResponse, request: IncomingMessage) => void;

/** An HTTP server on a free port that says what a test tells it to, until the test ends. */
export async function fakeApi(
  t: { teardown(end: () => unknown): void },
  answer: Answer,
): Promise<FakeApi> {
  const asked: Asked[] = [];
  const listener: RequestListener = (request, response) => {
    const { pathname, searchParams } = new URL(request.url as string, "http://localhost");
    const one: Asked = {
      path: pathname,
      query: Object.fromEntries(searchParams),
      authorization: request.headers.authorization,
    };
    asked.push(one);
    answer(one, response, request);
  };
  const server = createServer(listener).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  t.teardown(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, port, asked };
}

/** Answers with JSON. */
export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export interface CommandRun {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process, on a terminal of 80 columns without colours. */
export async function runHere(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CommandRun> {
  let out = "";
  let err = "";
  const streams = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  const code = await main(args, streams, env);
  return { code, out, err };
}
