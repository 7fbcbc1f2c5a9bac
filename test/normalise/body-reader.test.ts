import fc from "fast-check";
import t from "tap";
import { BodyReader } from "../../src/normalise/body-reader.ts";
import type { Dialect } from "../../src/normalise/dialect.ts";
import { type Expansion, MAX_NAME_BYTES } from "../../src/normalise/expansion.ts";
import { MAX_MEMBERS, MAX_NESTING } from "../../src/normalise/json-members.ts";
import { LINE } from "../../src/normalise/line.ts";
import { LineFormat } from "../../src/normalise/line-format.ts";
import { VALUE_TYPES } from "../../src/records/attributes.ts";
import { attributes, readRecord } from "../support/normalise.ts";
import type { ScopeTraits } from "../../src/normalise/scope-traits.ts";

const TRAITS = { envoyLabels: false } as ScopeTraits;
const LINES: Dialect = {
  name: "lines",
  source: "",
  lines: [new LineFormat('[%START_TIME%] "%METHOD% %PATH%" %RESPONSE_CODE%')],
};
const LINE_TEXT = '[2026-11-22T20:20:28.123Z] "GET /a" 200';
const LINE_FIELDS = {
  start_time: "2026-11-22T20:20:28.123Z",
  method: "GET",
  path: "/a",
  response_code: "200",
};

/** Texts as they are, null for none, and the type of anything else. */
function membersOf({ attributes: list, bytes }: Expansion): [string, string | null][] {
  return Array.from({ length: list.count }, (_, i) => {
    const text = (from: number, to: number): string =>
      Buffer.from(bytes.subarray(from, to)).toString();
    const type = list.valueType[i]!;
    const value =
      type === VALUE_TYPES.none
        ? null
        : type === VALUE_TYPES.string
          ? text(list.valueStart[i]!, list.valueEnd[i]!)
          : Object.keys(VALUE_TYPES)[type]!;
    return [text(list.keyStart[i]!, list.keyEnd[i]!), value];
  });
}

/** What a JSON text is, by JSON.parse: nested members under dotted names, arrays of plain values as they stand. */
function flatten(value: unknown, name = ""): [string, string | null][] {
  const join = (key: string): string => (name === "" ? key : `${name}.${key}`);
  if (Array.isArray(value)) {
    if (value.length > 0 && typeof value[0] === "object" && value[0] !== null)
      return value.flatMap((item, i) => flatten(item, join(String(i))));
    return [[name, JSON.stringify(value)]];
  }
  if (typeof value === "object" && value !== null) {
    const members = Object.entries(value).flatMap(([key, member]) => flatten(member, join(key)));
    return members.length === 0 && name !== "" ? [[name, "{}"]] : members;
  }
  if (value === null) return [[name, null]];
  return [[name, typeof value === "string" ? value.toWellFormed() : JSON.stringify(value)]];
}

// At most 4 · (2 · 4)² members: fewer than MAX_MEMBERS.
const json = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 2 },
    fc.oneof(
      fc.string({ unit: "binary" }),
      fc.integer(),
      fc.double({ noNaN: true, noDefaultInfinity: true }),
      fc.boolean(),
      fc.constant(null),
    ),
    tie("object"),
    fc.array(fc.oneof(fc.string(), fc.integer(), fc.constant(null)), { maxLength: 3 }),
    fc.array(tie("object"), { maxLength: 2 }),
  ),
  object: fc.dictionary(fc.string({ minLength: 1, maxLength: 8 }), tie("value"), { maxKeys: 4 }),
})).object as fc.Arbitrary<Record<string, unknown>>;

function expand(body: object, more: object[] = []): { reader: BodyReader; isExpanded: boolean } {
  const reader = new BodyReader([LINES]);
  const { view } = readRecord({ record: { body, attributes: more } });
  return { reader, isExpanded: reader.expand(view) };
}

t.test("the members of a JSON body are those that JSON.parse finds, in any layout", async () => {
  fc.assert(
    fc.property(json, fc.constantFrom(0, 1, "\t"), (value, indent) => {
      const members = flatten(value);
      const { reader, isExpanded } = expand({ stringValue: JSON.stringify(value, null, indent) });
      // Arrays keep their layout.
      const plain = ([name, text]: [string, string | null]): unknown[] => [
        name,
        text?.replace(/\s/g, ""),
      ];
      return (
        JSON.stringify(membersOf(reader.expansion).map(plain)) ===
          JSON.stringify(members.map(plain)) &&
        reader.status === (members.length === 0 && !isExpanded ? LINE.foreign : LINE.full)
      );
    }),
    { numRuns: 2000 },
  );
});

