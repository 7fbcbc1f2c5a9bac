import { isIP } from "node:net";
import fc from "fast-check";
import t from "tap";
import { Address } from "../../src/normalise/addresses.ts";
import { findKey } from "../../src/normalise/attribute-keys.ts";
import { ForwardedCertificates } from "../../src/normalise/forwarded-certificates.ts";
import { FORMS, Principal } from "../../src/normalise/principal.ts";
import { SpiffeId } from "../../src/normalise/spiffe.ts";
import { TimeText } from "../../src/normalise/time-text.ts";
import { AccessDraft } from "../../src/records/access-draft.ts";
import { LogView } from "../../src/records/views.ts";

/** The text between other bytes, and where it stands: a parser that looks beside it finds digits and slashes. */
function between(text: string): [Buffer, number, number] {
  const bytes = Buffer.from(text);
  return [Buffer.concat([Buffer.from("1/"), bytes, Buffer.from("0/1")]), 2, 2 + bytes.length];
}

const address = new Address();

function parseAddress(text: string): string | undefined {
  const [from, start, end] = between(text);
  if (!address.parse(from, start, end)) return undefined;
  return `${Buffer.from(address.bytes).toString("hex")} ${address.port} ${from.toString("utf8", address.hostStart, address.hostEnd)}`;
}

/** An IPv6 address as 32 hex digits, by the URL parser of the platform. */
function expand(v6: string): string {
  const [head = "", tail = ""] = new URL(`http://[${v6}]`).hostname.slice(1, -1).split("::");
  const groups = (part: string): string[] => (part === "" ? [] : part.split(":"));
  const missing = 8 - groups(head).length - groups(tail).length;
  return [...groups(head), ...Array<string>(missing).fill("0"), ...groups(tail)]
    .map((group) => group.padStart(4, "0"))
    .join("");
}

t.test("addresses are read with and without port, as the platform reads them", async () => {
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.option(fc.nat(65535)), (host, port) => {
      const v6 = isIP(host) === 6;
      const hex = v6
        ? expand(host)
        : `00000000000000000000ffff${Buffer.from(host.split(".").map(Number)).toString("hex")}`;
      const text = port === null ? host : `${v6 ? `[${host}]` : host}:${port}`;
      return parseAddress(text) === `${hex} ${port ?? -1} ${host}`;
    }),
    { numRuns: 2000 },
  );
});

t.test("an address does not depend on what was read before, and is copied whole", async () => {
  const text = fc.oneof(
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom("", "1.2.3", "1::2::3", "9.9.9.9:x", "::ffff:1.2.3"),
  );
  fc.assert(
    fc.property(fc.array(text, { minLength: 2, maxLength: 6 }), (texts) => {
      const shared = texts.map((one) => copied(one, address));
      return texts.every((one, i) => copied(one, new Address()) === shared[i]);
    }),
    { numRuns: 1000 },
  );
});

/** The bytes that a zeroed target gets, by a reader that read others before or by one of its own. */
function copied(text: string, reader: Address): string {
  const [from, start, end] = between(text);
  if (!reader.parse(from, start, end)) return "";
  const target = new Uint8Array(16);
  reader.copyTo(target);
  return Buffer.from(target).toString("hex") === Buffer.from(reader.bytes).toString("hex")
    ? `${Buffer.from(target).toString("hex")} ${reader.port}`
    : "copied in part";
}

t.test("what is no address is refused", async (t) => {
  for (const text of [
    "",
    "1",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4:",
    "1.2.3.4:65536",
    "1.2.3.4:+1",
    "1.2.3.4:123456",
    "1..2.3",
    ".1.2.3",
    "1.2.3.",
    "a.b.c.d",
    ":",
    "::1::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "1::2::3",
    "12345::",
    ":1::",
    "[::1",
    "[::1]x",
    "[::1]:",
    "[1.2.3.4]:1x",
    "fe80::1%eth0",
    "::1.2.3",
    "1:2:3:4:5:6:7:1.2.3.4",
    "envoy://internal_client_address/",
    "/run/app.sock",
    "localhost:80",
  ]) {
    t.equal(parseAddress(text), undefined, text);
  }
  fc.assert(
    fc.property(
      fc.string({ maxLength: 24 }),
      (text) =>
        parseAddress(text) === undefined ||
        isIP(text.replace(/^\[(.*)\](:\d+)?$/, "$1").replace(/^([\d.]+):\d+$/, "$1")) > 0,
    ),
    { numRuns: 3000 },
  );
});

