import { existsSync, readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import t from "tap";
import { Expansion } from "../../src/normalise/expansion.ts";
import { LINE } from "../../src/normalise/line.ts";
import { DIALECTS } from "../../src/normalise/load-dialects.ts";
import { Normaliser } from "../../src/normalise/normaliser.ts";
import { ShapeCache } from "../../src/records/key-shape.ts";
import {
  attributes,
  bodyOf,
  type Columns,
  columnsOf,
  normalise,
  readRecord,
  type RecordInput,
} from "../support/normalise.ts";

const FIXTURES = new URL("../fixtures/", import.meta.url);
/** Folder of the records that no dialect may claim. */
const NONE = "none";
const REDACT = {
  queryParameters: ["token", "code", "password"],
  headers: ["authorization", "cookie"],
};
const SECRET = "s3cr3t";

interface Fixture {
  readonly dialect: string;
  readonly name: string;
  readonly input: RecordInput;
  readonly expected: Columns | null;
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, FIXTURES), "utf8"));
}

function fixturesOf(dialect: string): Fixture[] {
  if (!existsSync(new URL(dialect, FIXTURES))) return [];
  return readdirSync(new URL(dialect, FIXTURES)).map((name) => ({
    dialect,
    name,
    input: readJson(`${dialect}/${name}/in.json`) as RecordInput,
    expected: readJson(`${dialect}/${name}/out.json`) as Columns | null,
  }));
}

const fixtures = [...DIALECTS.map((dialect) => dialect.name), NONE].flatMap(fixturesOf);

t.test("every dialect has a name of its own, a source and fixtures", async (t) => {
  t.equal(new Set(DIALECTS.map((dialect) => dialect.name)).size, DIALECTS.length);
  for (const { name, source } of DIALECTS) {
    t.match(source, /^https:\/\//, name);
    t.ok(fixturesOf(name).length > 0, `${name} has fixtures`);
  }
  t.ok(fixturesOf(NONE).length > 0, "and there are records that none may claim");
});

t.test("each fixture gives exactly its columns", async (t) => {
  const normaliser = new Normaliser({ redact: REDACT });
  for (const { dialect, name, input, expected } of fixtures) {
    t.strictSame(normalise(normaliser, input) ?? null, expected, `${dialect}/${name}`);
    t.equal(normaliser.dialectName, dialect === NONE ? undefined : dialect);
  }
});

t.test("the order of the dialects does not matter: no two claim one record", async (t) => {
  // Whoever may claim a record at all claims it when it is asked first.
  for (const first of DIALECTS) {
    const others = DIALECTS.filter((dialect) => dialect !== first);
    const normaliser = new Normaliser({ redact: REDACT, dialects: [first, ...others] });
    for (const { dialect, name, input } of fixtures) {
      normalise(normaliser, input);
      t.equal(
        normaliser.dialectName,
        dialect === NONE ? undefined : dialect,
        `${dialect}/${name}, ${first.name} first`,
      );
    }
  }
});

t.test("no two formats read one line wholly, so that any may be tried first", async (t) => {
  const readers = DIALECTS.flatMap(({ name, lines = [] }) =>
    lines.map((reader, i) => ({ name: `${name} ${i}`, reader })),
  );
  const traits = new Normaliser({ redact: REDACT }).scope(readRecord({ record: {} }).scope);
  for (const { dialect, name, input } of fixtures) {
    const line = (input.record as { body?: { stringValue?: string } }).body?.stringValue?.trim();
    if (line === undefined || line === "") continue;
    const whole = readers.filter(({ reader }) => {
      const into = new Expansion();
      into.begin(readRecord({ record: {} }).view);
      const start = into.append(Buffer.from(line), 0, Buffer.byteLength(line));
      const first = into.bytes[start]!;
      return (
        reader.firstBytes[first] === 1 &&
        reader.read(into, start, into.length, traits) === LINE.full
      );
    });
    t.ok(whole.length <= 1, `${dialect}/${name}: ${whole.map((one) => one.name).join(", ")}`);
  }
});

t.test("a record's columns do not depend on the records before it", async () => {
  const normaliser = new Normaliser({ redact: REDACT });
  const seen = (input: RecordInput): string => JSON.stringify(normalise(normaliser, input) ?? null);
  const alone = new Map(fixtures.map((fixture) => [fixture, seen(fixture.input)]));
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...fixtures), { minLength: 2, maxLength: 6 }),
      (sequence) => sequence.every((fixture) => seen(fixture.input) === alone.get(fixture)),
    ),
    { numRuns: 200 },
  );
});

