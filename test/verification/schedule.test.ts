import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import type { DirectoryReport } from "../../src/cli/verify.ts";
import { silentLogger } from "../../src/core/logger.ts";
import { FindingLedger, findingRecords } from "../../src/correlate/ledger.ts";
import { placedRows } from "../../src/records/row-json.ts";
import {
  type Mode,
  ScheduledVerification,
  type VerificationOptions,
  type VerificationRun,
} from "../../src/verification/schedule.ts";

/** When scheduled verifications run and what is made of their results; the process that verifies is in server-verification.test.ts. */

const HOUR = 3_600_000;

function report(changes: Partial<DirectoryReport> = {}): DirectoryReport {
  return {
    integrity: "ok",
    completeness: "ok",
    treeSize: 500,
    checkpoint: "",
    checked: { records: 400, tiles: 7, checkpoints: 3 },
    faults: [],
    expired: 0,
    erased: 0,
    faultCount: 0,
    findings: {},
    silences: [],
    silenceCount: 0,
    uncleanStops: 0,
    newestRecordAt: null,
    checkpointAgeSeconds: 1,
    newestRecordAgeSeconds: 1,
    ...changes,
  };
}

function broken(faultCount: number): DirectoryReport {
  const faults = Array.from({ length: faultCount }, (_, i) => ({
    fault: i === 0 ? ("row_missing" as const) : ("row_changed" as const),
    leafIndex: i === 1 ? null : i,
    table: "otel_logs",
    detail: "x".repeat(i === 0 ? 1000 : 10),
  }));
  return report({ integrity: "broken", faults, faultCount });
}

function place(
  t: Test,
  options: Partial<VerificationOptions> = {},
  dataDirectory = t.testdir({ state: {} }),
) {
  const begun: Mode[] = [];
  const runs: VerificationRun[] = [];
  const sealed: Record<string, string>[] = [];
  const ledger = new FindingLedger();
  let hurried = 0;
  let answer: () => Promise<DirectoryReport> = async () => report();
  const scheduled = new ScheduledVerification({
    dataDirectory,
    logId: "0123456789abcdef",
    origin: "test/log",
    intervalMs: { full: 24 * HOUR, incremental: HOUR },
    timeoutMs: HOUR,
    verify: (mode, signal) => {
      begun.push(mode);
      return Promise.race([
        answer(),
        new Promise<never>((_, reject) =>
          signal.addEventListener("abort", () => reject(signal.reason as Error)),
        ),
      ]);
    },
    ledger,
    hurry: () => hurried++,
    seal: async ([section]) => {
      for (const { record } of placedRows(section!.kind, section!.bytes)) {
        t.equal(record["ControlKind"], "verified");
        sealed.push(record["Detail"] as Record<string, string>);
      }
    },
    onRun: (run) => runs.push(run),
    logger: silentLogger,
    ...options,
  });
  return {
    dataDirectory,
    scheduled,
    begun,
    runs,
    sealed,
    ledger,
    hurried: () => hurried,
    reply: (next: () => Promise<DirectoryReport>) => (answer = next),
  };
}

t.test("each mode runs when it is due, one at a time, the full one first", async (t) => {
  const { scheduled, begun, sealed } = place(t);
  const now = Date.now();
  scheduled.tick(now + HOUR - 1000);
  t.same(begun, []);
  scheduled.tick(now + HOUR);
  scheduled.tick(now + 25 * HOUR);
  t.same(begun, ["incremental"], "none beside one that runs");
  await scheduled.idle();
  scheduled.tick(now + HOUR - 1000);
  t.equal(begun.length, 1);
  scheduled.tick(now + 25 * HOUR);
  await scheduled.idle();
  scheduled.tick(now - 1000 * HOUR);
  await scheduled.idle();
  t.same(
    begun,
    ["incremental", "full", "full"],
    "a clock that was set back waits for no time to come",
  );
  t.same(sealed[1], {
    mode: "full",
    outcome: "ok",
    duration_ms: sealed[1]!["duration_ms"],
    integrity: "ok",
    completeness: "ok",
    tree_size: "500",
    records: "400",
    tiles: "7",
    checkpoints: "3",
    faults: "0",
    fault_kinds: "",
    first_faults: "",
  });
});

t.test("0 is never", async (t) => {
  const { scheduled, begun } = place(t, { intervalMs: { full: 0, incremental: 0 } });
  scheduled.start();
  scheduled.tick(Date.now() + 10_000 * HOUR);
  t.same(begun, []);
  await scheduled.stop();
});