t.test(
  "a JSON body that is cut off gives the members before the cut, and counts as read in part",
  async () => {
    fc.assert(
      fc.property(json, fc.nat(), (value, cutAt) => {
        const text = Buffer.from(JSON.stringify(value));
        const cut = cutAt % text.length;
        const { reader } = expand({ stringValue: text.subarray(0, cut).toString() });
        const all = flatten(value).map((member) => JSON.stringify(member));
        const found = membersOf(reader.expansion).map((member) => JSON.stringify(member));
        return reader.status !== LINE.full && found.every((member, i) => member === all[i]);
      }),
      { numRuns: 2000 },
    );
  },
);

t.test("any bytes as a body end without a throw", async () => {
  const piece = fc.oneof(
    fc.string({ unit: "binary", maxLength: 5 }),
    fc.constantFrom(
      "{",
      "}",
      "[",
      "]",
      '"',
      ":",
      ",",
      "\\",
      "\\u12",
      '{"a":',
      '"log":"',
      "null",
      "-",
      "1e9",
      '\\u{110000}"',
      "2026-11-22T20:20:28Z stdout F ",
    ),
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 30 }), (pieces) => {
      const { reader } = expand({ stringValue: `{${pieces.join("")}` });
      reader.readWrapped(TRAITS);
    }),
    { numRuns: 5000 },
  );
});

t.test("what would grow or nest without bound stays in the body", async (t) => {
  const many = Object.fromEntries(Array.from({ length: MAX_MEMBERS + 5 }, (_, i) => [`k${i}`, i]));
  const wide = expand({ stringValue: JSON.stringify(many) }).reader;
  t.equal(wide.status, LINE.partial);
  t.equal(wide.expansion.attributes.count, MAX_MEMBERS);

  const long = "n".repeat(MAX_NAME_BYTES - 3);
  const named = expand({ stringValue: JSON.stringify({ [long]: { ab: 1, abc: 2 }, z: 3 }) }).reader;
  t.equal(named.status, LINE.partial);
  t.strictSame(membersOf(named.expansion), [
    [`${long}.ab`, "1"],
    ["z", "3"],
  ]);

  const depth = 100_000;
  const deep = expand({ stringValue: `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}` }).reader;
  t.equal(deep.status, LINE.full);
  const [[name]] = membersOf(deep.expansion) as [[string, string]];
  t.equal(name, Array(MAX_NESTING).fill("a").join("."), "deeper objects are JSON text");
});

t.test(
  "metadata that is JSON text becomes its members, of a bounded number of attributes",
  async (t) => {
    const text = { stringValue: '{"a":{"b":"c"}}' };
    const one = (key: string): [string, string | null][] =>
      membersOf(
        expand({}, [
          { key, value: text },
          { key: "list", value: { kvlistValue: {} } },
        ]).reader.expansion,
      );
    for (const key of [
      "envoy.filters.http.lua",
      "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
      "rbac_metadata",
    ])
      t.ok(
        one(key).some(([name, value]) => name === `${key}.a.b` && value === "c"),
        key,
      );
    for (const key of ["x-rbac", "user_agent", "envoy.filters.http.jwt_authn:payload"])
      t.strictSame(one(key)[0], [key, text.stringValue], key);

    const many = Array.from({ length: 1000 }, (_, i) => ({ key: `rbac${i}`, value: text }));
    const members = membersOf(expand({}, many).reader.expansion);
    t.equal(members.length, 1000, "nothing is lost");
    t.equal(members.filter(([name]) => name.endsWith(".a.b")).length, 16);
  },
);

t.test("a list of values is read as JSON of the same content is", async () => {
  const toAny = (value: unknown): object => {
    if (typeof value === "string") return { stringValue: value };
    if (Array.isArray(value)) return { arrayValue: { values: value.map(toAny) } };
    if (typeof value === "object" && value !== null)
      return {
        kvlistValue: {
          values: Object.entries(value).map(([key, item]) => ({ key, value: toAny(item) })),
        },
      };
    return {};
  };
  // Texts and objects only: numbers and arrays keep their type here.
  const texts = fc.letrec((tie) => ({
    object: fc.dictionary(
      fc.string({ minLength: 1, maxLength: 8 }),
      fc.oneof(
        { maxDepth: 2 },
        fc.string({ minLength: 1 }),
        tie("object"),
        fc.array(tie("object"), { minLength: 1, maxLength: 2 }),
      ),
      { minKeys: 1, maxKeys: 4 },
    ),
  })).object as fc.Arbitrary<Record<string, unknown>>;
  fc.assert(
    fc.property(texts, (value) => {
      const asBody = expand(toAny(value)).reader;
      const asAttributes = expand(
        {},
        Object.entries(value).map(([key, item]) => ({ key, value: toAny(item) })),
      ).reader;
      const wanted = JSON.stringify(flatten(value));
      const isNested = Object.values(value).some(
        (item) => typeof item === "object" && !Array.isArray(item),
      );
      return (
        asBody.status === LINE.full &&
        JSON.stringify(membersOf(asBody.expansion)) === wanted &&
        (!isNested ||
          Object.values(value).some(Array.isArray) ||
          JSON.stringify(membersOf(asAttributes.expansion)) === wanted)
      );
    }),
    { numRuns: 1000 },
  );
});

