/**
 * Both ends of the mesh in compose.yaml, in one program that needs nothing but Node: the application behind the server's proxy, the policy engine that this
 * proxy asks, and a frontend that calls through the client's proxy without end.
 */
import { createPrivateKey, randomUUID, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import { setTimeout } from "node:timers/promises";

/** As config/envoy-client.yaml and config/envoy-server.yaml have them. */
const PORTS = { outbound: 15001, application: 8080, policyEngine: 9191 } as const;
const AUTHORITY = "orders.shop.example";
const ISSUER = "https://login.shop.example";
const TOKEN_SECONDS = 300;
const CALL_TIMEOUT_MS = 20_000;

/** One kind of call that the frontend makes, and how often among others. */
interface Call {
  readonly weight: number;
  readonly method: string;
  readonly path: () => string;
  readonly headers?: () => Readonly<Record<string, string>>;
}

const USERS = ["ann", "ben", "carla", "dmitri"] as const;

const CALLS: readonly Call[] = [
  { weight: 40, method: "GET", path: () => `/orders/${upTo(5000)}` },
  { weight: 12, method: "POST", path: () => "/orders" },
  { weight: 12, method: "GET", path: () => "/account", headers: () => bearer(one(USERS)) },
  { weight: 10, method: "GET", path: () => `/search?q=shoes&page=${upTo(9)}` },
  // What a policy in shadow mode would refuse.
  { weight: 6, method: "GET", path: () => "/reports/daily" },
  // Refunds want an approval, of which the policy engine hears.
  {
    weight: 4,
    method: "POST",
    path: () => `/refunds?order=${upTo(5000)}`,
    headers: () => ({ "x-approval": "given" }),
  },
  { weight: 3, method: "POST", path: () => `/refunds?order=${upTo(5000)}` },
  // What nobody may do, what the frontend may not, and who shows no token.
  { weight: 2, method: "DELETE", path: () => "/orders/purge" },
  { weight: 2, method: "GET", path: () => "/orders/internal/prices" },
  { weight: 2, method: "GET", path: () => "/account" },
  // The application's own errors.
  { weight: 3, method: "GET", path: () => "/orders/0" },
  { weight: 1, method: "GET", path: () => "/orders/broken" },
];

const WEIGHT = CALLS.reduce((sum, { weight }) => sum + weight, 0);

function upTo(count: number): number {
  return 1 + Math.floor(Math.random() * count);
}

function one<T>(values: readonly T[]): T {
  return values[Math.floor(Math.random() * values.length)]!;
}

function anyCall(): Call {
  let place = Math.random() * WEIGHT;
  return CALLS.find(({ weight }) => (place -= weight) < 0) ?? CALLS[0]!;
}

const loginKey = createPrivateKey(readFileSync(process.env["DEMO_LOGIN_KEY"] ?? "login.key"));

/** A token of the mesh's login service. Source: RFC 7515, section 3.1; RFC 7518, section 3.4. */
function bearer(subject: string): Record<string, string> {
  const claims = {
    iss: ISSUER,
    aud: "shop",
    sub: subject,
    exp: Math.floor(Date.now() / 1000) + TOKEN_SECONDS,
  };
  const signed = [{ alg: "ES256", kid: "1", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const signature = sign("sha256", Buffer.from(signed), {
    key: loginKey,
    dsaEncoding: "ieee-p1363",
  });
  return { authorization: `Bearer ${signed}.${signature.toString("base64url")}` };
}

/** The application: says what it was asked for, a little later. */
function answer({ url, method }: IncomingMessage, response: ServerResponse): void {
  const status = url === "/orders/0" ? 404 : url === "/orders/broken" ? 500 : 200;
  void setTimeout(Math.random() * 20).then(() =>
    response
      .writeHead(status, { "content-type": "application/json" })
      .end(JSON.stringify({ status, method })),
  );
}

/** The policy engine of the filter ext_authz: a refund needs an approval. */
function decide({ headers }: IncomingMessage, response: ServerResponse): void {
  response.writeHead(headers["x-approval"] === "given" ? 200 : 403).end();
}

/** Calls through the client's proxy. Resolves with the status, or with the error's code where there was none. */
function call({ method, path, headers }: Call): Promise<number | string> {
  return new Promise((resolve) => {
    const outgoing = request(
      {
        host: "127.0.0.1",
        port: PORTS.outbound,
        method,
        path: path(),
        timeout: CALL_TIMEOUT_MS,
        headers: {
          host: AUTHORITY,
          "user-agent": "shop-frontend/1.0",
          "x-request-id": randomUUID(),
          ...headers?.(),
        },
      },
      (response) => {
        response.resume();
        response.on("end", () => resolve(response.statusCode ?? 0));
        response.on("error", () => resolve("cut off"));
      },
    );
    outgoing.on("timeout", () => outgoing.destroy(new Error("too late")));
    outgoing.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    outgoing.end();
  });
}

const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => stopping.abort());
const perSecond = Number(process.env["DEMO_CALLS_PER_SECOND"] ?? 10);
if (!(perSecond > 0 && perSecond <= 1000))
  throw new RangeError(`DEMO_CALLS_PER_SECOND: expected more than 0, at most 1000`);

const servers = [
  createServer(answer).listen(PORTS.application, "127.0.0.1"),
  createServer(decide).listen(PORTS.policyEngine, "127.0.0.1"),
];

let total = 0;
const seen = new Map<number | string, number>();
const report = setInterval(
  () => console.log(JSON.stringify({ calls: total, answers: Object.fromEntries(seen) })),
  60_000,
);
const underWay = new Set<Promise<void>>();
while (!stopping.signal.aborted) {
  const calling = call(anyCall()).then((status) => {
    total++;
    seen.set(status, (seen.get(status) ?? 0) + 1);
    underWay.delete(calling);
  });
  underWay.add(calling);
  await setTimeout(1000 / perSecond, undefined, { signal: stopping.signal }).catch(() => {});
}
clearInterval(report);
await Promise.all(underWay);
console.log(JSON.stringify({ calls: total, answers: Object.fromEntries(seen) }));
for (const server of servers) server.close();
for (const server of servers) server.closeAllConnections();