t.test("nothing outside the record is read", async (t) => {
  // The same record between other bytes: zeros, and digits and quotation marks that would carry a token on.
  const normaliser = new Normaliser({ redact: REDACT });
  const shapes = new ShapeCache();
  for (const { input, expected, name } of fixtures) {
    const body = bodyOf(input);
    const { view, scope } = readRecord(input, body);
    for (const filler of ["\0", '9"', "-", "a ", "=&"]) {
      const around = new Uint8Array(body.length + 400);
      Buffer.from(around.buffer).fill(filler);
      around.set(body, 200);
      const moved = shift(view, 200, around);
      const traits = normaliser.scope(scope);
      const claimed = normaliser.recognise(moved, shapes.find(around, moved.attributes), traits);
      t.strictSame(
        claimed ? columnsOf(normaliser) : null,
        expected,
        `${name} between ${JSON.stringify(filler)}`,
      );
      // Each value alone between such bytes: nothing of the record's own neighbourhood helps either.
      const scattered = scatter(view, filler);
      const again = normaliser.recognise(
        scattered,
        shapes.find(scattered.buffer, scattered.attributes),
        traits,
      );
      t.strictSame(
        again ? columnsOf(normaliser) : null,
        expected,
        `${name} scattered among ${JSON.stringify(filler)}`,
      );
    }
  }
});

t.test("arbitrary bytes as values and bodies never throw and never leave a secret", async () => {
  const normaliser = new Normaliser({ redact: REDACT });
  const keys = Object.keys(readKeys());
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 30 }),
    fc.constantFrom(
      "-",
      "",
      '"',
      " ",
      "[",
      "]",
      "{",
      "spiffe://",
      "inbound|80||",
      "rbac_access_denied_matched_policy[",
      "ns[a]-policy[b]-rule[0]",
      "URI=",
      'Subject="',
      ",",
      ";",
      "2026-11-22T20:20:28.123Z",
      "00-",
      "10.0.0.1:80",
      "[::1]:",
      "%",
      "%25",
      "/a/b?x=y&",
      "1e999",
      "99999999999999999999",
    ),
  );
  const value = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  const line = fc
    .array(piece, { maxLength: 25 })
    .map((pieces) => `[2026-11-22T20:20:28.123Z] "GET / HTTP/1.1" 200 - ${pieces.join(" ")}`);
  fc.assert(
    fc.property(
      fc.dictionary(fc.constantFrom(...keys), value),
      fc.oneof(value, line),
      fc.boolean(),
      (values, body, labelled) => {
        const record = {
          body: { stringValue: body },
          attributes: [
            ...attributes({ ...values, response_flags: "-" }),
            ...attributes({ referer: `https://x.example/?token=${SECRET}` }),
          ],
        };
        const resource = labelled
          ? { attributes: attributes({ log_name: "x", node_name: "y" }) }
          : {};
        const columns = normalise(normaliser, { resource, record });
        return columns === undefined || !JSON.stringify(columns).includes(SECRET);
      },
    ),
    { numRuns: 2000 },
  );
});

t.test(
  "hops of X-Forwarded-Client-Cert name the peer only when they are trusted, and never above its certificate",
  async (t) => {
    const base = readKeys();
    const chain =
      "URI=spiffe://a.example/ns/a/sa/old,URI=spiffe://b.example/ns/b/sa/edge,Hash=ab;URI=spiffe://c.example/ns/c/sa/near";
    const actor = (trustedHops: number, more: Record<string, string> = {}): unknown[] => {
      const columns = normalise(new Normaliser({ redact: REDACT, trustedHops }), {
        record: { attributes: attributes({ ...base, x_forwarded_client_cert: chain, ...more }) },
      })!;
      return [
        columns["Actor"],
        columns["PeerPrincipal"],
        columns["PeerNamespace"],
        columns["ActorAssurance"],
        columns["AuthMethod"],
      ];
    };
    const near = "spiffe://c.example/ns/c/sa/near";
    t.strictSame(actor(0), ["10.2.9.9", undefined, undefined, "address", "none"]);
    t.strictSame(actor(1), [near, near, "c", "forwarded_certificate", "none"]);
    t.strictSame(actor(2), [
      "spiffe://b.example/ns/b/sa/edge",
      near,
      "c",
      "forwarded_certificate",
      "none",
    ]);
    t.strictSame(actor(9), [
      "spiffe://a.example/ns/a/sa/old",
      near,
      "c",
      "forwarded_certificate",
      "none",
    ]);
    const peer = "spiffe://cluster.local/ns/web/sa/frontend";
    t.strictSame(actor(9, { downstream_peer_uri_san: peer }), [peer, peer, "web", "mtls", "mtls"]);
  },
);

t.test("a line of a refusal that was cut off is never an allowance", async (t) => {
  const normaliser = new Normaliser({ redact: REDACT });
  for (const { dialect, name, input, expected } of fixtures) {
    const { body } = input.record as { body?: { stringValue?: string } };
    const line = body?.stringValue;
    if (expected?.["Decision"] !== "denied" || line === undefined) continue;
    // Between two members of a JSON text there is little to find out.
    const step = line.startsWith("{") ? 9 : 1;
    for (let end = 0; end < line.length; end += step) {
      const record = { ...input.record, body: { stringValue: line.slice(0, end) } };
      const columns = normalise(normaliser, { ...input, record });
      if (columns?.["Decision"] === "allowed") t.fail(`${dialect}/${name} at ${end}`);
    }
  }
});

