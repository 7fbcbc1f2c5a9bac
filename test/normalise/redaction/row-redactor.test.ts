import { createHmac } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import { freeRows, ROW_PREFIX_LENGTH } from "../../../src/core/rows.ts";
import { type EncodedRequest, RequestEncoder } from "../../../src/encoder.ts";
import { DIALECTS } from "../../../src/normalise/load-dialects.ts";
import { Normaliser } from "../../../src/normalise/normaliser.ts";
import type { RedactOptions } from "../../../src/normalise/redaction/rules.ts";
import { TABLE_OF_KIND } from "../../../src/records/columns.ts";
import { decodeRow } from "../../../src/records/row-codec.ts";
import { ValueRedactor } from "../../../src/normalise/redaction/value-redactor.ts";
import { Originals } from "../../../src/originals.ts";
import { transcodeLogs, transcodeTraces } from "../../support/transcoding.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url);
const RECEIVED = {
  receivedAtNs: 1_795_000_000_000_000_000n,
  sender: "test",
  senderAuth: "none",
  retentionClass: "default",
};
const MARK = "S3CR3T";

type Json = Record<string, unknown>;
type Row = Readonly<Record<string, unknown>>;

function encoderOf(redact: RedactOptions, maxRecordBytes = 1024 * 1024): RequestEncoder {
  return new RequestEncoder({
    logId: "0123456789abcdef",
    normaliser: new Normaliser({ redact }),
    maxRecordBytes,
    maxEncodedBytes: 64 * 1024 * 1024,
    originals: new Originals(new ValueRedactor(redact), ["meshproof.leaf_index"]),
  });
}

/** Of the last request: what would be passed on of it. */
let passedOn = "";

/** The rows of a request, each by its columns; texts as strings. */
function rowsOf({ sections, originals }: EncodedRequest): Row[] {
  passedOn = Buffer.from(originals ?? []).toString("latin1");
  const plain = (value: unknown): unknown =>
    Buffer.isBuffer(value) ? value.toString() : Array.isArray(value) ? value.map(plain) : value;
  const rows = sections.flatMap(({ kind, count, bytes, offsets }) => {
    const table = TABLE_OF_KIND.get(kind)!;
    return Array.from({ length: count }, (_, i) => {
      const row = decodeRow(table, bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]));
      return Object.fromEntries(table.columns.map(({ name }, c) => [name, plain(row[c])]));
    });
  });
  freeRows({ sections });
  return rows;
}

async function logRows(encoder: RequestEncoder, { resource, scope, record }: Json): Promise<Row[]> {
  const request = { resourceLogs: [{ resource, scopeLogs: [{ scope, logRecords: [record] }] }] };
  return rowsOf(
    await encoder.encode("logs", transcodeLogs(Buffer.from(JSON.stringify(request))), RECEIVED),
  );
}

async function spanRows(
  encoder: RequestEncoder,
  { resource, scope, record }: Json,
): Promise<Row[]> {
  const request = { resourceSpans: [{ resource, scopeSpans: [{ scope, spans: [record] }] }] };
  return rowsOf(
    await encoder.encode("traces", transcodeTraces(Buffer.from(JSON.stringify(request))), RECEIVED),
  );
}

const string = (value: string): Json => ({ stringValue: value });
const pair = (key: string, value: Json): Json => ({ key, value });
const nested = (value: Json): Json => ({
  kvlistValue: {
    values: [
      pair("a", { arrayValue: { values: [{ kvlistValue: { values: [pair("b", value)] } }] } }),
    ],
  },
});

