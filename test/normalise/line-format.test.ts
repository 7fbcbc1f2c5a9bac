import fc from "fast-check";
import t from "tap";
import { ascii } from "../../src/normalise/ascii.ts";
import { appendWithoutHexEscapes, appendWithoutQuoteEscapes } from "../../src/normalise/escapes.ts";
import { Expansion } from "../../src/normalise/expansion.ts";
import { LINE } from "../../src/normalise/line.ts";
import { LineFormatError } from "../../src/normalise/format-string.ts";
import { LineFormat } from "../../src/normalise/line-format.ts";
import type { ScopeTraits } from "../../src/normalise/scope-traits.ts";
import { LogView } from "../../src/records/views.ts";

const NO_TRAITS = { envoyLabels: false } as ScopeTraits;
const STATUS = Object.entries(LINE);

/** What a format makes of a line: how far it was read, and the fields. */
function read(
  format: LineFormat,
  line: string,
  traits = NO_TRAITS,
): [string, Record<string, string>] {
  const into = new Expansion();
  into.begin(new LogView());
  const bytes = ascii(line);
  const start = into.append(bytes, 0, bytes.length);
  const status = format.read(into, start, start + bytes.length, traits);
  const list = into.attributes;
  const fields: Record<string, string> = {};
  const text = (from: number, to: number): string =>
    Buffer.from(into.bytes.subarray(from, to)).toString();
  for (let i = 0; i < list.count; i++)
    fields[text(list.keyStart[i]!, list.keyEnd[i]!)] = text(list.valueStart[i]!, list.valueEnd[i]!);
  return [STATUS.find(([, value]) => value === status)![0], fields];
}

t.test("fields have the names that we know them by, and their own where we do not", async (t) => {
  const format = new LineFormat('[%START_TIME(%s.%3f)%] "%REQ(X-TENANT)%" %RESPONSE_CODE% %%');
  t.strictSame(format.names, ["start_time", "REQ(X-TENANT)", "response_code"]);
  t.strictSame(read(format, '[1795378828.123] "acme" 200 %'), [
    "full",
    { start_time: "1795378828.123", "REQ(X-TENANT)": "acme", response_code: "200" },
  ]);
});

t.test("a length bound of Envoy is no part of a field's name", async (t) => {
  t.strictSame(new LineFormat("%REQ(USER-AGENT):64%").names, ["user_agent"]);
});

t.test("what cannot be told apart is refused, with its place", async (t) => {
  const refused = (format: string): unknown[] => {
    try {
      return [new LineFormat(format).names];
    } catch (error) {
      t.type(error, LineFormatError);
      return [(error as LineFormatError).at, (error as Error).message];
    }
  };
  t.match(refused("%METHOD%%PATH%"), [8, /text between %METHOD% and %PATH%/]);
  t.match(refused("[%START_TIME"), [1, /a % that closes the field/]);
  t.match(refused("no field"), [0, /at least one field/]);
});

t.test("a line that ends too early, or goes on, is not of a format that must fit", async (t) => {
  const format = new LineFormat('%METHOD% "%PATH%" %RESPONSE_CODE%');
  t.strictSame(read(format, 'GET "/a" 200')[0], "full");
  for (const line of ['GET "/a" 200 x', 'GET "/a" 20x', 'GET "/a"', "", 'GET /a" 200'])
    t.strictSame(read(format, line), ["foreign", {}], line);
});

t.test(
  "a client that writes what a proxy writes makes its own fields uncertain, and no others",
  async (t) => {
    const format = new LineFormat(
      '"%METHOD% %PATH% %PROTOCOL%" %RESPONSE_CODE% "%USER_AGENT%" "%REQUEST_ID%"',
    );
    t.strictSame(read(format, '"GET /a HTTP/1.1" 403 "curl" "7"'), [
      "full",
      {
        method: "GET",
        path: "/a",
        protocol: "HTTP/1.1",
        response_code: "403",
        user_agent: "curl",
        request_id: "7",
      },
    ]);
    // The path, or the user agent, holds another status.
    t.strictSame(read(format, '"GET /a HTTP/1.1" 200 "x HTTP/1.1" 403 "curl" "7"'), [
      "partial",
      { method: "GET", request_id: "7" },
    ]);
  },
);