t.test("a line is found behind what container runtimes and collectors put around it", async (t) => {
  const docker = (line: string): string =>
    JSON.stringify({ log: `${line}\n`, stream: "stdout", time: "2026-11-22T20:20:28.5Z" });
  const found = (body: string, more: object[] = []): unknown => {
    const reader = new BodyReader([LINES]);
    const { view } = readRecord({ record: { body: { stringValue: body }, attributes: more } });
    let dialect = reader.readLine(view, TRAITS);
    if (dialect === undefined && reader.expand(view)) dialect = reader.readWrapped(TRAITS);
    return dialect === undefined ? undefined : Object.fromEntries(membersOf(reader.expansion));
  };
  t.strictSame(found(`${LINE_TEXT}\r\n`), LINE_FIELDS);
  t.strictSame(found(LINE_TEXT, attributes({ tenant: "acme" })), {
    tenant: "acme",
    ...LINE_FIELDS,
  });
  t.strictSame(found(`2026-11-22T20:20:28.123456789Z stderr F ${LINE_TEXT}`), {
    ...LINE_FIELDS,
    "log.time": "2026-11-22T20:20:28.123456789Z",
    "log.iostream": "stderr",
  });
  t.strictSame(found(docker(LINE_TEXT)), {
    ...LINE_FIELDS,
    stream: "stdout",
    time: "2026-11-22T20:20:28.5Z",
  });
  t.strictSame(found(JSON.stringify({ address: "10.0.0.1:80", message: LINE_TEXT })), {
    ...LINE_FIELDS,
    address: "10.0.0.1:80",
  });
  t.equal(found(`2026-11-22T20:20:28Z stdout X${LINE_TEXT}`), undefined, "no such prefix");
  t.equal(found(docker("something else")), undefined);
});

t.test("JSON in JSON is one record", async (t) => {
  const { reader } = expand({
    stringValue: JSON.stringify({
      log: `${JSON.stringify({ method: "GET", path: "/ä\n" })}\n`,
      stream: "stdout",
    }),
  });
  t.equal(reader.readWrapped(TRAITS), undefined);
  t.equal(reader.status, LINE.full);
  t.strictSame(membersOf(reader.expansion), [
    ["stream", "stdout"],
    ["method", "GET"],
    ["path", "/ä\n"],
  ]);
});

t.test("items of an array that are pairs of key and value stand under their keys", async (t) => {
  const pairs = [
    { key: "X-Request-Id", value: "r1" },
    { value: "*/*", key: "Accept" },
    { key: "", value: "no name" },
    { key: "X-Empty", value: "" },
    { key: "no value" },
    { key: "more", value: "v", kind: "k" },
    { key: { key: "a", value: "b" }, value: "c" },
    { key: "n".repeat(MAX_NAME_BYTES), value: "too long a name" },
    { key: "Accept", value: "again" },
  ];
  const expected = [
    ["h.X-Request-Id", "r1"],
    ["h.Accept", "*/*"],
    ["h.2.key", ""],
    ["h.2.value", "no name"],
    ["h.X-Empty", ""],
    ["h.4.key", "no value"],
    ["h.5.key", "more"],
    ["h.5.value", "v"],
    ["h.5.kind", "k"],
    ["h.6.key.key", "a"],
    ["h.6.key.value", "b"],
    ["h.6.value", "c"],
    ["h.7.key", "n".repeat(MAX_NAME_BYTES)],
    ["h.7.value", "too long a name"],
    ["h.Accept", "again"],
  ];
  const { reader } = expand({ stringValue: JSON.stringify({ h: pairs, key: "k", value: "v" }) });
  t.strictSame(membersOf(reader.expansion), [...expected, ["key", "k"], ["value", "v"]]);
  t.equal(reader.status, LINE.full);
  const typed = pairs.map((pair) => ({
    kvlistValue: {
      values: Object.entries(pair).map(([key, item]) => ({
        key,
        value:
          typeof item === "string"
            ? { stringValue: item }
            : { kvlistValue: { values: attributes(item) } },
      })),
    },
  }));
  const list = expand({
    kvlistValue: { values: [{ key: "h", value: { arrayValue: { values: typed } } }] },
  }).reader;
  t.strictSame(membersOf(list.expansion), expected, "and so do those of a list of values");
});