/** A log and a span that have something in every place where a sender can write a text. */
const LOG: Json = {
  resource: {
    attributes: [pair("service.name", string("orders")), pair("note", string("resource"))],
  },
  scope: { name: "scope", version: "1", attributes: [pair("note", string("scope"))] },
  record: {
    severityText: "INFO",
    eventName: "event",
    body: string("body"),
    attributes: [pair("note", string("attribute")), pair("deep", nested(string("nested")))],
  },
};
const SPAN: Json = {
  resource: LOG["resource"],
  scope: LOG["scope"],
  record: {
    traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
    spanId: "00f067aa0ba902b7",
    traceState: "vendor=state",
    name: "GET /orders",
    startTimeUnixNano: "1790000000000000000",
    endTimeUnixNano: "1790000000001000000",
    attributes: [
      pair("http.url", string("https://shop.example/orders")),
      pair("deep", nested(string("nested"))),
    ],
    status: { message: "status" },
    events: [{ name: "exception", attributes: [pair("exception.message", string("event"))] }],
    links: [
      {
        traceId: "4bf92f3577b34da6a3ce929d0e0e4736",
        spanId: "00f067aa0ba902b7",
        traceState: "vendor=link",
        attributes: [pair("note", string("link"))],
      },
    ],
  },
};

interface Input {
  readonly name: string;
  readonly signal: "logs" | "traces";
  readonly json: Json;
}

const INPUTS: readonly Input[] = [
  { name: "log", signal: "logs", json: LOG },
  { name: "span", signal: "traces", json: SPAN },
  ...[...DIALECTS.map((dialect) => dialect.name), "none"].flatMap((dialect) =>
    readdirSync(new URL(`${dialect}/`, FIXTURES)).map((name) => ({
      name: `${dialect}/${name}`,
      signal: "logs" as const,
      json: JSON.parse(
        readFileSync(new URL(`${dialect}/${name}/in.json`, FIXTURES), "utf8"),
      ) as Json,
    })),
  ),
];

/** Every text of a request that is not an ID or a number, as the object and the key that hold it. */
function placesIn(value: unknown, found: [Json, string][] = []): [Json, string][] {
  if (typeof value !== "object" || value === null) return found;
  for (const [key, item] of Object.entries(value)) {
    const isText = [
      "stringValue",
      "key",
      "name",
      "version",
      "severityText",
      "eventName",
      "traceState",
      "message",
    ].includes(key);
    if (typeof item === "string" && isText) found.push([value as Json, key]);
    else placesIn(item, found);
  }
  return found;
}

/** Secrets of every kind that is redacted by default, and of a user's own. */
const SECRETS: readonly string[] = [
  `https://shop.example/cb?code=${MARK}&state=1`,
  `/x?next=${encodeURIComponent(`/y?access_token=${MARK}&a=1`)}`,
  `/x?next=${encodeURIComponent(encodeURIComponent(`/y?PassWord=${MARK}`))}`,
  `{"user":"bob","PASSWORD":"${MARK}","n":[{"client_secret":"${MARK}"}]}`,
  `{"msg":${JSON.stringify(JSON.stringify({ url: `/x?token=${MARK}`, api_key: MARK }))}}`,
  `Authorization: Bearer ${MARK}`,
  `Authorization: Digest username="bob", realm="shop", response="${MARK}", opaque="${MARK}"`,
  `{"headers":[{"key":"Authorization","value":"Own ${MARK}"},{"name":"Cookie","value":"a=${MARK}"}]}`,
  `["host","x","authorization","Own ${MARK}"]`,
  `{"fields":[{"name":"password","type":"text","value":"${MARK}"}]}`,
  `{"request":{"query":{"page":"1","code":"${MARK}"}}}`,
  `<login><user>bob</user><password>${MARK}</password></login>`,
  `ghp_${MARK}aB3dE5gH7jK9mN1pQ3sTaB3dE5gH7jK9`,
  `{"message":"x","credentials":{"name":"bob","value":[{"a":"${MARK}"}]}}`,
  `?accesstoken=${MARK}&new_password2=${MARK}`,
  `cookie="a=${MARK}; b=${MARK}"`,
  `https://bob:${MARK}@db.example/x`,
  `eyJhbGciOiJub25lIn0.eyJ${MARK}.${MARK}`,
  `Bearer ${MARK}0123456789`,
  `Basic ${Buffer.from(`bob:${MARK}`).toString("base64")}`,
  `-----BEGIN PRIVATE KEY-----\n${MARK}\n-----END PRIVATE KEY-----`,
  `${MARK}.smith@shop.example`,
  `order-${MARK}-000001`,
];
const OWN: RedactOptions = {
  patterns: [{ name: "order", pattern: `order-${MARK}-\\d{6}` }],
  keys: ["voucher"],
  headers: ["x-own"],
};