/** Vectors of the standard, sections 2.1 to 2.4, and what meshes write in spite of it. */
t.test("the rules of SPIFFE IDs can be asked for", async (t) => {
  const id = new SpiffeId();
  const isStrict = (text: string): boolean => id.parse(...between(text)) && id.isStrict;
  for (const id of [
    "spiffe://example.org",
    "spiffe://example.org/billing/payments",
    "spiffe://cluster.local/ns/shop/sa/orders",
    "spiffe://a_b-c.9/A.b_c-9/...",
    `spiffe://${"a".repeat(255)}/x`,
    `spiffe://td/${"a".repeat(2048 - "spiffe://td/".length)}`,
  ])
    t.ok(isStrict(id), id.slice(0, 60));
  for (const id of [
    "",
    "spiffe://",
    "spiffe:///path",
    "SPIFFE://td/a",
    "https://td/a",
    "spiffe://Example.org/a",
    "spiffe://td/",
    "spiffe://td/a/",
    "spiffe://td//a",
    "spiffe://td/.",
    "spiffe://td/a/..",
    "spiffe://td/a/../b",
    "spiffe://td/a?b",
    "spiffe://td/a#b",
    "spiffe://td/a%20b",
    "spiffe://td/ä",
    "spiffe://td:80/a",
    "spiffe://user@td/a",
    "spiffe://[::1]/a",
    `spiffe://${"a".repeat(256)}/a`,
    `spiffe://td/${"a".repeat(2049 - "spiffe://td/".length)}`,
  ])
    t.notOk(isStrict(id), id.slice(0, 60));
});

const principal = new Principal();
const FORM_NAMES = Object.keys(FORMS);

