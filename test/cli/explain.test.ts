import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import t, { type Test } from "tap";
import { ENCODINGS, readSamples } from "../../src/cli/explain-input.ts";
import { renderExplained } from "../../src/cli/explain-text.ts";
import { main } from "../../src/cli/index.ts";
import { displayWidth } from "../../src/cli/output.ts";
import { defaultConfig } from "../../src/config/load.ts";
import { MeshproofError } from "../../src/core/errors.ts";
import { Explainer } from "../../src/explainer.ts";

interface Result {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function explain(
  t: Test,
  input: string,
  args: readonly string[] = [],
  { columns = 200, config = "" } = {},
): Promise<Result> {
  let out = "";
  let err = "";
  const streams = {
    stdout: { write: (text: string) => (out += text), columns },
    stderr: { write: (text: string) => (err += text) },
  };
  const directory = t.testdir({ input, "config.yaml": config });
  const files = config === "" ? [] : ["--config", join(directory, "config.yaml")];
  const code = await main(["explain", join(directory, "input"), ...files, ...args], streams, {});
  return { code, out, err };
}

interface Line {
  readonly line: number;
  readonly dialect?: string | null;
  readonly columns: Record<string, unknown>;
  readonly origins: Record<string, { how: string; from: { kind: string; name: string }[] }>;
  readonly rejected?: string;
  readonly near?: {
    readonly lines: readonly Record<string, unknown>[];
    readonly dialects: readonly Record<string, unknown>[];
    readonly keys: readonly Record<string, unknown>[];
  };
}

async function explained(
  t: Test,
  input: string,
  args: readonly string[] = [],
  config = "",
): Promise<Line[]> {
  const { out, err, code } = await explain(t, input, [...args, "--json"], { config });
  t.ok(code <= 1, err);
  return out
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as Line);
}

/** The part of an explanation that says where a column comes from, as people read it. */
function from({ origins }: Line, column: string): string {
  const { how, from: sources } = origins[column]!;
  return [how, ...sources.map(({ kind, name }) => `${kind} ${name}`)].join(" ");
}

const ISTIO =
  '[2026-11-22T20:20:28.123Z] "POST /api/v1/orders?token=s3cr3t HTTP/1.1" 403 - rbac_access_denied_matched_policy[ns[shop]-policy[deny-guests]-rule[0]] - "-" 12 19 3 - "-" "curl/8.1" "0f2c-11" "orders.shop:8080" "-" inbound|8080|| - 10.0.0.7:8080 10.1.2.3:40112 outbound_.8080_._.orders.shop.svc.cluster.local default';
const RECORD = {
  timeUnixNano: "1795378828123456000",
  traceId: "5b8efff798038103d269b633813fc60c",
  spanId: "eee19b7ec3c1b174",
  attributes: Object.entries({
    response_flags: "-",
    method: "GET",
    path: "/a?code=s3cr3t",
    response_code: "200",
    response_code_details: "via_upstream",
    upstream_host: "10.0.0.9:80",
    "x-team": "shop",
  }).map(([key, stringValue]) => ({ key, value: { stringValue } })),
};

t.test(
  "a line is shown column by column, each with where it comes from; no secret is shown",
  async (t) => {
    const { code, out, err } = await explain(t, `${ISTIO}\n`);
    t.equal(code, 0);
    t.match(out, /^line 1: istio_text, read in full\n/);
    for (const [name, value, origin] of [
      ["Timestamp", "2026-11-22T20:20:28.123000000Z", "line start_time"],
      ["DurationNs", "3ms (3000000)", "line duration"],
      ["Actor", "10.1.2.3", "part of line downstream_remote_address"],
      ["PeerAddress", "::ffff:10.1.2.3", "line downstream_remote_address"],
      ["ServiceName", "orders.shop.svc.cluster.local", "part of line requested_server_name"],
      ["Direction", "inbound", "by line upstream_cluster"],
      ["Path", "/api/v1/orders", "part of line path"],
      ["Query", "token=[redacted]", "part of line path"],
      ["Decision", "denied", "by line response_code_details"],
      ["StatusCode", "403", "line response_code"],
      ["AuthMethod", "none", "dialect"],
    ] as const)
      t.match(out.replaceAll(/ +/g, " "), `\n ${name} ${value} ${origin}\n`, name);
    t.match(out, /\n {2}Redactions +Query:token\n$/);
    t.notMatch(out + err, "s3cr3t");
    t.notMatch(out, "ReceivedTimestamp");
    t.equal(err, "\n1 record: 1 istio_text.\n");
  },
);

