import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import fc from "fast-check";
import t, { type Test } from "tap";
import { main } from "../src/cli/index.ts";
import { loadConfig } from "../src/config/load.ts";
import { createNormaliser, findFormatConflicts } from "../src/formats.ts";
import { FIELD_OF_COLUMN } from "../src/normalise/column-fields.ts";
import type { Normaliser } from "../src/normalise/normaliser.ts";
import { attributes, type Columns, normalise } from "./support/normalise.ts";

const INDENT = "\n      ";

/** A file with these formats, each YAML whose further lines begin in the first column. */
function fileOf(t: Test, ...formats: string[]): string {
  const items = formats.map((format) => `    - ${format.trim().replaceAll("\n", INDENT)}\n`);
  const yaml = `processors:\n  normalise:\n    formats:\n${items.join("")}`;
  return join(t.testdir({ "formats.yaml": yaml }), "formats.yaml");
}

function normaliserOf(t: Test, ...formats: string[]): Normaliser {
  const config = loadConfig([fileOf(t, ...formats)], {}, findFormatConflicts);
  return createNormaliser(config);
}

function ofBody(normaliser: Normaliser, body: string): Columns | undefined {
  return normalise(normaliser, { record: { body: { stringValue: body } } });
}

/** The problems of formats, each as `line:column: path: message`. */
function problems(t: Test, ...formats: string[]): string[] {
  try {
    loadConfig([fileOf(t, ...formats)], {}, findFormatConflicts);
  } catch (error) {
    return (error as Error).message
      .split("\n")
      .map((line) => line.replace(/^.*formats\.yaml:/, "").replace("processors.normalise.", ""));
  }
  return [];
}

const TEXT = `
name: shop_text
line: '[%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)%" %RESPONSE_CODE% took %took%us user="%user%" host=%host%'
keys: { user: EndUser, host: ServiceName, took: DurationNs }
units: { took: us }
`;
const JSON_FORMAT = `
name: shop_json
when: { kind: [access, audit], http.verb: [] }
keys:
  ts: Timestamp
  http.verb: Method
  http.uri: Path
  http.code: StatusCode
  took: DurationNs
  upstream: UpstreamDurationNs
  who: EndUser
  client: PeerAddress
  verdict: Decision
  rule: Policy
  why: DecisionReason
  cluster: ClusterName
  xfcc: x_forwarded_client_cert
units: { took: s, upstream: us }
set: { Direction: inbound, Protocol: HTTP/1.1, DecisionEngine: shop_gate, Mesh: shop }
decisions: { allowed: [PASS], denied: [BLOCK, DROP] }
time_is_end: true
`;

t.test(
  "an Envoy format string with names of one's own becomes the parser of its lines",
  async (t) => {
    const normaliser = normaliserOf(t, TEXT);
    const columns = ofBody(
      normaliser,
      '[2026-11-22T20:20:28.123Z] "GET /a?token=s3cr3t&b=1" 200 took 17us user="jane doe" host=cart',
    )!;
    t.match(columns, {
      Dialect: "shop_text",
      Timestamp: "1795378828123000000",
      DurationNs: "17000",
      EndUser: "jane doe",
      ServiceName: "cart",
      Method: "GET",
      Path: "/a",
      Query: "token=[redacted]&b=1",
      StatusCode: 200,
      Decision: "allowed",
      ParseStatus: "full",
    });
    t.notHas(columns, "LogAttributes");
    t.notHas(columns, "Body");
    for (const other of [
      '[2026-11-22T20:20:28.123Z] "GET /a" OK took 17us user="jane" host=cart',
      '[2026-11-22T20:20:28.123Z] "GET /a" 200 took 17ms user="jane" host=cart',
      "",
    ])
      t.equal(ofBody(normaliser, other), undefined, other);
  },
);

t.test(
  "between tabs, bars, commas and semicolons fields may have blanks, or be empty",
  async (t) => {
    for (const separator of ["\t", "|", ",", "; "]) {
      const format = [
        "%START_TIME%",
        "%REQ(:METHOD)%",
        "%REQ(USER-AGENT)%",
        "%X%",
        "%RESPONSE_CODE%",
        "%Y%",
      ];
      const line = ["2026-11-22T20:20:28.123Z", "GET", "shop web 1.4", "", "200", "a b"];
      const normaliser = normaliserOf(
        t,
        `name: shop_table\nline: ${JSON.stringify(format.join(separator))}`,
      );
      t.match(ofBody(normaliser, line.join(separator)), {
        Method: "GET",
        UserAgent: "shop web 1.4",
        StatusCode: 200,
        LogAttributes: [["Y", "a b"]],
        ParseStatus: "full",
      });
      line[2] = `shop${separator}web`;
      t.match(ofBody(normaliser, line.join(separator)), { StatusCode: 200, Method: "GET" });
    }
  },
);