t.test("principals are read in the form of each mesh", async (t) => {
  const account = "arn:aws:sts::123456789012:assumed-role";
  const cases: [string, string, string, string][] = [
    ["spiffe://cluster.local/ns/shop/sa/orders", "spiffe", "shop", "orders"],
    ["spiffe://Cluster.local/ns/shop/sa/a%20b", "spiffe", "shop", "a%20b"],
    ["spiffe://cluster.local/ns/shop/sa/orders/more", "spiffe", "", ""],
    ["spiffe://cluster.local/ns//sa/orders", "spiffe", "", ""],
    ["spiffe://cluster.local/ns/shop/sa/", "spiffe", "", ""],
    ["spiffe://cluster.local", "spiffe", "", ""],
    ["spiffe://cluster.local/", "spiffe", "", ""],
    ["spiffe://0a1b-2c.consul/ns/default/dc/dc1/svc/web", "spiffe", "default", "web"],
    ["spiffe://0a1b-2c.consul/ap/team/ns/default/dc/dc1/svc/web", "spiffe", "default", "web"],
    ["spiffe://0a1b-2c.consul/ax/team/ns/default/dc/dc1/svc/web", "spiffe", "", ""],
    ["spiffe://0a1b-2c.consul/agent/client/dc/dc1/id/node-1", "spiffe", "", ""],
    ["spiffe://0a1b-2c.consul/agent/server/dc/dc1", "spiffe", "", ""],
    ["spiffe://0a1b-2c.consul/gateway/mesh/dc/dc1", "spiffe", "", ""],
    ["spiffe://default/backend", "spiffe", "", "backend"],
    ["spiffe://default/web_shop_svc_8080", "spiffe", "shop", "web_shop_svc_8080"],
    ["spiffe://default/web_shop_svc", "spiffe", "shop", "web_shop_svc"],
    ["spiffe://default/_shop_svc_80", "spiffe", "shop", "_shop_svc_80"],
    ["spiffe://default/shop_svc_80", "spiffe", "", "shop_svc_80"],
    ["spiffe://default/web__svc_80", "spiffe", "", "web__svc_80"],
    ["spiffe://default/_svc", "spiffe", "", "_svc"],
    ["spiffe://default/8080", "spiffe", "", "8080"],
    ["spiffe://spiffe.cilium/identity/40112", "spiffe", "", ""],
    ["spiffe://td/a/b/c/d/e/f/g/h/i/j", "spiffe", "", ""],
    ["web.shop.serviceaccount.identity.linkerd.cluster.local", "dns", "shop", "web"],
    ["v1.web.shop.serviceaccount.identity.linkerd.cluster.local", "dns", "shop", "v1.web"],
    [".shop.serviceaccount.identity.linkerd.cluster.local", "other", "", ""],
    ["shop.serviceaccount.identity.linkerd.cluster.local", "other", "", ""],
    ["web..serviceaccount.identity.linkerd.cluster.local", "other", "", ""],
    ["web.shop.serviceaccount.identity.", "other", "", ""],
    [`${account}/orders-role/i-0a1b2c`, "arn", "123456789012", "orders-role"],
    [`${account}/orders-role`, "arn", "123456789012", "orders-role"],
    ["arn:aws:iam::123456789012:role/team/a/orders-role", "arn", "123456789012", "orders-role"],
    ["arn:aws-cn:iam::123456789012:role/orders-role", "arn", "123456789012", "orders-role"],
    ["arn:aws:iam::123456789012:user/ada", "arn", "123456789012", ""],
    ["arn:aws:iam::123456789012:root", "arn", "123456789012", ""],
    ["arn:aws:iam::", "other", "", ""],
    ["arn:", "other", "", ""],
    ["spiffe://", "other", "", ""],
    ["spiffe:///ns/a/sa/b", "other", "", ""],
    ["SPIFFE://td/ns/a/sa/b", "spiffe", "a", "b"],
    ["spiffe://td/ns/a/sa/b?c=/d", "spiffe", "a", "b"],
    ["spiffe://td/ns/a/sa/b#c", "spiffe", "a", "b"],
    ["spiffe://td/web?c=d", "spiffe", "", "web"],
    ["spiffe://td/ns/a/sa/..", "spiffe", "", ""],
    ["spiffe://td/ns/./sa/b", "spiffe", "", ""],
    ["spiffe://td/..", "spiffe", "", ""],
    ["https://td/ns/a/sa/b", "other", "", ""],
    ["CN=web,O=Shop", "other", "", ""],
    ["", "other", "", ""],
  ];
  for (const [text, form, namespace, name] of cases) {
    const [from, start, end] = between(text);
    const found = FORM_NAMES[principal.parse(from, start, end)];
    t.strictSame(
      [
        found,
        from.toString("utf8", principal.namespaceStart, principal.namespaceEnd),
        from.toString("utf8", principal.accountStart, principal.accountEnd),
      ],
      [form, namespace, name],
      text,
    );
  }
});

t.test("RBAC's principals lack the scheme, and nothing else is taken for one", async (t) => {
  const isOne = (text: string): boolean => principal.parseWithoutScheme(...between(text));
  for (const text of ["cluster.local/ns/shop/sa/orders", "td/ap/p/ns/n/dc/d/svc/s"])
    t.ok(isOne(text), text);
  for (const text of [
    "",
    "cluster.local",
    "cluster.local/orders",
    "/ns/shop/sa/orders",
    "CN=a/ns/b/sa/c",
    "spiffe://cluster.local/ns/shop/sa/orders",
    "cluster.local/ns/shop/sa/a b",
  ])
    t.notOk(isOne(text), text);
});