t.test("attributes, fields of the record and the resource are told apart", async (t) => {
  const [one] = await explained(t, JSON.stringify(RECORD), [
    "--resource=service.name=orders",
    "--resource=k8s.pod.name=orders-5d4f6c7b8-zbcdf",
    "--attribute=duration=7",
  ]);
  t.equal(one!.dialect, "envoy_otel");
  t.same(
    Object.fromEntries(
      [
        "Timestamp",
        "DurationNs",
        "TraceId",
        "TraceSource",
        "ServiceName",
        "LocalWorkload",
        "Method",
        "Path",
        "Query",
        "UpstreamAddress",
        "ParseStatus",
      ].map((column) => [column, from(one!, column)]),
    ),
    {
      Timestamp: "read record timeUnixNano",
      DurationNs: "read attribute duration",
      TraceId: "read record traceId",
      TraceSource: "derived record traceId",
      ServiceName: "whole resource service.name",
      LocalWorkload: "part resource k8s.pod.name",
      Method: "whole attribute method",
      Path: "part attribute path",
      Query: "part attribute path",
      UpstreamAddress: "whole attribute upstream_host",
      ParseStatus: "dialect",
    },
  );
  t.equal(
    from(one!, "Decision"),
    "derived attribute response_code_details",
    "what decided, not what would have led to the same",
  );
  t.same(one!.columns["LogAttributes"], { "x-team": "shop" });
  t.same(one!.columns["ResourceAttributes"], {
    "k8s.pod.name": "orders-5d4f6c7b8-zbcdf",
    "service.name": "orders",
  });
});

t.test("what two values say alike comes from either", async (t) => {
  const attributes = [
    ...RECORD.attributes,
    { key: "downstream_remote_address", value: { stringValue: "10.1.1.1:5" } },
    { key: "downstream_direct_remote_address", value: { stringValue: "10.1.1.1:5" } },
  ];
  const [one] = await explained(t, JSON.stringify({ attributes }));
  t.equal(
    from(one!, "PeerAddress"),
    "read attribute downstream_remote_address attribute downstream_direct_remote_address",
  );
});

t.test("every column of every fixture has an origin", async (t) => {
  const fixtures = resolve(import.meta.dirname, "../fixtures");
  for (const dialect of readdirSync(fixtures)) {
    if (["none", "tls"].includes(dialect)) continue;
    const inputs = readdirSync(join(fixtures, dialect)).map((name) => {
      const file = join(fixtures, dialect, name, "in.json");
      const { record, ...above } = JSON.parse(readFileSync(file, "utf8")) as {
        record: object;
        resource?: object;
        scope?: object;
      };
      const scopeLogs = [{ scope: above.scope ?? {}, logRecords: [record] }];
      return JSON.stringify({ resourceLogs: [{ resource: above.resource ?? {}, scopeLogs }] });
    });
    const lines = await explained(t, inputs.join("\n"));
    t.equal(lines.length, inputs.length, dialect);
    for (const one of lines) {
      t.equal(one.dialect, dialect);
      const unexplained = Object.keys(one.columns).filter((column) => {
        if (/Attributes$|^(?:Body|Redactions|Truncations)$/.test(column)) return false;
        const { how, from: sources } = one.origins[column]!;
        return (sources.length === 0) !== (how === "dialect");
      });
      t.same(unexplained, [], `${dialect} line ${one.line}`);
    }
  }
});

t.test(
  "requests, lines, JSON and records may stand together; each is what it looks like",
  async (t) => {
    const request = {
      resourceLogs: [
        {
          resource: { attributes: [{ key: "service.name", value: { stringValue: "a" } }] },
          scopeLogs: [{ logRecords: [RECORD, { ...RECORD, traceId: "12" }] }],
        },
      ],
    };
    const lines = await explained(
      t,
      [JSON.stringify(request), "", ISTIO, '{"verb":"GET","path":"/"}', "hello\r"].join("\n"),
    );
    t.same(
      lines.map(({ line, dialect, rejected }) => [line, dialect, rejected !== undefined]),
      [
        [1, "envoy_otel", false],
        [1, undefined, true],
        [3, "istio_text", false],
        [4, null, false],
        [5, null, false],
      ],
    );
    t.match(lines[1]!.rejected, /trace/);
    const pretty = await explained(t, `\n${JSON.stringify(request, null, 2)}\n`);
    t.same(
      pretty.map(({ line, columns }) => [line, columns?.["ServiceName"]]),
      [
        [2, "a"],
        [2, undefined],
      ],
    );
  },
);

