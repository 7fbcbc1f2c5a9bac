import fc from "fast-check";
import t from "tap";
import { PLACES, Redactor } from "../../src/normalise/redaction.ts";
import { AccessDraft } from "../../src/records/access-draft.ts";
import { LogView } from "../../src/records/views.ts";

const draft = new AccessDraft();
const redactor = new Redactor(draft, {
  queryParameters: ["token", "Code", "pass word"],
  headers: ["Authorization", "x-api-key"],
});

function redact(
  text: string,
  place: keyof typeof PLACES = "Query",
  method: "redactQuery" | "redactText" = "redactQuery",
): string {
  const bytes = Buffer.from(`#${text}&`);
  draft.reset(new LogView());
  if (!redactor[method](bytes, 1, bytes.length - 1, PLACES[place])) return text;
  return Buffer.from(draft.scratch.subarray(redactor.start, redactor.end)).toString();
}

function notes(): string[] {
  return Array.from({ length: draft.redactionCount }, (_, i) =>
    Buffer.from(
      draft.constants.subarray(draft.redactionStart[i], draft.redactionEnd[i]),
    ).toString(),
  );
}

t.test(
  "values of configured parameters are replaced, whatever way the name is written",
  async (t) => {
    const cases: [string, string][] = [
      ["token=abc", "token=[redacted]"],
      ["a=1&TOKEN=abc&b=2", "a=1&TOKEN=[redacted]&b=2"],
      ["to%6Ben=abc", "to%6Ben=[redacted]"],
      ["%74%6f%6b%65%6e=abc&x", "%74%6f%6b%65%6e=[redacted]&x"],
      ["pass+word=abc", "pass+word=[redacted]"],
      ["pass%20word=abc", "pass%20word=[redacted]"],
      ["+token=abc", "+token=[redacted]"],
      ["user[token]=abc&token[]=x", "user[token]=[redacted]&token[]=[redacted]"],
      ["token=a;code=b;page=2", "token=[redacted];code=[redacted];page=2"],
      ["token=a;b", "token=[redacted]"],
      ["token=a=b==", "token=[redacted]"],
      ["token=a?b/c#d", "token=[redacted]"],
      ["token=a%26b", "token=[redacted]"],
      ["token%3Dabc&x=1", "token%3D[redacted]&x=1"],
      ["next=/login?token=abc&x=1", "next=/login?token=[redacted]&x=1"],
      ["next=%2Flogin%3Ftoken%3Dabc%26x%3D1", "next=%2Flogin%3Ftoken%3D[redacted]%26x%3D1"],
      ["next=%252Flogin%253Ftoken%253Dabc%2525", "next=%252Flogin%253Ftoken%253D[redacted]"],
      ["token=abc&token=def", "token=[redacted]&token=[redacted]"],
      ["code=1#token=2", "code=[redacted]#token=[redacted]"],
    ];
    for (const [text, expected] of cases) t.equal(redact(text), expected, text);
    redact("x=1&CODE=1&token=2&token=3");
    t.strictSame(
      notes(),
      ["Query:code", "Query:token"],
      "and noted once each, by place and configured name",
    );
  },
);

t.test("everything else stays as it is", async (t) => {
  for (const text of [
    "",
    "a=1",
    "token",
    "token=",
    "token=&x=1",
    "tokens=1",
    "mytoken=1",
    "x=token",
    "%",
    "%4",
    "%zz=1",
    "&&==&",
    "to%ken=1",
  ])
    t.equal(redact(text), text, text);
  t.equal(
    new Redactor(new AccessDraft(), { queryParameters: [], headers: [] }).redactText(
      Buffer.from("token=1"),
      0,
      7,
      PLACES.Body,
    ),
    false,
  );
});

