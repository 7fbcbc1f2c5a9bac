import { X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:net";
import t from "tap";
import type { Test } from "tap";
import { certificateName } from "../../src/core/callers.ts";
import { createHostGuard, hostOf, isLoopback, peerAddress } from "../../src/core/hosts.ts";
import { createHttpServer } from "../../src/core/http.ts";
import type { HttpRoutes, HttpServerOptions } from "../../src/core/http.ts";
import { MeshproofError } from "../../src/core/errors.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { exchange, RawConnection, requestBytes } from "../support/raw-http.ts";

const pem = (name: string) => readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));

async function start(
  t: Test,
  options: Partial<HttpServerOptions>,
  routes: (routes: HttpRoutes) => void = () => undefined,
) {
  const server = createHttpServer({ host: "127.0.0.1", port: 0, logger: silentLogger, ...options });
  routes(server.routes);
  t.teardown(() => server.close(0));
  return { server, ...(await server.listen()) };
}

t.test("addresses of loopback are told from others", async (t) => {
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1"])
    t.ok(isLoopback(host), host);
  for (const host of [
    "",
    "0.0.0.0",
    "::",
    "10.0.0.1",
    "127.0.0.1.example",
    "localhost.example",
    "128.0.0.1",
  ])
    t.notOk(isLoopback(host), host);
});

t.test("the host of a Host header is read without port and brackets, or not at all", async (t) => {
  for (const [header, host] of [
    ["Example.COM", "example.com"],
    ["a:4318", "a"],
    ["[::1]:4318", "::1"],
    ["[FE80::1]", "fe80::1"],
    ["127.0.0.1:1", "127.0.0.1"],
    ["a.", "a."],
  ] as const)
    t.equal(hostOf(header), host);
  for (const header of [
    "",
    ":80",
    "a:b",
    "a:",
    "::1",
    "[::1",
    "a b",
    "a/b",
    "user@a",
    "[a]:80:90",
    "a:123456",
  ])
    t.equal(hostOf(header), undefined, header);
});

t.test("peers over IPv6 sockets keep their IPv4 address", async (t) => {
  t.equal(peerAddress("::ffff:10.1.2.3"), "10.1.2.3");
  t.equal(peerAddress("2001:db8::1"), "2001:db8::1");
  t.equal(peerAddress("::ffff:abcd"), "::ffff:abcd");
  t.equal(peerAddress(undefined), "unknown");
});

t.test("a listener on loopback answers only to names that are its own or allowed", async (t) => {
  const refused = { code: "HOST_REFUSED" };
  const guard = createHostGuard("127.0.0.2", undefined);
  for (const header of [
    "localhost",
    "localhost:4318",
    "127.0.0.1",
    "[::1]:1",
    "127.0.0.2:4318",
    "LocalHost",
  ])
    t.doesNotThrow(() => guard(header), header);
  for (const header of [
    "evil.example",
    "localhost.evil.example",
    "evil.example:4318",
    "127.0.0.3",
    "0.0.0.0",
  ])
    t.throws(() => guard(header), refused, header);
  for (const header of [undefined, "", "a b"])
    t.throws(() => guard(header), { code: "BAD_REQUEST" });
  t.throws(() => guard("evil.example"), refused, "also after one that was allowed");

  const configured = createHostGuard("localhost", [
    "collector.example",
    "[2001:db8::1]:4318",
    "2001:db8::2",
  ]);
  for (const header of [
    "collector.example:80",
    "COLLECTOR.example",
    "[2001:db8::1]",
    "[2001:db8::2]:1",
    "127.0.0.1",
  ])
    t.doesNotThrow(() => configured(header), header);
  t.throws(() => configured("other.example"), refused);
});