t.test("64-bit numbers of a record stay exact", async (t) => {
  const [one] = await explained(
    t,
    `{"timeUnixNano":1795378828123456789,"attributes":${JSON.stringify(RECORD.attributes)}}`,
  );
  t.equal(one!.columns["Timestamp"], "2026-11-22T20:20:28.123456789Z");
});

t.test("--encoding says what the input is", async (t) => {
  const record = JSON.stringify(RECORD);
  const [asBody] = await explained(t, record, ["--encoding", "line"]);
  t.equal(asBody!.dialect, null, "a LogRecord as a line is the body of another");
  const [json] = await explained(t, '{"body":{"stringValue":"x"}}', ["--encoding", "json"]);
  t.same(json!.near!.keys, [{ key: "body.stringValue", column: null }]);
  for (const [encoding, input, said] of [
    ["json", `{}\n${ISTIO}`, "line 2: expected a JSON object"],
    [
      "otlp",
      '{"a":1}',
      "line 1: expected an export request or a LogRecord in OTLP/JSON, got another",
    ],
    ["otlp", "x", "line 1: expected an export request or a LogRecord in OTLP/JSON, got no JSON"],
    ["auto", '{"resourceLogs":[1]}', "line 1: "],
  ] as const) {
    const { code, err } = await explain(t, input, ["--encoding", encoding]);
    t.equal(code, 2, input);
    t.match(err, `meshproof: ${said}`);
    t.match(err, "(BAD_REQUEST)");
  }
});

t.test("what no dialect claims is shown with what it looks like", async (t) => {
  const cut = '[2026-11-22T20:20:28.123Z] "GET / HTTP/1.1" 403 - rbac denied because 12 19 3';
  const own = '{"connection.id":"4","http.status":200,"uri":"/x","time":1}';
  const [line, keys, other] = await explained(t, `${cut}\n${own}\nhello world`);
  t.match(line!.near!.lines[0], {
    dialect: "istio_text",
    read: 7,
    fields: 24,
    position: cut.indexOf("denied"),
    expected: "connection_termination_details (no quotation marks)",
    got: '"denied because 12 19 3"',
  });
  t.match(line!.near!.dialects, []);
  t.match(keys!.near!.dialects[0], {
    dialect: "agentgateway",
    keys: ["connection.id", "http.status"],
  });
  t.same(keys!.near!.keys, [
    { key: "connection.id", column: "ConnectionId" },
    { key: "http.status", column: null },
    { key: "uri", column: "Path" },
    { key: "time", column: "Timestamp" },
  ]);
  t.same(other!.near, { lines: [], dialects: [], keys: [] });
  const { out, code } = await explain(t, `${cut}\n${own}\nhello world`);
  t.equal(code, 1, "no dialect claimed any");
  t.match(
    out,
    /like a line of istio_text for \d+ of 24 fields; character \d+: expected .+, got "denied/,
  );
  const secret = '[2026-11-22T20:20:28.123Z] "GET /x HTTP/1.1" password=s3cr3t and so on';
  const { out: starred } = await explain(t, secret);
  t.match(starred, 'got "password=****** and so o"…');
  t.notMatch(starred, "s3cr3t");
  t.match(
    out,
    "keys that usually mean a column: connection.id (ConnectionId), uri (Path), time (Timestamp)\n",
  );
});

t.test("the format that is suggested reads the record", async (t) => {
  const input =
    '{"method":"GET","uri":"/x","http.status_code":200,"duration":4,"@timestamp":1795378828123,"a b":1}';
  const { out } = await explain(t, input);
  const suggested = out.slice(out.indexOf("  processors:"));
  const [one] = await explained(t, input, [], suggested);
  t.equal(one!.dialect, "my_format", suggested);
  t.match(one!.columns, {
    Timestamp: "2026-11-22T20:20:28.123000000Z",
    Method: "GET",
    Path: "/x",
    StatusCode: 200,
    DurationNs: "4000000",
    LogAttributes: { "a b": "1" },
  });
});

