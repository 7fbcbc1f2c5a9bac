import { createServer } from "node:net";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import t from "tap";
import { listenHealth, reportHealth, type HealthCheck } from "../../src/telemetry/health.ts";

const STARTED = Date.UTC(2026, 10, 22, 20, 20, 28, 123);
const fine: HealthCheck = { name: "journal", ok: true, detail: "takes records" };
const broken: HealthCheck = {
  name: "store",
  ok: false,
  detail: "ClickHouse has not answered for 31 s",
};

t.test("while every check holds the body is the Collector's", async (t) => {
  const report = reportHealth({ checks: () => [fine], startedAtMs: STARTED }, STARTED + 984_680);
  t.same(report, {
    status: "Server available",
    upSince: "2026-11-22T20:20:28.123Z",
    uptime: "16m24.68s",
  });
  t.equal(
    reportHealth({ checks: () => [], startedAtMs: STARTED }, STARTED + 3_600_000).uptime,
    "1h0m0s",
  );
  t.equal(
    reportHealth({ checks: () => [], startedAtMs: STARTED }, STARTED - 5).uptime,
    "0s",
    "a clock that went back",
  );
});

t.test("a check that fails is named, one that holds is not", async (t) => {
  const report = reportHealth({ checks: () => [fine, broken], startedAtMs: STARTED }, STARTED);
  t.match(report, {
    status: "Server not available",
    reasons: [{ name: "store", detail: broken.detail }],
  });
  t.equal(report.reasons?.length, 1);
});

t.test("a warning is told and refuses nothing", async (t) => {
  const warning: HealthCheck = { name: "verification", ok: false, isWarning: true, detail: "old" };
  const warnings = [{ name: "verification", detail: "old" }];
  t.match(reportHealth({ checks: () => [fine, warning], startedAtMs: STARTED }, STARTED), {
    status: "Server available",
    reasons: undefined,
    warnings,
  });
  t.match(reportHealth({ checks: () => [broken, warning], startedAtMs: STARTED }, STARTED), {
    status: "Server not available",
    reasons: [{ name: "store" }],
    warnings,
  });
});

t.test("checks that throw count as failed", async (t) => {
  const checks = (): never => {
    throw new Error("no journal yet");
  };
  t.match(reportHealth({ checks, startedAtMs: STARTED }, STARTED), {
    status: "Server not available",
    reasons: [{ detail: /no journal yet/ }],
  });
});

t.test("probes get 200, then 503 as soon as a check fails", async (t) => {
  let checks = [fine];
  const health = await listenHealth(
    { host: "127.0.0.1", port: 0 },
    { checks: () => checks, startedAtMs: Date.now() },
  );
  t.teardown(() => health.close());
  const url = `http://127.0.0.1:${health.port}/`;
  const good = await fetch(`${url}?verbose=1`);
  t.equal(good.status, 200);
  t.equal(good.headers.get("content-type"), "application/json");
  t.match(await good.json(), { status: "Server available" });
  checks = [fine, broken];
  const bad = await fetch(url);
  t.equal(bad.status, 503);
  t.match(await bad.json(), { status: "Server not available" });
  const head = await fetch(url, { method: "HEAD" });
  t.same([head.status, await head.text()], [503, ""]);
  t.equal((await fetch(url, { method: "POST", body: "x" })).status, 405);
  t.equal((await fetch(`${url}health/status`)).status, 503, "as the Collector: every path");
  const named = await listenHealth(
    { host: "127.0.0.1", port: 0 },
    { checks: () => [fine], startedAtMs: STARTED, path: "/health" },
  );
  t.teardown(() => named.close());
  for (const [path, status] of [
    ["/health", 200],
    ["/health/", 200],
    ["/healthy", 404],
    ["/", 404],
  ] as const)
    t.equal((await fetch(`http://127.0.0.1:${named.port}${path}`)).status, status, path);
});

t.test("an address that is taken is an error that names it", async (t) => {
  const other = createServer().listen(0, "127.0.0.1");
  await once(other, "listening");
  t.teardown(() => other.close());
  const { port } = other.address() as AddressInfo;
  await t.rejects(listenHealth({ host: "127.0.0.1", port }, { checks: () => [], startedAtMs: 0 }), {
    code: "LISTEN_FAILED",
    message: new RegExp(
      `^127\\.0\\.0\\.1:${port}: expected an address to listen on, got EADDRINUSE$`,
    ),
  });
});
