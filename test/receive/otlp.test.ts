import { OTLPLogExporter as JsonLogExporter } from "@opentelemetry/exporter-logs-otlp-http";
import { OTLPLogExporter as ProtobufLogExporter } from "@opentelemetry/exporter-logs-otlp-proto";
import { ProtobufLogsSerializer, ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { deflateSync, gzipSync, zstdCompressSync } from "node:zlib";
import protobuf from "protobufjs";
import t from "tap";
import type { TokenHolder } from "../../src/core/tokens.ts";
import { MeshproofError } from "../../src/core/errors.ts";
import { exchange, RawConnection, requestBytes } from "../support/raw-http.ts";
import type { RawResponse } from "../support/raw-http.ts";
import { startReceiver } from "../support/receiver.ts";

const PROTOBUF = "application/x-protobuf";
const JSON_TYPE = "application/json";
const BODY = Buffer.from("\n\u0004some body that compresses, compresses, compresses");
const CODINGS: Record<string, (body: Buffer) => Buffer> = {
  identity: (body) => body,
  gzip: (body) => gzipSync(body),
  zstd: (body) => zstdCompressSync(body),
  deflate: (body) => deflateSync(body),
};

const Status = protobuf
  .parse(`syntax = "proto3"; message Status { int32 code = 1; string message = 2; }`)
  .root.lookupType("Status");
/** The google.rpc.Status of an answer, read as its Content-Type says. */
function statusOf(response: RawResponse | undefined): { code: number; message: string } {
  if (response?.headers["content-type"] === PROTOBUF)
    return Status.toObject(Status.decode(response.body)) as { code: number; message: string };
  assert.equal(response?.headers["content-type"], JSON_TYPE);
  return JSON.parse(String(response?.body));
}

function post(
  port: number,
  path: string,
  contentType: string | undefined,
  body: Buffer | string,
  headers: Record<string, string> = {},
) {
  return exchange(
    port,
    requestBytes(
      "POST",
      path,
      { ...(contentType === undefined ? {} : { "Content-Type": contentType }), ...headers },
      body,
    ),
  );
}

t.test(
  "each signal, encoding and coding arrives inflated and is answered 200 with the empty message",
  async (t) => {
    const { port, observed, receiver } = await startReceiver(t);
    for (const signal of ["logs", "traces"] as const) {
      for (const [encoding, type, empty] of [
        ["protobuf", PROTOBUF, ""],
        ["json", JSON_TYPE, "{}"],
      ] as const) {
        for (const [coding, compress] of Object.entries(CODINGS)) {
          const response = await post(port, `/v1/${signal}`, type, compress(BODY), {
            "Content-Encoding": coding,
            "User-Agent": "probe/1",
          });
          t.equal(response?.status, 200);
          t.equal(response?.headers["content-type"], type, "exactly, without parameters");
          t.equal(response?.headers["content-length"], String(empty.length));
          t.equal(response?.body.toString(), empty);
          t.match(observed.requests.pop(), {
            signal,
            encoding,
            sender: { name: "127.0.0.1", auth: "none" },
            userAgent: "probe/1",
            body: BODY,
          });
        }
      }
    }
    t.equal(observed.counted[0], `accepted logs protobuf ${BODY.length} ${BODY.length} 0`);
    t.equal(receiver.admission.bytesInFlight, 0);
  },
);

t.test(
  "names of types and codings are read in any case, with parameters and by their other names",
  async (t) => {
    const { port, observed } = await startReceiver(t);
    for (const type of [
      "application/json; charset=utf-8",
      "Application/JSON",
      'application/json;charset=UTF-8;x="a;b"',
      "application/json ;",
    ]) {
      const response = await post(port, "/v1/logs", type, "{}");
      t.equal(response?.status, 200, type);
      t.equal(response?.headers["content-type"], JSON_TYPE);
    }
    t.equal(
      (await post(port, "/v1/logs?from=here", "APPLICATION/x-Protobuf; proto=x", BODY))?.headers[
        "content-type"
      ],
      PROTOBUF,
    );
    for (const [coding, compress] of [
      ["GZIP", gzipSync],
      ["x-gzip", gzipSync],
      ["zlib", deflateSync],
      ["Zstd", zstdCompressSync],
      ["Identity", Buffer.from],
    ] as [string, (body: Buffer) => Buffer][]) {
      t.equal(
        (await post(port, "/v1/logs", PROTOBUF, compress(BODY), { "Content-Encoding": coding }))
          ?.status,
        200,
        coding,
      );
      t.strictSame(observed.requests.pop()?.body, BODY);
    }
  },
);

t.test("an empty request is a success that nobody has to consume", async (t) => {
  const { port, observed } = await startReceiver(t);
  t.equal((await post(port, "/v1/logs", PROTOBUF, ""))?.body.length, 0);
  t.equal((await post(port, "/v1/logs", JSON_TYPE, ""))?.body.toString(), "{}");
  t.equal(
    (await exchange(port, requestBytes("POST", "/v1/traces", { "Content-Type": PROTOBUF })))
      ?.status,
    200,
    "without Content-Length",
  );
  for (const [coding, compress] of Object.entries(CODINGS))
    t.equal(
      (
        await post(port, "/v1/logs", PROTOBUF, compress(Buffer.alloc(0)), {
          "Content-Encoding": coding,
        })
      )?.status,
      200,
      coding,
    );
  t.equal(
    (await post(port, "/v1/logs", PROTOBUF, "", { "Content-Encoding": "gzip" }))?.status,
    200,
  );
  t.equal(observed.requests.length, 0);
  t.match(observed.counted, ["accepted logs protobuf 0 0 0"]);
});

t.test("partial success is answered 200 in the encoding of the request", async (t) => {
  const { port, observed } = await startReceiver(t, {
    consume: async () => ({ rejected: 3, message: "logs[1]: bad" }),
  });
  t.match(
    ProtobufLogsSerializer.deserializeResponse(
      (await post(port, "/v1/logs", PROTOBUF, BODY))?.body ?? Buffer.alloc(0),
    ),
    { partialSuccess: { rejectedLogRecords: 3, errorMessage: "logs[1]: bad" } },
  );
  t.match(
    ProtobufTraceSerializer.deserializeResponse(
      (await post(port, "/v1/traces", PROTOBUF, BODY))?.body ?? Buffer.alloc(0),
    ),
    { partialSuccess: { rejectedSpans: 3 } },
  );
  const json = await post(port, "/v1/traces", JSON_TYPE, BODY);
  t.equal(json?.status, 200);
  t.strictSame(JSON.parse(String(json?.body)), {
    partialSuccess: { rejectedSpans: "3", errorMessage: "logs[1]: bad" },
  });
  t.match(observed.counted[0], /^accepted logs protobuf \d+ \d+ 3$/);
});

t.test(
  "what cannot be served is refused with a Status in the encoding of the request",
  async (t) => {
    const { port, observed } = await startReceiver(t);
    for (const [method, path, type, headers, status, code, message] of [
      [
        "POST",
        "/v1/metrics",
        PROTOBUF,
        {},
        404,
        5,
        /expected POST \/v1\/logs, POST \/v1\/traces, got POST \/v1\/metrics/,
      ],
      ["POST", "/v1/logs/", JSON_TYPE, {}, 404, 5, /got POST/],
      ["POST", "/V1/LOGS", JSON_TYPE, {}, 404, 5, /got POST/],
      ["GET", "/", undefined, {}, 404, 5, /got GET \//],
      ["GET", "/v1/logs", undefined, {}, 405, 12, /expected POST, got GET/],
      ["PUT", "/v1/traces?x", PROTOBUF, {}, 405, 12, /expected POST, got PUT/],
      ["PROPFIND", "/v1/traces", undefined, {}, 405, 12, /expected POST, got PROPFIND/],
      [
        "OPTIONS",
        "/v1/logs",
        undefined,
        { Origin: "https://elsewhere.example" },
        405,
        12,
        /got OPTIONS/,
      ],
      [
        "POST",
        "/v1/logs",
        undefined,
        {},
        415,
        3,
        /expected application\/x-protobuf or application\/json, got none/,
      ],
      ["POST", "/v1/logs", "text/plain", {}, 415, 3, /got "text\/plain"/],
      ["POST", "/v1/logs", "json", {}, 415, 3, /got "json"/],
      [
        "POST",
        "/v1/logs",
        PROTOBUF,
        { "Content-Encoding": "br" },
        415,
        3,
        /expected one of gzip, zstd, deflate, identity, got "br"/,
      ],
      ["POST", "/v1/logs", JSON_TYPE, { "Content-Encoding": "gzip, gzip" }, 415, 3, /gzip, gzip/],
      ["POST", "/v1/%zz", PROTOBUF, {}, 400, 3, /%zz/],
    ] as const) {
      const response = await exchange(
        port,
        requestBytes(
          method,
          path,
          { ...(type === undefined ? {} : { "Content-Type": type }), ...headers },
          method === "POST" ? BODY : undefined,
        ),
      );
      t.equal(response?.status, status, `${method} ${path} ${type}`);
      t.equal(response?.headers["content-type"], type === PROTOBUF ? PROTOBUF : JSON_TYPE);
      t.match(statusOf(response), { code, message });
      t.equal(response?.headers["allow"], status === 405 ? "POST" : undefined);
      t.equal(
        response?.headers["accept-encoding"],
        status === 415 ? "gzip, zstd, deflate, identity" : undefined,
      );
      t.equal(response?.headers["access-control-allow-origin"], undefined);
    }
    t.equal(observed.requests.length, 0);
    t.match(observed.counted, ["refused null NOT_FOUND 127.0.0.1"]);
    t.ok(observed.counted.includes("refused logs UNSUPPORTED_MEDIA_TYPE 127.0.0.1"));
    t.strictSame(observed.errors, [], "none of it is our error");
  },
);

t.test(
  "an error of the consumer is answered by the table; anything unexpected, 500 included, is 503 with Retry-After and is logged",
  async (t) => {
    let thrown: unknown;
    const { port, observed, receiver } = await startReceiver(t, {
      consume: () => Promise.reject(thrown),
    });
    for (const [error, status, retryAfter, logged] of [
      [new MeshproofError("JOURNAL_FULL", "full"), 503, "5", 0],
      [new MeshproofError("OVERLOADED", "busy", { retryAfterSeconds: 2.2 }), 429, "3", 0],
      [new MeshproofError("BAD_REQUEST", "field 1: bad"), 400, undefined, 0],
      [new MeshproofError("LOG_INCONSISTENT", "fork"), 503, "5", 1],
      [new TypeError("undefined is not a function"), 503, "5", 1],
      [Object.assign(new Error("of another library"), { statusCode: 400 }), 503, "5", 1],
      ["a string", 503, "5", 1],
      [undefined, 503, "5", 1],
    ] as const) {
      thrown = error;
      observed.errors.length = 0;
      const response = await post(port, "/v1/logs", PROTOBUF, BODY);
      t.equal(response?.status, status, String(error));
      t.equal(response?.headers["retry-after"], retryAfter);
      t.equal(observed.errors.length, logged);
      if (logged > 0) t.equal(observed.errors[0]?.fields["err"], error, "with its cause");
      t.notMatch(
        statusOf(response).message,
        /not a function|another library/,
        "which the sender is not told",
      );
    }
    t.equal(receiver.admission.bytesInFlight, 0);
  },
);

t.test(
  "bearer tokens: 401 without a known one, 403 for a role that does not send, and the name of the token in the record",
  async (t) => {
    const holders: Record<string, TokenHolder> = {
      "s-1": { name: "edge", role: "sender" },
      "a-1": { name: "root", role: "admin" },
      "r-1": { name: "grafana", role: "reader" },
      "u-1": { name: "auditor", role: "auditor" },
    };
    const { port, observed } = await startReceiver(t, {
      tokens: { find: (token) => holders[token] ?? null },
    });
    for (const authorization of [
      undefined,
      "Bearer",
      "Bearer ",
      "Bearer nope",
      "Basic czE6",
      "s-1",
      "Bearer s-1 s-1",
      "Bearer__proto__",
    ]) {
      const response = await post(
        port,
        "/v1/logs",
        PROTOBUF,
        BODY,
        authorization === undefined ? {} : { Authorization: authorization },
      );
      t.equal(response?.status, 401, String(authorization));
      t.match(response?.headers["www-authenticate"], /^Bearer/);
      t.equal(statusOf(response).code, 16);
    }
    t.equal(
      (await exchange(port, requestBytes("GET", "/nothing")))?.status,
      401,
      "not even paths are told",
    );
    for (const token of ["r-1", "u-1"]) {
      const response = await post(port, "/v1/logs", PROTOBUF, BODY, {
        Authorization: `Bearer ${token}`,
      });
      t.equal(response?.status, 403);
      t.match(statusOf(response), {
        code: 7,
        message: /expected the role sender, admin, got (reader|auditor)/,
      });
    }
    t.equal(observed.requests.length, 0);
    for (const [authorization, name] of [
      ["Bearer s-1", "edge"],
      ["bearer  s-1", "edge"],
      ["BEARER a-1", "root"],
    ] as const) {
      t.equal(
        (await post(port, "/v1/logs", PROTOBUF, BODY, { Authorization: authorization }))?.status,
        200,
      );
      t.strictSame(observed.requests.pop()?.sender, { name, auth: "token" });
    }
  },
);

t.test(
  "mutual TLS: the sender is the certificate, by its SPIFFE ID or its common name",
  async (t) => {
    const pem = (name: string) =>
      readFileSync(new URL(`../fixtures/tls/${name}.pem`, import.meta.url));
    const client = (name: string) => ({ ca: pem("ca"), cert: pem(name), key: pem(`${name}-key`) });
    const tls = {
      certificate: pem("server"),
      key: pem("server-key"),
      clientAuthorities: pem("ca"),
    };
    const { port, observed } = await startReceiver(t, { tls });
    const large = Buffer.alloc(700_000, "0123456789");
    const request = requestBytes("POST", "/v1/logs", { "Content-Type": PROTOBUF }, large);

    for (const [name, sender] of [
      ["client-spiffe", "spiffe://cluster.example/ns/orders/sa/collector"],
      ["client-name", "edge collector"],
    ] as const) {
      t.equal((await exchange(port, request, client(name)))?.status, 200);
      const received = observed.requests.pop();
      t.strictSame(received?.sender, { name: sender, auth: "mtls" });
      t.ok(received?.body.equals(large), "a body of many TLS records arrives whole");
    }
    t.equal(
      (await exchange(port, request, client("client-two-ids")))?.status,
      401,
      "two SPIFFE IDs are none",
    );
    t.equal(
      await exchange(port, request, client("client-stranger")),
      undefined,
      "another authority's certificate ends the handshake",
    );
    t.equal(await exchange(port, request, { ca: pem("ca") }), undefined, "and so does none");
    t.equal(observed.requests.length, 0);

    const either = await startReceiver(t, {
      tls: { ...tls, requireClientCertificate: false },
      tokens: { find: (token) => (token === "s-1" ? { name: "edge", role: "sender" } : null) },
    });
    t.equal(
      (await exchange(either.port, request, client("client-stranger")))?.status,
      401,
      "where certificates are optional, a stranger's counts for nothing",
    );
    t.equal(
      (
        await exchange(
          either.port,
          requestBytes(
            "POST",
            "/v1/logs",
            { "Content-Type": PROTOBUF, Authorization: "Bearer s-1" },
            BODY,
          ),
          { ca: pem("ca") },
        )
      )?.status,
      200,
    );
    t.strictSame(either.observed.requests.pop()?.sender, { name: "edge", auth: "token" });
    t.equal((await exchange(either.port, request, client("client-name")))?.status, 200);
    t.strictSame(either.observed.requests.pop()?.sender, { name: "edge collector", auth: "mtls" });
  },
);

t.test("several requests on one connection, pipelined or not, are answered in order", async (t) => {
  const { port, observed } = await startReceiver(t, {
    consume: async ({ signal }) => ({ rejected: signal === "logs" ? 1 : 0, message: "" }),
  });
  const connection = new RawConnection(port);
  connection.send(
    requestBytes("POST", "/v1/logs", { "Content-Type": JSON_TYPE }, "{ }"),
    requestBytes("POST", "/v1/nothing", { "Content-Type": JSON_TYPE }, "{ }"),
    requestBytes("POST", "/v1/traces", { "Content-Type": JSON_TYPE }, "{ }"),
  );
  t.equal(
    (await connection.response())?.body.toString(),
    '{"partialSuccess":{"rejectedLogRecords":"1"}}',
  );
  t.equal((await connection.response())?.status, 404);
  t.equal((await connection.response())?.body.toString(), "{}");
  connection.close();
  t.equal(observed.requests.length, 2);
});

t.test(
  "the memory of a body is free as soon as consume has settled, accepted or not",
  async (t) => {
    const bodies: Buffer[] = [];
    const { port } = await startReceiver(t, {
      consume: async ({ signal, body }) => {
        bodies.push(body);
        if (signal === "traces") throw new MeshproofError("JOURNAL_FULL", "full");
        return { rejected: 0, message: "" };
      },
    });
    const large = Buffer.alloc(300_000, "abc");
    for (const [coding, compress] of Object.entries(CODINGS)) {
      for (const [path, status] of [
        ["/v1/logs", 200],
        ["/v1/traces", 503],
      ] as const) {
        t.equal(
          (await post(port, path, PROTOBUF, compress(large), { "Content-Encoding": coding }))
            ?.status,
          status,
        );
        t.equal(
          bodies.pop()?.length,
          0,
          `${coding}: a view that was kept is empty, not somebody else's bytes`,
        );
      }
    }
  },
);

t.test("the exporters of the OpenTelemetry SDK are content with our answers", async (t) => {
  const { port, observed } = await startReceiver(t);
  for (const [Exporter, path] of [
    [ProtobufLogExporter, "protobuf"],
    [JsonLogExporter, "json"],
  ] as const) {
    const exporter = new Exporter({
      url: `http://127.0.0.1:${port}/v1/logs`,
      compression: "gzip" as never,
    });
    const result = await new Promise<{ code: number; error?: Error }>((resolve) =>
      exporter.export([], resolve),
    );
    t.equal(result.code, 0, String(result.error));
    await exporter.shutdown();
    t.match(observed.counted.pop(), new RegExp(`^accepted logs ${path} `));
  }
});