function plant(input: Input, choice: number, secret: string, how: number): Json {
  const json = structuredClone(input.json);
  const places = placesIn(json);
  const [holder, key] = places[choice % places.length]!;
  const before = holder[key] as string;
  holder[key] = [secret, `${before} ${secret}`, `${before}?a=1&b=${secret}`, `"${secret}"`][
    how % 4
  ];
  return json;
}

/** Words of the fixtures' lines that a client sends: its name, a path. */
const WRITTEN_BY_CLIENTS = /shop-web\/1\.4|curl\/[\d.]+|\/api\/orders[^ "]*|\/productpage[^ "]*/g;

t.test(
  "no secret with a blank or a quotation mark that a client sends survives in a line",
  async (t) => {
    const encoder = encoderOf(OWN);
    let planted = 0;
    for (const { json, signal, name } of INPUTS) {
      const line = String((json["record"] as { body?: Json }).body?.["stringValue"] ?? "");
      if (signal !== "logs" || line.trimStart().startsWith("{")) continue;
      for (const { index, 0: word } of line.matchAll(WRITTEN_BY_CLIENTS))
        for (const secret of SECRETS) {
          if (secret.includes("smith@") || secret.includes("\n")) continue;
          const copy = structuredClone(json);
          const text = line.slice(0, index) + secret + line.slice(index + word.length);
          ((copy["record"] as { body: Json }).body as Json)["stringValue"] = text;
          const rows = JSON.stringify(await logRows(encoder, copy), (_, item: unknown) =>
            typeof item === "bigint" ? String(item) : item,
          );
          planted++;
          if (rows.includes(MARK) || rows.includes(basicMark)) t.fail(`${name}: ${text} ${rows}`);
          if (passedOn.includes(MARK) || passedOn.includes(basicMark))
            t.fail(`${name}: ${text} ${passedOn}`);
        }
    }
    t.ok(planted > 500, `${planted} secrets`);
  },
);

const IDENTITIES: ReadonlySet<string> = new Set([
  "Actor",
  "ActorChain",
  "EndUser",
  "EndUserIssuer",
  "PeerPrincipal",
  "LocalPrincipal",
]);
const basicMark = Buffer.from(`bob:${MARK}`).toString("base64");

t.test(
  "no secret that is planted anywhere survives in any column of any record, or is passed on",
  async (t) => {
    const encoder = encoderOf(OWN);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...INPUTS.filter(({ json }) => placesIn(json).length > 0)),
        fc.nat(1000),
        fc.constantFrom(...SECRETS),
        fc.nat(3),
        async (input, choice, secret, how) => {
          const json = plant(input, choice, secret, how);
          // No client can write in front of a line or behind it; what it can write is another test's.
          const { body } = json["record"] as { body?: Json };
          const line = String(body?.["stringValue"]);
          if (/[ "]/.test(secret) && line.includes(secret) && !line.trimStart().startsWith("{"))
            return true;
          const rows = await (input.signal === "logs" ? logRows : spanRows)(encoder, json);
          // An e-mail address may be the name of who acted.
          const isAddress = secret.includes("smith@");
          const text = JSON.stringify(rows, (key, item: unknown) =>
            isAddress && IDENTITIES.has(key) ? "" : typeof item === "bigint" ? String(item) : item,
          );
          const all = isAddress ? text : text + passedOn;
          return rows.length === 1 && !all.includes(MARK) && !all.includes(basicMark);
        },
      ),
      { numRuns: 4000 },
    );
    t.ok(INPUTS.length > 50);
  },
);