/** A small format of every class, as the test reads it itself. */
const ALPHABET = ["a", "1", " ", '"', "-", "[", "]"] as const;
const BRUTE_FORMATS = [
  '"%PATH%" %RESPONSE_CODE% "%USER_AGENT%"',
  '%METHOD% %PATH% %PROTOCOL%" %RESPONSE_CODE% "%USER_AGENT%" "%REQUEST_ID%"',
  "%RESPONSE_CODE_DETAILS% %PATH% %RESPONSE_CODE%",
  '"%X-A%" "%X-B%" "%X-C%"',
  "%PATH% %RESPONSE_CODE% %PATH2(X)%",
] as const;
const BRUTE_CLASSES = { "X-A": "free", "X-B": "free", "X-C": "free" } as const;

/** Every way to read the line: all that is left open is where free fields end. */
function everyReading(format: string, line: string): Record<string, string>[] {
  const parts = format.split(/(%[^%]+%)/).filter((part) => part !== "");
  const readings: Record<string, string>[] = [];
  const walk = (i: number, p: number, fields: Record<string, string>): void => {
    if (i === parts.length) {
      if (p === line.length) readings.push(fields);
      return;
    }
    const part = parts[i]!;
    if (!part.startsWith("%")) {
      if (line.startsWith(part, p)) walk(i + 1, p + part.length, fields);
      return;
    }
    const name = new LineFormat(part).names[0]!;
    const next = parts[i + 1];
    const isQuoted = parts[i - 1]?.endsWith('"') === true && next?.startsWith('"') === true;
    const isFree =
      ["path", "X-A", "X-B", "X-C"].includes(name) || (name === "user_agent" && isQuoted);
    const ends: number[] = [];
    if (isFree) {
      if (next === undefined) ends.push(line.length);
      else
        for (let end = p; end <= line.length; end++) if (line.startsWith(next, end)) ends.push(end);
    } else {
      // Up to where the text that follows first stands; in brackets it does not count.
      let end = p;
      let depth = 0;
      for (; end < line.length; end++) {
        if (depth === 0 && next !== undefined && line.startsWith(next, end)) break;
        if (
          name !== "method" &&
          name !== "protocol" &&
          name !== "request_id" &&
          name !== "response_code"
        ) {
          if (line[end] === "[") depth++;
          if (line[end] === "]") depth--;
        }
      }
      if (next === undefined || end < line.length) ends.push(end);
    }
    for (const end of ends) {
      const value = line.slice(p, end);
      if (!isFree && !fits(name, value, isQuoted)) continue;
      walk(i + 1, end, { ...fields, [name]: value });
    }
  };
  walk(0, 0, {});
  return readings;
}