t.test("in a path, parameters behind semicolons are replaced up to the next segment", async (t) => {
  t.equal(redact("/a;token=abc;v=1/b", "Path"), "/a;token=[redacted];v=1/b");
  t.equal(redact("/a%3Ftoken=abc/b", "Path"), "/a%3Ftoken=[redacted]/b");
  t.equal(redact("/token/abc", "Path"), "/token/abc");
});

t.test("in a text, URLs and headers are found where they stand", async (t) => {
  const text = (line: string): string => redact(line, "Body", "redactText");
  t.equal(text("GET /x?a=1&token=abc HTTP/1.1 200"), "GET /x?a=1&token=[redacted] HTTP/1.1 200");
  t.equal(text('{"path":"/x?token=abc","b":1}'), '{"path":"/x?token=[redacted]","b":1}');
  t.equal(text('{"authorization":"Bearer a\\"b","b":1}'), '{"authorization":"[redacted]","b":1}');
  t.equal(
    text('{"Proxy-Authorization": "Basic x", "X_API_KEY": "k"}'),
    '{"Proxy-Authorization": "[redacted]", "X_API_KEY": "[redacted]"}',
  );
  t.equal(text("authorization: Bearer abc\nhost: x"), "authorization: [redacted]\nhost: x");
  t.equal(text("token=abc x-api-key=k"), "token=[redacted] x-api-key=[redacted]");
  t.equal(text("authorization failed"), "authorization failed");
  t.equal(text("unauthorization=1"), "unauthorization=1");
});

t.test("keys name a header in every common spelling", async (t) => {
  for (const key of [
    "authorization",
    "Authorization",
    "request_headers.authorization",
    "http.request.header.authorization",
    "REQ(AUTHORIZATION)",
    "%REQ(Authorization?X)%",
    "request.headers[authorization]",
    "requestAuthorization",
    "proxy-authorization",
    "x_api_key",
  ]) {
    t.ok(redactor.headerOf(key) >= 0, key);
  }
  for (const key of ["authority", "authorization_policy", "author", "api-key", ""])
    t.equal(redactor.headerOf(key), -1, key);
});

t.test("no value of a configured parameter survives, in whatever it is wrapped", async () => {
  const secret = fc
    .stringMatching(/^[A-Za-z0-9._~!$'()*,:@-]{6,20}$/)
    .map((text) => `S3CR3T${text}`);
  const spell = (name: string, choices: number[]): string =>
    Array.from(
      name,
      (c, i) =>
        [
          c,
          c.toUpperCase(),
          `%${c.charCodeAt(0).toString(16)}`,
          `%25${c.charCodeAt(0).toString(16).toUpperCase()}`,
        ][choices[i % choices.length]! % 4],
    ).join("");
  const junk = fc.stringMatching(/^[a-z0-9%+._/=-]{0,12}$/);
  const separator = fc.constantFrom("&", ";", "?", "#", "%26", "%3b", "%3F", "%2526");
  fc.assert(
    fc.property(
      fc.constantFrom("token", "code"),
      fc.array(fc.nat(3), { minLength: 1, maxLength: 5 }),
      secret,
      junk,
      separator,
      fc.constantFrom("=", "%3D", "%3d", "%253D"),
      fc.constantFrom("Query", "Path", "LogAttributes", "Body"),
      (name, choices, value, before, mark, equals, place) => {
        const result = redact(
          `${before}${mark}${spell(name, choices)}${equals}${value}&after=1`,
          place,
          "redactText",
        );
        return !result.includes("S3CR3T") && result.endsWith("&after=1");
      },
    ),
    { numRuns: 3000 },
  );
});

t.test(
  "arbitrary text is never made shorter than its parts, and what has no secret stays",
  async () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "binary", maxLength: 60 }),
        fc.constantFrom("Query", "Path", "LogAttributes", "Body"),
        (text, place) => {
          const result = redact(text, place, "redactText");
          return result === Buffer.from(text).toString() || result.includes("[redacted]");
        },
      ),
      { numRuns: 2000 },
    );
  },
);