t.test("no principal breaks the reader, or has it look beside it", async () => {
  const piece = fc.constantFrom(
    "spiffe://",
    "arn:aws:iam::1:",
    "role/",
    "assumed-role/",
    "/",
    "/ns/",
    "/sa/",
    "/dc/",
    "/svc/",
    "/ap/",
    "_svc",
    "_",
    "9",
    ".",
    ".serviceaccount.identity.",
    "a",
    ":",
    "%",
    "",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 14 }), fc.boolean(), (pieces, bare) => {
      const [from, start, end] = between(pieces.join(""));
      if (bare) principal.parseWithoutScheme(from, start, end);
      else principal.parse(from, start, end);
      return [
        [principal.namespaceStart, principal.namespaceEnd],
        [principal.accountStart, principal.accountEnd],
      ].every(([a, b]) => (a === 0 && b === 0) || (start <= a! && a! <= b! && b! <= end));
    }),
    { numRuns: 3000 },
  );
});

const draft = new AccessDraft();
const certificates = new ForwardedCertificates();

function chain(header: string): string[] {
  const [from, start, end] = between(header);
  draft.reset(new LogView());
  certificates.parse(from, start, end, draft);
  return Array.from({ length: certificates.count }, (_, i) =>
    Buffer.from(
      draft.scratch.subarray(certificates.nameStart[i], certificates.nameEnd[i]),
    ).toString(),
  );
}

t.test("X-Forwarded-Client-Cert is read by its grammar, the oldest hop first", async (t) => {
  const cases: [string, string[]][] = [
    ["URI=spiffe://a/b", ["spiffe://a/b"]],
    [
      'By=spiffe://x;Hash=ab;Subject="CN=a,O=\\"b;c\\"";URI=spiffe://a/b,uri=spiffe://c/d',
      ["spiffe://a/b", "spiffe://c/d"],
    ],
    ['Subject="CN=Ada, O=\\"Shop\\"";Hash=ab', ['CN=Ada, O="Shop"']],
    ['Subject="";URI=spiffe://a/b?c=d', ["spiffe://a/b?c=d"]],
    ["Hash=ab;DNS=a.example;DNS=b.example", ["a.example"]],
    ["Hash=ab", ["ab"]],
    ["Hash=ab;", ["ab"]],
    ["Unknown=1;Hash=ab", ["ab"]],
    ["By=spiffe://x", [""]],
    [",,Hash=ab,", ["ab"]],
    ["Hash=a, Hash=b", ["a", "b"]],
    ['Subject="never closed', ["never closed"]],
    ['Subject="ends with \\', ["ends with \\"]],
    ["", []],
    [" , ;, ", []],
    ["Hash=ab , Hash=c", ["ab ", "c"]],
    ["=;=,=", ["", ""]],
    ['hash=ab;SUBJECT="CN=a";uRi=spiffe://a/b', ["spiffe://a/b"]],
    ["URI=kuma://a/b;URI=spiffe://default/web;URI=spiffe://x/y", ["spiffe://default/web"]],
    ["By=spiffe://x;By=spiffe://y;URI=urn:a;URI=urn:b", ["urn:a"]],
    ['URI=spiffe://a/b;Chain="-----BEGIN%20CERTIFICATE-----%0A%2C%3B";Foo=bar', ["spiffe://a/b"]],
    ["Foo;URI=spiffe://a/b", ["spiffe://a/b"]],
    ['URI="spiffe://a/b,c;d"', ["spiffe://a/b,c;d"]],
  ];
  for (const [header, expected] of cases) t.strictSame(chain(header), expected, header);
  const many = Array.from({ length: 20 }, (_, i) => `Hash=h${i}`).join(",");
  t.strictSame(
    chain(many),
    Array.from({ length: 16 }, (_, i) => `h${i + 4}`),
    "of many hops the nearest stay",
  );
  t.equal(chain(`URI=${"x".repeat(100_000)}`)[0]?.length, 100_000);
  const crowd = chain("Hash=a,".repeat(100_000));
  t.strictSame(crowd, Array<string>(16).fill("a"), "a header of any length takes one pass");
});

