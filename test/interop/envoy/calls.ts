import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { FORGED, type Login } from "./certificates.ts";
import {
  Client,
  type Request,
  type Seen,
  speakPlainText,
  tcp,
  tcpDirect,
  withoutCertificate,
} from "./client.ts";
import type { Proxies } from "./proxies.ts";
import type { KindOfCall } from "./kinds.ts";

/** Calls under way at a time. */
const CONCURRENCY = 24;
/** When a client goes away that gets no answer: the request has reached the application by then. */
const LEAVES_AFTER_MS = 400;

/** A call that was made, and what its maker saw. */
export interface Call extends Request {
  readonly kind: KindOfCall;
  readonly seen: Seen;
}

/** Where calls go, and what they need to be made. */
export interface Caller {
  readonly proxies: Proxies;
  readonly files: string;
  readonly login: Login;
}

/** Makes calls of all kinds, mixed, `share` of the number that each kind has, and returns what came of each. */
export async function makeCalls(
  caller: Caller,
  kinds: readonly KindOfCall[],
  share: number,
  signal: AbortSignal,
): Promise<Call[]> {
  const mixed = kinds
    .flatMap((kind) =>
      Array.from({ length: Math.ceil(kind.count * share) }, (_, n) => ({
        kind,
        n,
        at: (n + 0.5) / kind.count,
      })),
    )
    .sort((a, b) => a.at - b.at);
  const client = new Client(caller.proxies.outbound);
  const calls: Call[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < mixed.length) {
      signal.throwIfAborted();
      const { kind, n } = mixed[next++]!;
      const request = requestOf(kind, n, caller.login);
      calls.push({ ...request, kind, seen: await make(client, caller, kind, request) });
    }
  };
  try {
    await Promise.all(Array.from({ length: CONCURRENCY }, worker));
  } finally {
    client.close();
  }
  return calls;
}

function requestOf(kind: KindOfCall, n: number, login: Login): Request {
  const bearer = kind.token?.(login);
  return {
    id: randomUUID(),
    method: kind.method ?? "GET",
    path: kind.path.replace("{n}", String(n)).replace("{size}", String((n * 37) % 5000)),
    headers: {
      ...kind.headers,
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
    },
    body: kind.body === true ? 1 + ((n * 61) % 9000) : 0,
  };
}

function make(
  client: Client,
  { proxies, files }: Caller,
  kind: KindOfCall,
  request: Request,
): Promise<Seen> {
  const tls = join(files, "tls");
  switch (kind.by) {
    case "http":
      return client.http(request);
    case "leaving":
      return client.http(request, LEAVES_AFTER_MS);
    case "grpc":
      return client.grpc(request);
    case "mallory":
      return client.direct(proxies.inbound, tls, "mallory", request);
    case "tcp":
      return tcp(proxies.outboundTcp, request.body);
    case "tcp-mallory":
      return tcpDirect(proxies.inboundTcp, tls, "mallory", request.body);
    case "no-certificate":
      return withoutCertificate(proxies.inbound, tls);
    case "forged-certificate":
      return tcpDirect(proxies.inbound, tls, FORGED, 0);
    case "plain-text":
      return speakPlainText(proxies.inbound);
    case "no-http":
      return speakPlainText(proxies.outbound);
  }
}