t.test("what ran last is known across restarts, a file that is broken is none", async (t) => {
  const first = place(t);
  const now = Date.now();
  first.scheduled.tick(now + HOUR);
  await first.scheduled.idle();
  const file = join(first.dataDirectory, "state/verification.json");
  t.ok(existsSync(file));
  const again = place(t, {}, first.dataDirectory);
  t.match(again.scheduled.status(), {
    full: null,
    incremental: { outcome: "ok", treeSize: "500", records: "400", faultCount: "0" },
  });
  t.match(again.scheduled.readings(), [
    { mode: "incremental", records: 400, faults: 0, integrityOk: 1 },
  ]);
  const kept = readFileSync(file, "utf8");
  for (const text of [
    "",
    "{",
    '{"version":2}',
    kept.replace(/"endedAt":"[^"]*"/, '"endedAt":"?"'),
  ]) {
    writeFileSync(file, text);
    t.same(place(t, {}, first.dataDirectory).scheduled.status(), { full: null, incremental: null });
  }
});

t.test("a fault is sealed, is a finding, warns, and stays until it is gone", async (t) => {
  const { scheduled, runs, sealed, ledger, hurried, reply } = place(t);
  t.match(scheduled.check(), { ok: true, isWarning: true });
  reply(async () => broken(200));
  scheduled.tick(Date.now() + HOUR);
  await scheduled.idle();
  t.match(runs, [{ mode: "incremental", outcome: "broken", integrity: "broken", faultCount: 200 }]);
  t.match(sealed[0], {
    integrity: "broken",
    faults: "200",
    fault_kinds: "row_missing 1, row_changed 199",
  });
  const lines = sealed[0]!["first_faults"]!.split("\n");
  t.equal(lines.length, 10);
  t.match(lines[0], /^row_missing {2}record 0 in otel_logs: x+$/);
  t.equal(lines[0]!.length, 300, "bounded, whatever a row says");
  t.equal(hurried(), 1);
  const [finding] = findingRecords(ledger.take(0));
  t.match(finding, {
    findingKind: "integrity_broken",
    severity: "error",
    subject: "test/log",
    message: /^200 faults were found/,
    detail: { mode: "incremental", tree_size: "500", count: "200", reason: lines[0]! },
  });
  t.equal(finding!.evidence.length, 100);
  t.same(finding!.evidence.slice(0, 3), [0, 2, 3]);
  t.match(scheduled.check(), { ok: false, isWarning: true, detail: /200 faults/ });
  t.match(scheduled.readings(), [{ integrityOk: 0, faults: 200 }]);
  reply(() => Promise.reject(new Error("no store")));
  scheduled.tick(Date.now() + HOUR);
  await scheduled.idle();
  t.match(scheduled.readings(), [{ integrityOk: 0, faults: 200 }], "no verdict takes none back");
  t.same(sealed[1], {
    mode: "incremental",
    outcome: "failed",
    reason: "no store",
    duration_ms: sealed[1]!["duration_ms"],
  });
  reply(async () => report());
  scheduled.tick(Date.now() + HOUR);
  await scheduled.idle();
  t.match(scheduled.check(), { ok: true });
  t.match(scheduled.readings(), [{ integrityOk: 1, faults: 0 }]);
});

t.test("a run that takes too long is ended and said, one that a stop ends is not", async (t) => {
  const never = (): Promise<never> => new Promise(() => {});
  const { scheduled, sealed, reply } = place(t, { timeoutMs: 20 });
  reply(never);
  const keepAlive = setTimeout(() => {}, 10_000);
  scheduled.tick(Date.now() + HOUR);
  await scheduled.idle();
  clearTimeout(keepAlive);
  t.match(sealed, [{ outcome: "failed", reason: /verification\.timeout \(20 ms\)/ }]);
  t.match(scheduled.check(), { ok: false, detail: /took longer/ });
  t.match(scheduled.readings(), [{ integrityOk: null }], "there never was a verdict");

  const other = place(t);
  other.reply(never);
  other.scheduled.tick(Date.now() + HOUR);
  await other.scheduled.stop();
  t.same([other.begun.length, other.sealed.length, other.runs.length], [1, 0, 0]);
  other.scheduled.tick(Date.now() + HOUR);
  t.equal(other.begun.length, 1);
});

t.test("a result that cannot be sealed is told again next time, and breaks nothing", async (t) => {
  const { scheduled, dataDirectory } = place(t, {
    seal: () => Promise.reject(new Error("no room")),
  });
  scheduled.tick(Date.now() + HOUR);
  await scheduled.idle();
  t.match(scheduled.status().incremental, { outcome: "ok" });
  t.notOk(existsSync(join(dataDirectory, "state/verification.json")));
});