t.test("a quotation mark that neither begins nor ends a value breaks the header", async (t) => {
  const isWellFormed = (header: string): boolean => {
    chain(header);
    return certificates.isWellFormed;
  };
  for (const header of [
    "",
    "URI=spiffe://a/b",
    'Subject="";URI=spiffe://a/b,Hash=c',
    'Subject="CN=\\"a\\",O=\\\\";Hash=c',
    'Subject="a",',
    ";;,=,",
  ])
    t.ok(isWellFormed(header), header);
  for (const header of [
    '"',
    'Subject="',
    'Subject="a',
    'Subject="a\\"',
    'Subject="a"b;URI=c',
    'Subject="a" ;URI=c',
    'Subject=a"b";URI=c',
    'Sub"ject=a',
    `Hash="${",Hash=a".repeat(20)}`,
    `${"Hash=a,".repeat(20)}Hash="`,
  ])
    t.notOk(isWellFormed(header), header.slice(0, 40));
});

t.test("what the grammar writes comes back, and no header breaks the reader", async () => {
  const subject = fc.string({ minLength: 1, maxLength: 20 }).filter((text) => !text.includes("\\"));
  fc.assert(
    fc.property(fc.array(subject, { minLength: 1, maxLength: 16 }), (subjects) => {
      const header = subjects
        .map((text) => `Hash=00;Subject="${text.replaceAll('"', '\\"')}"`)
        .join(",");
      return JSON.stringify(chain(header)) === JSON.stringify(subjects);
    }),
  );
  const noise = fc
    .array(fc.constantFrom('"', "\\", ",", ";", "=", "URI", "Hash", "a", " "), { maxLength: 60 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(noise, (header) => chain(header).length <= 16),
    { numRuns: 3000 },
  );
});

const time = new TimeText();

function nanos(text: string): string | undefined {
  const [from, start, end] = between(text);
  return time.parse(from, start, end)
    ? `${(BigInt(time.high) << 32n) | BigInt(time.low)} ${time.digits}`
    : undefined;
}

t.test("times are read as Date reads them, to the nanosecond", async (t) => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9_223_372_035_999 }),
      fc.nat(9),
      fc.constantFrom("Z", "", "+00:00", "-0000"),
      (ms, digits, zone) => {
        const iso = new Date(ms).toISOString();
        const fraction = `${iso.slice(20, 23)}123456`.slice(0, digits);
        const whole = BigInt(Math.floor(ms / 1000)) * 1_000_000_000n;
        return (
          nanos(`${iso.slice(0, 19)}${digits === 0 ? "" : `.${fraction}`}${zone}`) ===
          `${whole + BigInt(fraction.padEnd(9, "0"))} ${digits}`
        );
      },
    ),
    { numRuns: 2000 },
  );
  t.equal(nanos("2026-11-22T20:20:28.123+02:00"), nanos("2026-11-22 18:20:28.123"));
  t.equal(nanos("1795378828"), "1795378828000000000 0");
  t.equal(nanos("1795378828.5"), "1795378828500000000 1");
  t.equal(nanos("1795378828123"), "1795378828123000000 3");
  t.equal(nanos("1795378828123456789"), "1795378828123456789 9");
  for (const text of [
    "",
    "12",
    "2026-11-22",
    "2026-13-22T20:20:28Z",
    "2026-02-30T20:20:28Z",
    "2026-11-22T24:20:28Z",
    "2026-11-22T20:61:28Z",
    "1969-12-31T23:59:59Z",
    "2026-11-22T20:20:28.Z",
    "2026-11-22T20:20:28X",
    "2026-11-22T20:20:28+2",
    "2026/11/22T20:20:28Z",
    "17953788281",
    "17953788280000000000",
    "1795378828.",
    "22/Nov/2026:20:20:28",
    "22/Nov/2026:20:20:28 +00:00",
    "32/Nov/2026:20:20:28 +0000",
    "22/Nox/2026:20:20:28 +0000",
    "22/Nov/2026:24:20:28 +0000",
    "22/Nov/2026 20:20:28 +0000",
  ]) {
    t.equal(nanos(text), undefined, text);
  }
  fc.assert(
    fc.property(
      fc.string({ maxLength: 30 }),
      (text) => nanos(text) === undefined || /^\d/.test(text),
    ),
  );
});

