import t from "tap";
import {
  formatDuration,
  formatEndpoint,
  formatRetention,
  formatSize,
  parseDuration,
  parseEndpoint,
  parseRetention,
  parseSize,
  retentionDays,
} from "../../src/config/values.ts";

t.test("durations are read as Go writes them, and in days", async (t) => {
  const readable: [string, number][] = [
    ["0", 0],
    ["0s", 0],
    ["200ms", 200],
    ["1.5s", 1500],
    [".5s", 500],
    ["1m30s", 90_000],
    ["1h2m3s4ms", 3_723_004],
    ["1h 30m", 5_400_000],
    ["250us", 0.25],
    ["250µs", 0.25],
    ["250μs", 0.25],
    ["10ns", 0.00001],
    ["1 day", 86_400_000],
    ["7 days", 604_800_000],
    ["7days", 604_800_000],
  ];
  for (const [text, ms] of readable) t.equal(parseDuration(text), ms, text);
  for (const text of [
    "",
    " ",
    "5",
    "1.s.",
    "s",
    "-1s",
    "+1s",
    "1 month",
    "13 months",
    "1d",
    "1S",
    "1s x",
    "x1s",
    "1mss",
    "1e3s",
    "1h,2m",
    "9".repeat(400) + "h",
  ]) {
    t.equal(parseDuration(text), undefined, JSON.stringify(text));
  }
});

t.test("a formatted duration is read back as the same number", async (t) => {
  for (const ms of [
    0, 1, 200, 999, 1000, 1500, 90_000, 3_600_000, 3_723_004, 86_400_000, 0.25, 0.000001,
  ]) {
    t.equal(parseDuration(formatDuration(ms)), ms, formatDuration(ms));
  }
  t.equal(formatDuration(90_000), "1m30s");
  t.equal(formatDuration(3_600_000), "1h");
});

t.test("sizes are binary with an i and decimal without", async (t) => {
  const readable: [string, number][] = [
    ["0", 0],
    ["1500", 1500],
    ["1500B", 1500],
    ["64MiB", 64 * 2 ** 20],
    ["64 MiB", 64 * 2 ** 20],
    ["64mib", 64 * 2 ** 20],
    ["10MB", 10_000_000],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["1TiB", 2 ** 40],
    ["2kB", 2000],
  ];
  for (const [text, bytes] of readable) t.equal(parseSize(text), bytes, text);
  for (const text of [
    "",
    "MiB",
    "-1",
    "1.5",
    "1.0001KiB",
    "1 EiB",
    "1ib",
    "1M",
    "64 MiB x",
    "9".repeat(30),
  ]) {
    t.equal(parseSize(text), undefined, JSON.stringify(text));
  }
  for (const bytes of [0, 1, 1023, 1024, 1500, 64 * 2 ** 20, 3 * 2 ** 40])
    t.equal(parseSize(formatSize(bytes)), bytes);
});

t.test("endpoints need a port, and IPv6 addresses need brackets", async (t) => {
  t.same(parseEndpoint("127.0.0.1:4318"), { host: "127.0.0.1", port: 4318 });
  t.same(parseEndpoint("localhost:0"), { host: "localhost", port: 0 });
  t.same(parseEndpoint("[::1]:65535"), { host: "::1", port: 65535 });
  t.same(parseEndpoint("[fe80::1%eth0]:1"), { host: "fe80::1%eth0", port: 1 });
  t.same(parseEndpoint("collector.mesh.svc:80"), { host: "collector.mesh.svc", port: 80 });
  for (const text of [
    "",
    "127.0.0.1",
    ":4318",
    "::1:4318",
    "[::1]",
    "[localhost]:1",
    "[]:1",
    "a b:1",
    "http://a:1",
    "a:65536",
    "a:-1",
    "a:1x",
    "a/b:1",
    "user@a:1",
  ]) {
    t.equal(parseEndpoint(text), undefined, JSON.stringify(text));
  }
  for (const text of ["127.0.0.1:4318", "[::1]:0", "a.b:1"])
    t.equal(formatEndpoint(parseEndpoint(text)!), text);
});

t.test("retention counts days or months of the calendar", async (t) => {
  t.same(parseRetention("13 months"), { count: 13, unit: "months" });
  t.same(parseRetention("1 month"), { count: 1, unit: "months" });
  t.same(parseRetention("90 days"), { count: 90, unit: "days" });
  for (const text of ["", "13", "0 days", "-1 days", "1h", "1.5 months", "1 year", "months"])
    t.equal(parseRetention(text), undefined, text);
  t.equal(retentionDays({ count: 90, unit: "days" }), 90);
  t.equal(
    retentionDays({ count: 2, unit: "months" }),
    62,
    "never shorter than two months of any year",
  );
  for (const text of ["13 months", "1 day"]) t.equal(formatRetention(parseRetention(text)!), text);
});