t.test("every place of a span and a log is redacted, and named in Redactions", async (t) => {
  for (const [rowsOfInput, input] of [
    [logRows, LOG],
    [spanRows, SPAN],
  ] as const) {
    const json = structuredClone(input);
    for (const [holder, key] of placesIn(json))
      if (key !== "key") holder[key] = `${String(holder[key])}?token=${MARK}`;
    const [row] = await rowsOfInput(encoderOf({}), json);
    const text = JSON.stringify(row, (_, item: unknown) =>
      typeof item === "bigint" ? String(item) : item,
    );
    t.notMatch(text, MARK);
    t.notMatch(passedOn, MARK);
    const notes = row!["Redactions"] as string[];
    const places =
      input === LOG
        ? [
            "SeverityText",
            "Body",
            "LogAttributes",
            "EventName",
            "ServiceName",
            "ResourceAttributes",
            "ScopeName",
            "ScopeVersion",
            "ScopeAttributes",
          ]
        : [
            "TraceState",
            "SpanName",
            "SpanAttributes",
            "StatusMessage",
            "Events.Name",
            "Events.Attributes",
            "Links.TraceState",
            "Links.Attributes",
            "ServiceName",
            "ResourceAttributes",
            "ScopeName",
            "ScopeVersion",
            "ScopeAttributes",
          ];
    t.same([...notes].sort(), places.map((place) => `${place}:token`).sort());
  }
});

t.test("values under secret keys go as a whole, of whatever type, at any depth", async (t) => {
  const record = {
    attributes: [
      pair("db.password", { intValue: "12345" }),
      pair("http.request.header.authorization", { arrayValue: { values: [string(MARK)] } }),
      pair("deep", nested({ kvlistValue: { values: [pair("client_secret", string(MARK))] } })),
      pair("raw", { bytesValue: Buffer.from(`password=${MARK}`).toString("base64") }),
      pair("voucher", string(MARK)),
      pair("list", {
        arrayValue: { values: [string("host"), string("x"), string("Cookie"), string(MARK)] },
      }),
      pair("url.query", {
        kvlistValue: { values: [pair("page", string("2")), pair("code", string(MARK))] },
      }),
      pair("empty.token", string("")),
      pair("user_agent", string(`x ${MARK}`)),
    ],
    body: { bytesValue: Buffer.from(`{"token":"${MARK}"}`).toString("base64") },
  };
  const [row] = await logRows(
    encoderOf({ ...OWN, columns: ["Body"], keys: ["voucher", "user_agent"] }),
    { record },
  );
  t.same(Object.fromEntries(row!["LogAttributes"] as [string, string][]), {
    "db.password": "[redacted]",
    deep: '{"a":[{"b":{"client_secret":"[redacted]"}}]}',
    "empty.token": "",
    "http.request.header.authorization": "[redacted]",
    list: '["host","x","Cookie","[redacted]"]',
    raw: "[redacted]",
    "url.query": '{"page":"2","code":"[redacted]"}',
    user_agent: "[redacted]",
    voucher: "[redacted]",
  });
  t.equal(row!["Body"], "[redacted]");
  t.same(row!["Redactions"], [
    "Body:column",
    "LogAttributes:password",
    "LogAttributes:secret",
    "LogAttributes:authorization",
    "LogAttributes:cookie",
    "LogAttributes:code",
    "LogAttributes:user_agent",
    "LogAttributes:voucher",
  ]);
});