t.test("beyond loopback any name is answered unless a list says otherwise", async (t) => {
  t.doesNotThrow(() => createHostGuard("0.0.0.0", undefined)("any.example"));
  t.throws(() => createHostGuard("0.0.0.0", ["mine.example"])("any.example"), {
    code: "HOST_REFUSED",
  });
  t.doesNotThrow(() => createHostGuard("0.0.0.0", ["mine.example"])("mine.example:4318"));
  t.doesNotThrow(() => createHostGuard("127.0.0.1", ["*"])("any.example"));
});

t.test(
  "a certificate is named by its one SPIFFE ID, else its common name, else its fingerprint",
  async (t) => {
    t.equal(
      certificateName(new X509Certificate(pem("client-spiffe"))),
      "spiffe://cluster.example/ns/orders/sa/collector",
    );
    t.equal(certificateName(new X509Certificate(pem("client-name"))), "edge collector");
    t.throws(() => certificateName(new X509Certificate(pem("client-two-ids"))), {
      code: "UNAUTHENTICATED",
    });
    const bare = { subject: "O=Example", fingerprint256: "AB:CD" };
    t.equal(certificateName({ ...bare, subjectAltName: undefined }), "sha256:abcd");
    t.equal(
      certificateName({ ...bare, subjectAltName: "DNS:a, URI:https://x" }),
      "sha256:abcd",
      "another URI is no SPIFFE ID",
    );
    t.equal(
      certificateName({ ...bare, subjectAltName: 'DNS:"a, URI:spiffe://forged/x"' }),
      "sha256:abcd",
      "a name within quotes is one name",
    );
    t.equal(
      certificateName({
        ...bare,
        subjectAltName:
          'DNS:"a\\", URI:spiffe://forged/x", IP Address:10.0.0.1, URI:spiffe://true/y',
      }),
      "spiffe://true/y",
    );
  },
);

t.test(
  "the Host header is checked before anything else, and its absence is an error",
  async (t) => {
    const { port } = await start(t, {}, (routes) => routes.get("/", async () => "fine"));
    t.equal((await exchange(port, requestBytes("GET", "/")))?.status, 200);
    const refused = await exchange(
      port,
      requestBytes("GET", "/", { Host: `rebound.example:${port}` }),
    );
    t.equal(refused?.status, 403);
    t.match(JSON.parse(String(refused?.body)), {
      error: { code: "HOST_REFUSED", message: /got "rebound.example"/ },
    });
    t.equal(refused?.headers["content-type"], "application/json; charset=utf-8");
    t.equal(refused?.headers["cache-control"], "no-store");
    t.equal((await exchange(port, Buffer.from("GET / HTTP/1.1\r\n\r\n")))?.status, 400);
  },
);

t.test("of two Host headers none counts, and an absolute target outranks the header", async (t) => {
  const { port } = await start(t, {}, (routes) => routes.get("/", async () => "fine"));
  const ask = (target: string, hosts: string) =>
    exchange(port, Buffer.from(`GET ${target} HTTP/1.1\r\n${hosts}\r\n`));
  const twice = await ask("/", "Host: localhost\r\nhOST: rebound.example\r\n");
  t.equal(twice?.status, 400);
  t.match(String(twice?.body), /Host: expected one such header, got 2/);
  t.equal((await ask("http://localhost/", "Host: localhost\r\n"))?.status, 200);
  const absolute = await ask("http://rebound.example/", "Host: localhost\r\n");
  t.equal(absolute?.status, 403);
  t.match(String(absolute?.body), /got .{1,2}rebound.example/);
});