t.test("exit codes: nothing claimed, --strict, wrong usage, no such file", async (t) => {
  const code = async (input: string, ...args: string[]): Promise<number> =>
    (await explain(t, input, args)).code;
  t.equal(await code(`${ISTIO}\nhello`), 0);
  t.equal(await code(`${ISTIO}\nhello`, "--strict"), 1);
  t.equal(await code(ISTIO, "--strict"), 0);
  t.equal(await code(ISTIO.replace("28.123Z", "99.123Z")), 0, "read in part");
  t.equal(await code(ISTIO.replace("28.123Z", "99.123Z"), "--strict"), 1);
  t.equal(await code("\n"), 1);
  t.equal(await code(ISTIO, "--resource", "nothing"), 2);
  t.equal(
    (await explain(t, ISTIO, [], { config: "processors: { normalise: { formats: [{}] } }" })).code,
    2,
  );
  t.equal((await explain(t, ISTIO, ["more"])).code, 2);
  const missing = await main(
    ["explain", join(t.testdir({}), "none")],
    { stdout: { write() {} }, stderr: { write() {} } },
    {},
  );
  t.equal(missing, 3);
});

t.test("formats and redaction are those of the configuration", async (t) => {
  const config = `processors:
  normalise:
    redact: { query_parameters: [id] }
    formats:
      - name: shop_text
        line: '%START_TIME% %REQ(:METHOD)% %REQ(:PATH)% by %user% in %took%us'
        keys: { user: EndUser, took: DurationNs }
        units: { took: us }
`;
  const input = "2026-11-22T20:20:28.5Z GET /a?id=7&token=t by jane in 250us";
  const [one] = await explained(t, input, [], config);
  t.match(one!.columns, {
    Query: "id=[redacted]&token=[redacted]",
    EndUser: "jane",
    DurationNs: "250000",
  });
  t.equal(from(one!, "EndUser"), "whole line user");
});

t.test("lines fit the terminal, and what others wrote cannot steer it", async (t) => {
  const input = ISTIO.replace("curl/8.1", `\u001b[2J${"long ".repeat(200)}`);
  for (const columns of [60, 80, 132]) {
    const { out } = await explain(t, input, [], { columns });
    for (const line of out.split("\n")) t.ok(displayWidth(line) <= columns, line);
    t.match(out, "\\x1b[2J");
    t.notMatch(out, "\u001b");
  }
});

t.test("only the first thousand records are explained; more than 16 MiB are refused", async (t) => {
  const many = await explain(t, "hello\n".repeat(1001), ["--json"]);
  t.equal(many.out.split("\n").length, 1001);
  t.match(many.err, "Only the first 1000 records are explained.");
  const { code, err } = await explain(t, "x".repeat(16 * 1024 * 1024 + 1));
  t.equal(code, 2);
  t.match(err, "expected at most 16 MiB of samples");
});

t.test("arbitrary input is explained or refused, never more", async () => {
  const explainer = new Explainer(defaultConfig());
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 12 }),
    fc.json({ maxDepth: 3 }),
    fc.constantFrom(
      ISTIO,
      ISTIO.slice(0, 90),
      JSON.stringify(RECORD),
      '{"body":',
      '"kvlistValue"',
      "\n",
      "{",
      "}",
    ),
  );
  const input = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const style = { width: 80, paint: (_: unknown, text: string) => text };
  fc.assert(
    fc.property(input, fc.constantFrom(...ENCODINGS), (given, encoding) => {
      try {
        for (const { line, request } of readSamples(given, encoding))
          for (const one of explainer.explain(request))
            // oxlint-disable-next-line no-control-regex
            if (renderExplained(line, one, style).some((text) => /[\u0000-\u001f]/.test(text)))
              return false;
        return true;
      } catch (error) {
        return error instanceof MeshproofError && error.code === "BAD_REQUEST";
      }
    }),
    { numRuns: 500 },
  );
});

t.test("standard input is read when no file is named", async (t) => {
  const launcher = resolve(import.meta.dirname, "../../bin/meshproof.js");
  const child = spawn(process.execPath, [launcher, "explain"], { stdio: ["pipe", "pipe", "pipe"] });
  child.stdin.end(ISTIO);
  t.match(await text(child.stdout), /^line 1: istio_text, read in full\n/);
});