t.test("times of the Common Log Format are those of Date", async () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 9_223_372_035 }),
      fc.integer({ min: -14 * 60, max: 14 * 60 }),
      (seconds, offset) => {
        const local = new Date((seconds + offset * 60) * 1000);
        if (local.getTime() < 0 || local.getUTCFullYear() > 9999) return true;
        const [, day, month, year, clock] = /^\w+, (\d+) (\w+) (\d+) (\S+)/.exec(
          local.toUTCString(),
        )!;
        const hours = String(Math.floor(Math.abs(offset) / 60)).padStart(2, "0");
        const minutes = String(Math.abs(offset) % 60).padStart(2, "0");
        const zone = `${offset < 0 ? "-" : "+"}${hours}${minutes}`;
        return (
          nanos(`${day}/${month}/${year}:${clock} ${zone}`) ===
          `${BigInt(seconds) * 1_000_000_000n} 0`
        );
      },
    ),
    { numRuns: 2000 },
  );
});

/** The varint of a number, as in an int attribute, between other bytes. */
function varint(value: bigint): Uint8Array {
  const bytes = [0xff];
  for (; value > 0x7fn; value >>= 7n) bytes.push(Number(value & 0x7fn) | 0x80);
  return Uint8Array.from([...bytes, Number(value), 0xff]);
}

t.test("numbers are times by their size", async (t) => {
  const read = (isTime: boolean): string | undefined =>
    isTime ? `${(BigInt(time.high) << 32n) | BigInt(time.low)} ${time.digits}` : undefined;
  const int = (value: bigint): string | undefined => read(time.parseVarint(varint(value), 1));
  const double = (value: number): string | undefined => read(time.parseNumber(value));
  fc.assert(
    fc.property(
      fc.bigInt(10n ** 18n, 9_223_372_035n * 10n ** 9n),
      (value) => int(value) === `${value} 9`,
    ),
    { numRuns: 2000 },
  );
  fc.assert(
    fc.property(
      fc.constantFrom([0, 10n ** 9n] as const, [3, 10n ** 6n] as const, [6, 10n ** 3n] as const),
      fc.bigInt(0n, 8n * 10n ** 9n),
      ([digits, unit], more) => {
        const value = (10n ** 9n + more) * 10n ** BigInt(digits);
        return int(value) === `${value * unit} ${digits}`;
      },
    ),
    { numRuns: 2000 },
  );
  t.equal(double(1795378828.5), "1795378828500000000 3");
  t.equal(double(1795378828.123456), "1795378828123456000 6");
  t.equal(double(Number("1795378828.9999999")), "1795378829000000000 0");
  t.equal(double(1795378828123.25), "1795378828123250000 6");
  for (const value of [0, 1, 999_999_999, 1e11, 1e14, NaN]) t.equal(double(value), undefined);
  for (const value of [0n, 1n, 10n ** 11n, 10n ** 17n, 2n ** 64n - 1n])
    t.equal(int(value), undefined);
});

t.test("a key longer than any of a field is none, and costs nothing to look up", async (t) => {
  t.ok(findKey("rbac:shadow_engine_result"), "a field");
  t.equal(findKey(`${"x".repeat(256)}:shadow_engine_result`), undefined);
  for (const part of ["dryrundeny", "envoy.filters.http.jwt_authn:"])
    t.equal(findKey(part.repeat(100_000)), undefined, part);
});

t.test("a claim of the token is told from one of who acts for its subject", async (t) => {
  const namespace = "envoy.filters.http.jwt_authn";
  const subject = findKey("jwt_sub")?.field;
  for (const key of [
    `${namespace}:payload:sub`,
    `%DYNAMIC_METADATA(${namespace}:payload:sub)%`,
    `${namespace}:https://login.example:sub`,
    `${namespace}.payload.sub`,
    `%DYNAMIC_METADATA(${namespace})%.payload.sub`,
    `metadata.${namespace}.payload.sub`,
  ])
    t.equal(findKey(key)?.field, subject, key);
  t.not(findKey(`${namespace}:payload:act:sub`)?.field, subject);
  t.not(findKey(`${namespace}.payload.act.sub`)?.field, subject);
});