t.test("a wrong method is 405 with what is allowed, on paths with parameters too", async (t) => {
  const { port } = await start(t, {}, (routes) => {
    routes.get("/things/:id/part.x", async () => "fine");
    routes.post("/things/:id/part.x", async () => "fine");
    routes.get("/files/*", async () => "fine");
  });
  for (const [method, path, status, allow] of [
    ["GET", "/things/1/part.x", 200, undefined],
    ["POST", "/things/1/part.x", 200, undefined],
    ["DELETE", "/things/1/part.x?q", 405, "GET, HEAD, POST"],
    ["DELETE", "/things/1/partyx", 404, undefined],
    ["DELETE", "/things/1/2/part.x", 404, undefined],
    ["POST", "/files/a/b", 405, "GET, HEAD"],
    ["M-SEARCH", "/files/a", 405, "GET, HEAD"],
    ["GET", "/files", 404, undefined],
  ] as const) {
    const response = await exchange(port, requestBytes(method, path));
    t.equal(response?.status, status, `${method} ${path}`);
    t.equal(response?.headers["allow"], allow);
    if (status === 405)
      t.match(JSON.parse(String(response?.body)), { error: { code: "METHOD_NOT_ALLOWED" } });
  }
});

t.test("routes that are open to all need no token; the others need a role", async (t) => {
  const tokens = {
    find: (token: string) =>
      token === "r"
        ? ({ name: "r", role: "reader" } as const)
        : token === "s"
          ? ({ name: "s", role: "sender" } as const)
          : null,
  };
  const { port } = await start(t, { access: { tokens, roles: ["reader"] } }, (routes) => {
    routes.get("/open", { config: { public: true } }, async (request) => String(request.caller));
    routes.get("/closed", async (request) => request.caller?.name);
  });
  t.equal((await exchange(port, requestBytes("GET", "/open")))?.body.toString(), "null");
  t.equal((await exchange(port, requestBytes("GET", "/closed")))?.status, 401);
  const wrongRole = requestBytes("GET", "/closed", { Authorization: "Bearer s" });
  const refused = await exchange(port, wrongRole);
  t.equal(refused?.status, 403);
  t.match(JSON.parse(String(refused?.body)), { error: { code: "FORBIDDEN" } });
  t.equal(
    (
      await exchange(port, requestBytes("GET", "/closed", { Authorization: "Bearer r" }))
    )?.body.toString(),
    "r",
  );
});

t.test("nothing is open beyond loopback without tokens or client certificates", async (t) => {
  const options = {
    port: 0,
    logger: silentLogger,
    access: { tokens: null, roles: ["sender"] as const },
  };
  for (const host of ["0.0.0.0", "::", "10.0.0.1", "name.example"])
    t.throws(() => createHttpServer({ ...options, host }), {
      code: "CONFIG_INVALID",
      message: /tokens or client certificates/,
    });
  t.throws(
    () =>
      createHttpServer({
        ...options,
        host: "0.0.0.0",
        tls: { certificate: pem("server"), key: pem("server-key") },
      }),
    { code: "CONFIG_INVALID" },
    "TLS alone does not say who asks",
  );
  t.doesNotThrow(() =>
    createHttpServer({
      ...options,
      host: "0.0.0.0",
      tls: { certificate: pem("server"), key: pem("server-key"), clientAuthorities: pem("ca") },
    }),
  );
  t.doesNotThrow(
    () => createHttpServer({ host: "0.0.0.0", port: 0, logger: silentLogger }),
    "health and metrics ask nobody",
  );
});

t.test(
  "a certificate and a key that do not fit are a configuration error, a port that is taken is LISTEN_FAILED",
  async (t) => {
    t.throws(
      () =>
        createHttpServer({
          host: "127.0.0.1",
          port: 0,
          logger: silentLogger,
          tls: { certificate: pem("server"), key: pem("client-name-key") },
        }),
      { code: "CONFIG_INVALID", message: /expected a PEM certificate and the key/ },
    );
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as { port: number };
    await t.rejects(start(t, { port }), {
      code: "LISTEN_FAILED",
      message: new RegExp(`127.0.0.1:${port}`),
    });
    holder.close();
  },
);