t.test("a header of the text line that is to be redacted stands nowhere", async (t) => {
  const normaliser = new Normaliser({ redact: { queryParameters: [], headers: ["User-Agent"] } });
  const { input } = fixtures.find(
    ({ dialect, name }) => dialect === "istio_text" && name === "inbound",
  )!;
  const full = normalise(normaliser, input)!;
  t.equal(full["UserAgent"], undefined);
  t.strictSame(full["Redactions"], ["LogAttributes:user-agent"]);
  const { body } = input.record as { body: { stringValue: string } };
  const broken = normalise(normaliser, {
    record: { body: { stringValue: body.stringValue.replace("28.123Z", "99.123Z") } },
  })!;
  t.equal(broken["ParseStatus"], "partial");
  t.equal(broken["Body"], "[redacted]");
});

t.test("normalisers with different redaction share a shape without mixing it up", async (t) => {
  const { input } = fixtures.find(({ name }) => name === "headers-redacted")!;
  const lenient = new Normaliser({
    redact: { keep: ["authorization"], detect: { bearer: false } },
  });
  t.match(JSON.stringify(normalise(lenient, input)), SECRET);
  t.notMatch(JSON.stringify(normalise(new Normaliser({ redact: REDACT }), input)), SECRET);
});

function readKeys(): Record<string, string> {
  const { input } = fixtures.find(({ name }) => name === "istio-json-keys")!;
  const pairs = (
    input.record as { attributes: { key: string; value: { stringValue: string } }[] }
  ).attributes.map(({ key, value }) => [key, value.stringValue] as const);
  return Object.fromEntries(pairs.filter(([key]) => !key.includes("uri_san")));
}

type View = ReturnType<typeof readRecord>["view"];

/** The view with all positions moved by `by`, in another buffer. */
function shift(view: View, by: number, buffer: Uint8Array): View {
  const moved = copyOf(view, buffer);
  for (const name of ["timeOffset", "observedOffset", "traceIdOffset", "spanIdOffset"] as const)
    if (view[name] >= 0) moved[name] = view[name] + by;
  for (const name of [
    "severityTextStart",
    "severityTextEnd",
    "eventNameStart",
    "eventNameEnd",
    "bodyStart",
    "bodyEnd",
  ] as const)
    moved[name] = view[name] + by;
  const { attributes: list } = view;
  for (let i = 0; i < list.count; i++) {
    moved.attributes.push(
      list.keyStart[i]! + by,
      list.keyEnd[i]! + by,
      list.valueType[i]!,
      list.valueStart[i]! + by,
      list.valueEnd[i]! + by,
    );
  }
  return moved;
}

/** The view with every value, key and ID copied to a place of its own, filler before and behind. */
function scatter(view: View, filler: string): View {
  const { attributes: list, buffer } = view;
  const parts: Buffer[] = [];
  let length = 0;
  const put = (start: number, end: number): number => {
    const pad = Buffer.alloc(40, filler);
    parts.push(pad, Buffer.from(buffer.subarray(start, end)));
    length += pad.length + end - start;
    return length - (end - start);
  };
  const moved = copyOf(view, buffer);
  for (const [name, bytes] of [
    ["timeOffset", 8],
    ["observedOffset", 8],
    ["traceIdOffset", 16],
    ["spanIdOffset", 8],
  ] as const) {
    if (view[name] >= 0) moved[name] = put(view[name], view[name] + bytes);
  }
  moved.eventNameStart = put(view.eventNameStart, view.eventNameEnd);
  moved.eventNameEnd = moved.eventNameStart + view.eventNameEnd - view.eventNameStart;
  moved.bodyStart = put(view.bodyStart, view.bodyEnd);
  moved.bodyEnd = moved.bodyStart + view.bodyEnd - view.bodyStart;
  for (let i = 0; i < list.count; i++) {
    const key = put(list.keyStart[i]!, list.keyEnd[i]!);
    const value = put(list.valueStart[i]!, list.valueEnd[i]!);
    moved.attributes.push(
      key,
      key + list.keyEnd[i]! - list.keyStart[i]!,
      list.valueType[i]!,
      value,
      value + list.valueEnd[i]! - list.valueStart[i]!,
    );
  }
  parts.push(Buffer.alloc(40, filler));
  moved.buffer = new Uint8Array(Buffer.concat(parts));
  return moved;
}

function copyOf(view: View, buffer: Uint8Array): View {
  const { view: copy } = readRecord({ record: {} });
  copy.reset(buffer);
  copy.severityNumber = view.severityNumber;
  copy.bodyType = view.bodyType;
  copy.flags = view.flags;
  return copy;
}