t.test(
  "what identifies is kept: IDs, principals, and the address that names who acted",
  async (t) => {
    const keep = {
      "enduser.id": "alice@shop.example",
      "dd.trace_id": "4611686018427387904",
      span_id: "4111111111111111",
      traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-4111111111111111-01",
      request: "785918d6-06b6-9312-8b8a-0123456789ab",
      principal: "spiffe://cluster.local/ns/shop/sa/orders",
      cluster: "outbound|8080|v1|orders.shop.svc.cluster.local",
      bytes: "4111111111",
      time: "1795378828123456000",
      address: "[2001:db8::1]:8080",
      url: "https://shop.example/orders?page=2&sort=asc#top",
    };
    const record = {
      attributes: Object.entries(keep).map(([key, value]) => pair(key, string(value))),
    };
    for (const [row] of [
      await logRows(encoderOf({}), { record }),
      await spanRows(encoderOf({}), { record }),
    ]) {
      t.same(
        Object.fromEntries((row!["LogAttributes"] ?? row!["SpanAttributes"]) as [string, string][]),
        keep,
      );
      t.same(row!["Redactions"], []);
    }
  },
);

t.test("a pseudonym is the same for the same value, however it is written", async (t) => {
  const pseudonymKey = "0123456789abcdef0123456789abcdef";
  const hmac = (value: string): string =>
    `[hmac:${createHmac("sha256", pseudonymKey).update(value).digest("hex").slice(0, 32)}]`;
  const body = "from Alice@Shop.example to=alice%40shop.example, 4111-1111-1111-1111 ?token=a%2Fb";
  const attributes = [
    pair("card_number", string("4111 1111 1111 1111")),
    pair("login_secret", string("Alice@Shop.example")),
    pair("password", string("p")),
  ];
  const [row] = await logRows(encoderOf({ pseudonymKey, columns: ["EventName"] }), {
    record: { body: string(body), eventName: "ALICE@shop.example", attributes },
  });
  const alice = hmac("alice@shop.example");
  t.equal(
    row!["Body"],
    `from ${alice} to=${alice}, ${hmac("4111111111111111")} ?token=${hmac("a/b")}`,
  );
  // Whether a look, a name or the column gave it away.
  t.same(row!["LogAttributes"], [
    ["card_number", hmac("4111111111111111")],
    ["login_secret", alice],
    ["password", hmac("p")],
  ]);
  t.equal(row!["EventName"], alice);
});

t.test("Redactions says when it does not name all", async (t) => {
  const attributes = Array.from({ length: 20 }, (_, i) => pair(`k${i}`, string(MARK)));
  const keys = attributes.map((_, i) => `k${i}`);
  const [row] = await logRows(encoderOf({ keys }), { record: { attributes } });
  const notes = row!["Redactions"] as string[];
  t.equal(notes.length, 17);
  t.equal(notes.at(-1), "more");
});

t.test("a row is redacted before it is cut, so that no hash is of a secret", async (t) => {
  const bodyOf = (secret: string): Json => ({
    record: { body: string(`${"x".repeat(9000)} token=${secret}`) },
  });
  const small = encoderOf({}, 4096);
  const [one] = await logRows(small, bodyOf("a"));
  const [other] = await logRows(small, bodyOf("bbbb"));
  t.match(one!["Truncations"], [/^Body 9017 bytes sha256:/]);
  t.same(one!["Truncations"], other!["Truncations"]);
});

/** What a proxy says in JSON, as a body, as a list and as attributes. */
function formsOf(members: Json): Json[] {
  const valueOf = (value: unknown): Json =>
    Array.isArray(value)
      ? { arrayValue: { values: value.map(valueOf) } }
      : typeof value === "object"
        ? { kvlistValue: { values: listOf(value as Json) } }
        : string(String(value));
  const listOf = (list: Json): Json[] =>
    Object.entries(list).map(([key, value]) => pair(key, valueOf(value)));
  return [
    { body: string(JSON.stringify(members)) },
    { body: valueOf(members) },
    { attributes: listOf(members) },
  ];
}