t.test("a secret of which the format itself says the name is redacted", async (t) => {
  const columns = ofBody(
    normaliserOf(
      t,
      "name: shop_keys\nline: '%START_TIME% %REQ(:METHOD)% token=%t% cookie=%c% %RESPONSE_CODE%'",
    ),
    "2026-11-22T20:20:28.123Z GET token=s3cr3t cookie=a=s3cr3t 200",
  );
  t.match(columns, { Dialect: "shop_keys", Method: "GET", StatusCode: 200 });
  t.notMatch(JSON.stringify(columns), "s3cr3t");
});

t.test("a line that can be read in two ways is read in part, and kept", async (t) => {
  const columns = ofBody(
    normaliserOf(t, TEXT),
    '[2026-11-22T20:20:28.123Z] "GET /a" 200 took 1us user="x" host=y" 200 took 2us user="x" host=y',
  )!;
  t.match(columns, { Dialect: "shop_text", ParseStatus: "partial", Body: /^\[2026/ });
  t.notHas(columns, "DurationNs");
});

t.test(
  "keys of a JSON body, and the same keys as attributes, fill the columns that they are mapped to",
  async (t) => {
    const normaliser = normaliserOf(t, JSON_FORMAT);
    const expected = {
      Dialect: "shop_json",
      Timestamp: "1795378826623000000",
      TimeBasis: "stream_end",
      DurationNs: "1500000000",
      UpstreamDurationNs: "250000",
      EndUser: "jane",
      PeerAddress: "00000000000000000000ffff0a000001",
      PeerPort: 80,
      Direction: "inbound",
      Protocol: "HTTP/1.1",
      Method: "GET",
      Path: "/x",
      StatusCode: 403,
      Decision: "denied",
      DecisionEngine: "shop_gate",
      DecisionSource: "verdict",
      DecisionReason: "no such right",
      Policy: "r1",
      Mesh: "shop",
      ClusterName: "east",
      ActorChain: ["spiffe://a.example/ns/a/sa/b"],
      ParseStatus: "full",
    };
    const record = {
      ts: "2026-11-22T20:20:28.123Z",
      kind: "access",
      took: 1.5,
      upstream: 250,
      who: "jane",
      client: "10.0.0.1:80",
      verdict: "block",
      rule: "r1",
      why: "no such right",
      cluster: "east",
      xfcc: "URI=spiffe://a.example/ns/a/sa/b",
      path: "/another",
    };
    const inBody = ofBody(
      normaliser,
      JSON.stringify({ ...record, http: { verb: "GET", uri: "/x", code: 403 } }),
    )!;
    t.match(inBody, expected);
    t.match(inBody["LogAttributes"], [
      ["kind", "access"],
      ["path", "/another"],
      ["xfcc", record.xfcc],
    ]);
    const asAttributes = normalise(normaliser, {
      record: {
        attributes: attributes({
          ...record,
          took: { doubleValue: 1.5 },
          upstream: 250n,
          "http.verb": "GET",
          "http.uri": "/x",
          "http.code": 403n,
        }),
      },
    });
    t.match(asAttributes, expected);
  },
);

t.test("when tells records of the format from others, by text, number or boolean", async (t) => {
  const normaliser = normaliserOf(
    t,
    "name: a\nwhen: { audit: true, level: [3, 4], kind: [] }\nkeys: { uri: Path }",
  );
  const claims = (values: Record<string, unknown>): boolean =>
    normalise(normaliser, { record: { attributes: attributes(values) } }) !== undefined;
  const all = { audit: { boolValue: true }, level: 3n, kind: "x", uri: "/" };
  t.ok(claims(all));
  t.ok(claims({ ...all, level: { doubleValue: 4 } }));
  t.ok(claims({ ...all, audit: "true", level: "4" }));
  t.ok(ofBody(normaliser, '{"audit":true,"level":3,"kind":null,"uri":"/"}'));
  for (const other of [
    { audit: { boolValue: false } },
    { audit: "True" },
    { audit: 1n },
    { level: 5n },
    { level: "3.0" },
    { level: { boolValue: true } },
  ])
    t.notOk(claims({ ...all, ...other }), JSON.stringify(Object.keys(other)));
  const { kind: _, ...without } = all;
  t.notOk(claims(without), "a key that has to be there");
});

t.test("a format outranks the dialects that would claim the record", async (t) => {
  const line =
    '[2026-11-22T20:20:28.123Z] "GET /a HTTP/1.1" 200 - via_upstream - "-" 0 5 3 2 "-" "curl" "id" "a.shop" "10.0.0.7:80" inbound|80|| 127.0.0.1:1 10.0.0.7:80 10.1.2.3:4 - default';
  const record = {
    body: { stringValue: line },
    attributes: attributes({ team: "shop", page: "/p" }),
  };
  const plain = normaliserOf(t, TEXT);
  t.match(normalise(plain, { record }), { Dialect: "istio_text", Path: "/a" });
  const own = normaliserOf(t, TEXT, "name: own\nwhen: [team]\nkeys: { page: Path }");
  t.match(normalise(own, { record }), { Dialect: "own", Path: "/p", Body: line });
  t.match(ofBody(own, line), { Dialect: "istio_text" }, "and leaves them what is not its own");
  const first = normaliserOf(
    t,
    "name: one\nwhen: [team]\nkeys: { page: Path }",
    "name: two\nwhen: [page]\nkeys: { page: Path }",
  );
  t.match(normalise(first, { record }), { Dialect: "one" }, "of two formats the first counts");
  const { body: _, ...rest } = record;
  t.match(
    ["two", "one"].map((_, i) =>
      normalise(first, {
        record: {
          ...rest,
          attributes: attributes(i === 0 ? { page: "/" } : { page: "/", team: "" }),
        },
      }),
    ),
    [{ Dialect: "two" }, { Dialect: "one" }],
    "whichever claimed the one before",
  );
  const lines = normaliserOf(
    t,
    "name: narrow\nline: '%METHOD% %PATH% %RESPONSE_CODE%'",
    "name: wide\nline: '%METHOD% %PATH% %any%'",
  );
  t.same(
    ["GET / 200", "GET / x", "GET / 200"].map((text) => ofBody(lines, text)!["Dialect"]),
    ["narrow", "wide", "narrow"],
  );
});

t.test("set gives what no key of the record says, above the resource", async (t) => {
  const normaliser = normaliserOf(
    t,
    "name: a\nwhen: [uri]\nkeys: { uri: Path, svc: ServiceName }\nset: { ServiceName: cart, LocalNamespace: shop }",
  );
  const resource = {
    attributes: attributes({ "service.name": "collector", "k8s.namespace.name": "monitoring" }),
  };
  const of = (values: Record<string, unknown>): Columns =>
    normalise(normaliser, { resource, record: { attributes: attributes(values) } })!;
  t.match(of({ uri: "/" }), { ServiceName: "cart", LocalNamespace: "shop" });
  t.match(of({ uri: "/", svc: "orders" }), { ServiceName: "orders", LocalNamespace: "shop" });
});

t.test(
  "a word that decides nothing leaves the decision unknown, and the record read in part",
  async (t) => {
    const normaliser = normaliserOf(t, "name: a\nwhen: [uri]\nkeys: { uri: Path, v: Decision }");
    const of = (v: string): Columns =>
      normalise(normaliser, { record: { attributes: attributes({ uri: "/", v }) } })!;
    t.match(of("DENIED"), { Decision: "denied", DecisionReason: "DENIED", ParseStatus: "full" });
    t.match(of("allow"), { Decision: "allowed", ParseStatus: "full" });
    t.match(of("maybe"), {
      Decision: "unknown",
      ParseStatus: "partial",
      LogAttributes: [["v", "maybe"]],
    });
  },
);

t.test("every column that a key can fill is one of the table, and is filled by it", async (t) => {
  const values: Readonly<Record<string, string>> = {
    Timestamp: "2026-11-22T20:20:28Z",
    TraceId: "5b8efff798038103d269b633813fc60c",
    SpanId: "eee19b7ec3c1b174",
    ParentSpanId: "eee19b7ec3c1b175",
    TraceFlags: "01",
    PeerAddress: "10.0.0.1",
    LocalAddress: "10.0.0.2",
    PeerCertificateHash: "ab".repeat(32),
    Direction: "outbound",
    Decision: "denied",
  };
  // What stands only beside others.
  const beside: Readonly<Record<string, readonly string[]>> = {
    SpanId: ["TraceId"],
    ParentSpanId: ["TraceId", "SpanId"],
    TraceFlags: ["TraceId", "SpanId"],
    EndUserIssuer: ["EndUser"],
  };
  for (const column of Object.keys(FIELD_OF_COLUMN)) {
    const columns = [column, ...(beside[column] ?? [])];
    const keys = columns.map((one) => `key${one}: ${one}`).join(", ");
    const units = column.endsWith("DurationNs") ? `\nunits: { key${column}: us }` : "";
    const normaliser = normaliserOf(t, `name: a\nwhen: [x]\nkeys: { ${keys} }${units}`);
    const record = Object.fromEntries(columns.map((one) => [`key${one}`, values[one] ?? "7"]));
    const filled = normalise(normaliser, {
      record: { attributes: attributes({ x: "1", ...record }) },
    });
    t.hasOwnProps(filled!, columns, column);
  }
});

t.test("whatever is wrong with a format is said with its place", async (t) => {
  const at = (format: string): string[] => problems(t, format);
  t.same(at("name: ztunnel\nwhen: [a]\nkeys: { a: Path }"), [
    "4:13: formats[0].name: expected a name of its own, got ztunnel, a dialect that meshproof knows",
  ]);
  t.same(
    problems(t, "name: a\nwhen: [a]\nkeys: { a: Path }", "name: a\nwhen: [a]\nkeys: { a: Path }"),
    ["7:13: formats[1].name: expected a name of its own, got a, which formats[0] has"],
  );
  t.same(at("name: Shop"), [
    '4:13: formats[0].name: expected a name of at most 32 lower-case letters, digits and _, got "Shop"',
  ]);
  t.match(at("name: a\nkys: { a: Path }"), [
    /^5:7: formats\[0\]\.kys: expected one of name, line, keys, .*, got an unknown key; did you mean keys\?$/,
  ]);
  t.same(at("name: a"), ["4:7: formats[0]: expected line or keys, got neither"]);
  t.same(at("name: a\nkeys: { a: Path }"), [
    "4:7: formats[0]: expected when, which tells such records from others, got none",
  ]);
  t.same(
    at("name: a\nwhen: [a]\nkeys: { a: Pth, b: Path, c: Path, d: ActorKind, e: DurationNs }"),
    [
      '6:18: formats[0].keys.a: expected a column of access_records or a field, got "Pth"; did you mean Path?',
      "6:35: formats[0].keys.c: expected a column of its own, got Path, which b fills",
      "6:44: formats[0].keys.d: expected a column that a key can fill, got ActorKind, which is worked out from others",
      "6:58: formats[0].keys.e: expected units.e beside it, one of s, ms, us, ns: the column counts nanoseconds, and the key may not",
    ],
  );
  t.same(at("name: a\nwhen: [a]\nkeys: { a: DurationNs, b: Path }\nunits: { a: min, b: s }"), [
    '7:19: formats[0].units.a: expected one of s, ms, us, ns, got "min"',
    '7:24: formats[0].units.b: expected a key that fills DurationNs or UpstreamDurationNs, got "b"',
  ]);
  t.match(
    at("name: a\nwhen: [a]\nkeys: { a: Path }\nset: { Directon: x, Direction: up, Mesh: '' }"),
    [
      /^7:14: formats\[0\]\.set\.Directon: expected one of ServiceName, .*; did you mean Direction\?$/,
      '7:38: formats[0].set.Direction: expected one of inbound, outbound, gateway, got "up"',
      "7:48: formats[0].set.Mesh: expected a text, got none",
    ],
  );
  t.same(
    at("name: a\nwhen: [a]\nkeys: { a: Decision }\ndecisions: { denyed: [A], allowed: [a] }"),
    [
      '7:20: formats[0].decisions.denyed: expected one of allowed, denied, failed, got "denyed"; did you mean denied?',
      '7:42: formats[0].decisions.allowed: expected words of its own, got "a", which denyed has',
    ],
  );
  t.same(at("name: a\nwhen: [a]\nkeys: { a: Path }\ndecisions: { denied: [A] }"), [
    "7:18: formats[0].decisions: expected a key that fills Decision beside it",
  ]);
  t.same(at("name: a\nline: '%time% %verb%'\nkeys: { time: Timestmp, verb: Method }"), [
    '6:21: formats[0].keys.time: expected a column of access_records or a field, got "Timestmp"; did you mean Timestamp?',
  ]);
  t.same(at("name: a\nline: '%START_TIM% %REQ(:METHOD)%'"), [
    "5:13: formats[0].line: expected at least 2 fields that fill columns, got 1: other lines would be read too; %START_TIM% without a column",
  ]);
  t.match(problems(t, "x"), ['4:7: formats[0]: expected a map of options, got "x"']);
  t.match(problems(t, "name: a\nwhen: 7"), [/^5:13: formats\[0\]\.when: expected a list of keys/]);
});

t.test("validate names what is wrong with a format, and serve does not start", async (t) => {
  const file = fileOf(t, "name: a\nwhen: [a]\nkeys: { a: Pth }");
  for (const command of ["validate", "serve"]) {
    let err = "";
    const streams = { stdout: { write() {} }, stderr: { write: (text: string) => (err += text) } };
    t.equal(await main([command, "--config", file], streams, {}), 2);
    t.ok(err.startsWith(`${file}:6:18: processors.normalise.formats[0].keys.a: expected a column`));
  }
  t.throws(() => createNormaliser(loadConfig([file], {})), { code: "CONFIG_INVALID" });
});

t.test(
  "a format string that cannot be taken apart is refused with the position in it",
  async (t) => {
    const line = (text: string, more = ""): string[] =>
      problems(t, `name: a\nline: '${text}'${more}`);
    t.same(line("%REQ(:METHOD)%%PATH% x"), [
      "5:13: formats[0].line: expected text between %REQ(:METHOD)% and %PATH%, so that it can be told where one ends and the other begins; got none, at character 15",
    ]);
    t.match(line("%METHOD% %PATH"), [/expected a % that closes the field, .*, at character 10$/]);
    t.match(line("no field"), [/expected at least one field such as %START_TIME%, got none/]);
    t.match(line("%a% %PATH%"), [/expected at least 2 fields that fill columns, got 1/]);
    t.same(line("%METHOD% %PATH% %usr%", "\nkeys: { user: EndUser }"), [
      '6:15: formats[0].keys.user: expected a name in line, got "user", and there is no %user% in it; did you mean usr?',
    ]);
    t.same(line("%METHOD% %PATH%", "\nwhen: [a]"), [
      "6:13: formats[0].when: expected nothing beside line, which says it all",
    ]);
  },
);

t.test("every example of docs/formats.md is valid, and reads its sample in full", async (t) => {
  const document = readFileSync(resolve(import.meta.dirname, "../docs/formats.md"), "utf8");
  const examples = [...document.matchAll(/```yaml\n(.*?)```\s+```text\n(.*?)\n```/gs)];
  t.ok(examples.length >= 3);
  for (const [, yaml, sample] of examples) {
    const file = join(t.testdir({ "formats.yaml": yaml! }), "formats.yaml");
    const config = loadConfig([file], {}, findFormatConflicts);
    t.match(ofBody(createNormaliser(config), sample!), {
      Dialect: config.processors.normalise.formats[0]!.name,
      ParseStatus: "full",
      Timestamp: /^179537882/,
      Path: /^\//,
      EndUser: "jane",
      DurationNs: String,
      StatusCode: Number,
    });
  }
});

t.test("arbitrary lines and bodies never throw and never leave a secret", async (t) => {
  const normaliser = normaliserOf(t, TEXT, JSON_FORMAT);
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 10 }),
    fc.constantFrom(
      '"',
      " took ",
      "us user=",
      " host=",
      "2026-11-22T20:20:28Z",
      '{"kind":"access"',
      ",",
      ":",
      "}",
    ),
  );
  const junk = fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join(""));
  fc.assert(
    fc.property(junk, junk, (before, behind) => {
      const lines = [
        `[${before}] "GET /a?token=s3cr3t&${behind}" 200 took 1us user="${before}" host=x`,
        `{"kind":"access","http":{"verb":"GET","uri":"/?token=s3cr3t"},"why":${JSON.stringify(before)}${behind}`,
      ];
      return lines.every(
        (line) => !JSON.stringify(ofBody(normaliser, line) ?? "").includes("s3cr3t"),
      );
    }),
    { numRuns: 500 },
  );
});