function fits(name: string, value: string, isQuoted: boolean): boolean {
  if (value === "") return isQuoted;
  if (name === "response_code") return /^(-|\d+)$/.test(value);
  if (name === "response_code_details" || name === "PATH2(X)") {
    let depth = 0;
    for (const c of value) {
      if (c === "[") depth++;
      else if (c === "]") depth--;
      else if (depth <= 0 && (c === " " || c === '"')) return false;
    }
    return true;
  }
  return !/[ "]/.test(value);
}

t.test(
  "a field is there exactly when every way to read the line agrees on it (brute force)",
  async (t) => {
    const seen = { full: 0, partial: 0, foreign: 0 };
    for (const text of BRUTE_FORMATS) {
      const format = new LineFormat(text, { classes: BRUTE_CLASSES });
      const pieces = fc.array(
        fc.constantFrom(...ALPHABET, '" 1 "', '" "', ' a" 1 "', " 1 ", "[a]"),
        { minLength: 1, maxLength: 9 },
      );
      const start = text.startsWith('"') ? '"' : "";
      const end = text.endsWith('"') ? '"' : "";
      fc.assert(
        fc.property(pieces, (list) => {
          const line = `${start}${list.join("")}${end}`;
          const readings = everyReading(text, line);
          const [status, fields] = read(format, line);
          seen[status as keyof typeof seen]++;
          if (readings.length === 0) return status === "foreign";
          // Under a name that nobody knows a dash says nothing.
          const agreed = Object.entries(readings[0]!).filter(
            ([name, value]) =>
              readings.every((reading) => reading[name] === value) &&
              !(value === "-" && /[A-Z]/.test(name)),
          );
          // Two readings may give a field the same text in two places: then it is not taken.
          const isSubset = Object.entries(fields).every(([name, value]) =>
            agreed.some(([other, same]) => other === name && same === value),
          );
          return (
            isSubset &&
            (readings.length > 1 ||
              (status === "full" && agreed.length === Object.keys(fields).length))
          );
        }),
        { numRuns: 4000, seed: 7 },
      );
    }
    t.ok(seen.full > 100 && seen.partial > 100 && seen.foreign > 100, JSON.stringify(seen));
  },
);

t.test(
  "a long line of what an anchor begins with ends (a reader that goes back would not in its time)",
  async (t) => {
    // What makes a reader that goes back slow: the beginning of an anchor, again and again.
    const format = new LineFormat(
      '[%START_TIME%] "%METHOD% %PATH% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% "%USER_AGENT%" "%REQUEST_ID%"',
      { partialFrom: "RESPONSE_FLAGS" },
    );
    for (const piece of [
      ' HTTP/1.1" 200 - [',
      '" "',
      " ",
      '"',
      ' a" 1 - a "',
      ' HTTP/1.1" 200 - a "x" "',
    ])
      for (const length of [10_000, 1_000_000]) {
        const line = `[2026-11-22T20:20:28.123Z] "GET /${piece.repeat(length / piece.length)}`;
        t.match(read(format, line)[0], /foreign|partial/, `${piece} ${length}`);
      }
  },
);

t.test("a list goes on behind its commas and colons, and ends at any other blank", async (t) => {
  const format = new LineFormat("%A% %B% %ID%", { classes: { A: "list", B: "list", ID: "word" } });
  const fields = (line: string): unknown => read(format, line)[1];
  t.strictSame(fields("a 1 x"), { A: "a", B: "1", ID: "x" });
  t.strictSame(fields("[::1]:80, b 1, 2 x"), { A: "[::1]:80, b", B: "1, 2", ID: "x" });
  t.strictSame(fields("a, b : c 1, - : 3 x"), { A: "a, b : c", B: "1, - : 3", ID: "x" });
  t.strictSame(fields("unix:/a 1 x"), { A: "unix:/a", B: "1", ID: "x" });
  for (const line of ["a, b x", 'a" 1 x', "a 1 x y"])
    t.equal(read(format, line)[0], "foreign", line);
});

t.test("a quoted field is a text in quotation marks, or a dash without", async (t) => {
  const format = new LineFormat("%A% %B%", { classes: { A: "quoted", B: "quoted" } });
  t.strictSame(read(format, '"a b" "c"'), ["full", { A: "a b", B: "c" }]);
  t.strictSame(read(format, '- "c"'), ["full", { B: "c" }]);
  t.strictSame(read(format, '"" -'), ["full", { A: "" }]);
  for (const line of ["a b", '"a b', '"a" "b" ', "-- -"])
    t.equal(read(format, line)[0], "foreign", line);
});

t.test("an instant and a socket have their shape", async (t) => {
  const format = new LineFormat("%S% %T%", { classes: { S: "socket", T: "instant" } });
  const { 0: first } = read(format, "[::1]:80 2026-11-22T20:20:28Z");
  t.equal(first, "full");
  t.equal(read(format, "h:1 2026-11-22T20:20:28.123456789+01:00")[0], "full");
  const common = new LineFormat("[%T%]", { classes: { T: "common_time" } });
  t.equal(read(common, "[22/Nov/2026:20:20:28 +0000]")[0], "full");
  for (const line of ["[2026-11-22T20:20:28.123Z01]", "[22/Nov/2026:20:20:28]", "[]"])
    t.equal(read(common, line)[0], "foreign", line);
  for (const line of [
    "10.0.0.1 2026-11-22T20:20:28Z",
    "10.0.0.1: 2026-11-22T20:20:28Z",
    ":80 2026-11-22T20:20:28Z",
    "10.0.0.1:80 22/Nov/2026:20:20:28",
    "10.0.0.1:80 2026-11-22",
  ])
    t.equal(read(format, line)[0], "foreign", line);
});

t.test("a format of a part reads in part, and keeps no field without a name", async (t) => {
  const format = new LineFormat("%METHOD% %_rest%", { classes: { _rest: "free" }, isPart: true });
  t.strictSame(read(format, "GET whatever it is"), ["partial", { method: "GET" }]);
});

t.test("escapes are taken from values that have some, where they can be read", async (t) => {
  const nginx = new LineFormat('"%A%" "%B%"', { unescape: appendWithoutHexEscapes });
  t.strictSame(read(nginx, '"x\\x22y\\x5C" "z"')[1], { A: 'x"y\\', B: "z" });
  t.strictSame(
    read(nginx, '"\\xC3\\xA9" "\\xC3"')[1],
    { A: "é", B: "\\xC3" },
    "no UTF-8: as it stands",
  );
  t.strictSame(
    read(nginx, '"\\x2" "\\n"')[1],
    { A: "\\x2", B: "\\n" },
    "no such escape: as it stands",
  );
  const traefik = new LineFormat("%A% -", {
    classes: { A: "quoted" },
    unescape: appendWithoutQuoteEscapes,
  });
  t.strictSame(read(traefik, '"a\\b" -')[1], { A: "a\\b" }, "a backslash alone is itself");
});