t.test("what is no HTTP, or too much of it, is answered and the connection closed", async (t) => {
  const { port } = await start(t, { headersTimeoutMs: 100, requestTimeoutMs: 100 });
  for (const [bytes, status, code] of [
    ["nonsense\r\n\r\n", 400, "BAD_REQUEST"],
    [
      `GET / HTTP/1.1\r\nHost: localhost\r\nLong: ${"x".repeat(20_000)}\r\n\r\n`,
      431,
      "HEADERS_TOO_LARGE",
    ],
    [
      "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
      400,
      "BAD_REQUEST",
    ],
    ["GET / HTTP/1.1\r\nHost: local", 503, "UNAVAILABLE"], // and then nothing: a slow sender
  ] as const) {
    const connection = new RawConnection(port);
    connection.send(bytes);
    const response = await connection.response();
    t.equal(response?.status, status, code);
    t.equal(JSON.parse(String(response?.body)).error.code, code);
    t.equal(response?.headers["connection"], "close");
    t.equal(response?.headers["retry-after"], status === 503 ? "5" : undefined);
    await connection.closed();
  }
});

t.test(
  "TLS alone encrypts: whoever trusts our authority reaches us, over TLS 1.2 and 1.3 and nothing older",
  async (t) => {
    const { port } = await start(
      t,
      { tls: { certificate: pem("server"), key: pem("server-key") } },
      (routes) => routes.get("/", async () => "fine"),
    );
    for (const version of ["TLSv1.2", "TLSv1.3"] as const)
      t.equal(
        (
          await exchange(port, requestBytes("GET", "/"), {
            ca: pem("ca"),
            maxVersion: version,
            minVersion: version,
          })
        )?.body.toString(),
        "fine",
      );
    t.equal(
      await exchange(port, requestBytes("GET", "/"), {
        ca: pem("ca"),
        minVersion: "TLSv1",
        maxVersion: "TLSv1.1",
        ciphers: "DEFAULT@SECLEVEL=0",
      }),
      undefined,
    );
    t.equal(
      await exchange(port, requestBytes("GET", "/")),
      undefined,
      "plain HTTP is not answered",
    );
  },
);

t.test(
  "Retry-After is whole seconds, at least one, and only where sending again may help",
  async (t) => {
    const { port } = await start(t, {}, (routes) => {
      routes.get("/:code/:seconds", async (request) => {
        const { code, seconds } = request.params as { code: "OVERLOADED"; seconds: string };
        throw new MeshproofError(
          code,
          "no",
          seconds === "-" ? {} : { retryAfterSeconds: Number(seconds) },
        );
      });
    });
    for (const [path, retryAfter] of [
      ["/OVERLOADED/-", "1"],
      ["/OVERLOADED/0", "1"],
      ["/OVERLOADED/2.1", "3"],
      ["/UNAVAILABLE/-", "5"],
      ["/STORAGE_FULL/60", "60"],
      ["/NOT_FOUND/7", undefined],
    ] as const) {
      t.equal(
        (await exchange(port, requestBytes("GET", path)))?.headers["retry-after"],
        retryAfter,
        path,
      );
    }
  },
);

t.test("our log says why a request was refused, and not what it held", async (t) => {
  const lines: string[] = [];
  const note = (fields: object, message: string): void =>
    void lines.push(JSON.stringify({ ...fields, message }));
  const { port } = await start(
    t,
    { logger: { debug: note, info: note, warn: note, error: note } },
    (routes) =>
      routes.get("/x", async () => {
        throw new MeshproofError("BAD_REQUEST", 'limit: expected a number, got "s3cr3t"');
      }),
  );
  const answer = await exchange(port, requestBytes("GET", "/x?token=s3cr3t"));
  t.match(String(answer?.body), /s3cr3t/, "the sender is told");
  await exchange(port, requestBytes("GET", "/y?token=s3cr3t"));
  t.equal(lines.length, 2);
  t.match(lines[0], /"reason":"limit: expected a number","method":"GET","path":"\/x"/);
  t.notMatch(lines.join("\n"), /s3cr3t/);
});