t.test(
  "what stands within a secret is one, though nested values get names of their own",
  async (t) => {
    const members = {
      "http.request.method": "GET",
      "http.response.status_code": "200",
      "url.path": "/x",
      clientSecret: { current: MARK, next: { value: MARK } },
      db: { password: [{ a: MARK }] },
      headers: [
        { name: "X-Api-Key", value: MARK },
        { key: "Cookie", value: MARK },
        { value: MARK, enabled: "true", name: "Cookie" },
        { headerName: "Cookie", headerValue: MARK },
        { name: "Accept", type: "text", value: "kept" },
      ],
      rawHeaders: ["Host", "x", "Cookie", MARK],
      form: [
        ["password", MARK],
        ["a", "b"],
      ],
      credential: { key: "password", value: MARK },
      "http.query": { page: "2", code: MARK },
    };
    for (const record of formsOf(members)) {
      const [row] = await logRows(encoderOf({}), { record });
      t.equal(row!["Dialect"], "semconv");
      t.notMatch(
        JSON.stringify(row, (_, v: unknown) => (typeof v === "bigint" ? "" : v)),
        MARK,
      );
      t.ok((row!["Redactions"] as string[]).includes("LogAttributes:secret"));
      t.match(JSON.stringify(row!["LogAttributes"]), "kept");
    }
  },
);

t.test("an attribute that another one names is a secret", async (t) => {
  const attributesOf = (values: Record<string, string>): Json[] =>
    Object.entries(values).map(([key, value]) => pair(key, string(value)));
  const attributes = attributesOf({
    "a.name": "Host",
    "a.value": "kept",
    "b.header_name": "Cookie",
    "b.other.value": "kept",
    "b.value": MARK,
    "c.name.of": "password",
    "c.value": "kept",
    name: "password",
    value: MARK,
  });
  const [log] = await logRows(encoderOf({}), { record: { attributes } });
  const kept = attributesOf({
    "a.name": "Host",
    "a.value": "kept",
    "b.header_name": "Cookie",
    "b.other.value": "kept",
    "b.value": "[redacted]",
    "c.name.of": "password",
    "c.value": "kept",
    name: "password",
    value: "[redacted]",
  }).map((item) => [item["key"], (item["value"] as Json)["stringValue"]]);
  t.same(log!["LogAttributes"], kept);
  t.same(log!["Redactions"], ["LogAttributes:cookie", "LogAttributes:password"]);
  t.notMatch(passedOn, MARK);
  const events = [{ name: "x", attributes }];
  const [span] = await spanRows(encoderOf({}), {
    record: { ...(SPAN["record"] as Json), events },
  });
  t.same(span!["Events.Attributes"], [kept]);
});

t.test("a line that a collector wrapped in JSON is looked through as a whole", async (t) => {
  const line = `2026-11-22T20:20:28.12345Z\tinfo\trequest gateway=edge/gateway listener=http route=shop/orders endpoint=10.2.3.4:8080 src.addr=192.0.2.44:5664 http.method=GET http.host=x http.path=/x cookie: a=1; b=${MARK} http.version=HTTP/1.1 http.status=200 duration=4ms`;
  const [row] = await logRows(encoderOf({}), {
    record: { body: string(JSON.stringify({ log: `${line}\n`, stream: "stdout" })) },
  });
  t.equal(row!["Dialect"], "agentgateway");
  t.equal(row!["StatusCode"], 200);
  t.notMatch(
    JSON.stringify(row, (_, v: unknown) => (typeof v === "bigint" ? "" : v)),
    MARK,
  );
});

t.test("a text of ours loses its secrets and keeps who it speaks of", async (t) => {
  const { redactor } = new Normaliser({ redact: {} });
  for (const [text, expected] of [
    ['{"path":"/x?token=abc&a=1"}', '{"path":"/x?token=[redacted]&a=1"}'],
    ['{"password":12345,"a":1}', '{"password":"[redacted]","a":1}'],
    ["müller: /x?token=äöü", "müller: /x?token=[redacted]"],
    ['{"principal":"alice@shop.example"}', '{"principal":"alice@shop.example"}'],
    ["", ""],
  ] as const)
    t.equal(redactor.redactText(text), expected);
});
