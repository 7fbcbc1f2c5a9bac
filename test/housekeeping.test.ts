import { mock } from "node:test";
import t, { type Test } from "tap";
import { ClockKeeping, writtenMs } from "../src/clock-keeping.ts";
import { silentLogger } from "../src/core/logger.ts";
import { KINDS } from "../src/core/kinds.ts";
import { ROW_PREFIX_LENGTH, type RowSection } from "../src/core/rows.ts";
import { FindingLedger } from "../src/correlate/ledger.ts";
import { Housekeeping } from "../src/housekeeping.ts";
import { TABLES } from "../src/records/columns.ts";
import { decodeRow } from "../src/records/row-codec.ts";
import type { ClockReading } from "../src/telemetry/clock.ts";
import { RunningTotals } from "../src/totals.ts";

/** What meshproof seals of itself, minute by minute, on a clock that the test moves. */

const START = 1_800_000_000_000;
const MINUTE = 60_000;

type Sealed = Readonly<Record<string, unknown>> & { readonly Detail: Record<string, string> };

function rowsOf({ kind, count, bytes, offsets }: RowSection): Sealed[] {
  const table = Object.values(TABLES).find((one) => one.kind === kind)!;
  return Array.from({ length: count }, (_, i) => {
    const values = decodeRow(
      table,
      bytes.subarray(offsets[i]! + ROW_PREFIX_LENGTH, offsets[i + 1]),
    );
    const record = Object.fromEntries(
      table.columns.map(({ name }, c) => {
        const value = values[c];
        return [name, value instanceof Uint8Array ? String(value) : value];
      }),
    );
    const detail = record["Detail"] as [Buffer | string, Buffer | string][];
    return {
      ...record,
      Detail: Object.fromEntries(detail.map(([key, value]) => [String(key), String(value)])),
    };
  });
}

async function settle(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

async function place(t: Test) {
  mock.timers.enable({ apis: ["setInterval", "Date"], now: START });
  t.teardown(() => mock.timers.reset());
  const sealed: Sealed[] = [];
  const ledger = new FindingLedger();
  const totals = new RunningTotals(7);
  const state = { nextIndex: 7, wallMs: 0 };
  const clock = new ClockKeeping({
    subject: "test/log",
    maxJumpMs: 500,
    ledger,
    hurry: () => housekeeping.hurry(),
    logger: silentLogger,
    read: (): ClockReading => ({
      wallMs: Date.now() + state.wallMs,
      monotonicMs: Date.now() - START,
      bootMs: null,
      uncertaintyMs: 0,
    }),
  });
  const housekeeping: Housekeeping = new Housekeeping({
    logId: "0123456789abcdef",
    ledger,
    seal: async (sections) => {
      for (const section of sections) {
        sealed.push(...rowsOf(section));
        totals.durable({ firstIndex: state.nextIndex, count: section.count, sections: [section] });
        state.nextIndex += section.count;
      }
    },
    totals: () => ({ ...totals.detail(), ...clock.detail() }),
    nextIndex: () => state.nextIndex,
    logger: silentLogger,
  });
  t.teardown(() => clock.stop());
  const pass = async (minutes: number, act = (): void => {}): Promise<void> => {
    for (let minute = 0; minute < minutes; minute++) {
      act();
      for (let second = 0; second < 60; second++) mock.timers.tick(1000);
      await settle();
    }
  };
  return { sealed, ledger, totals, state, clock, housekeeping, pass };
}

const kinds = (sealed: readonly Sealed[]): unknown[] =>
  sealed.map((record) => record["ControlKind"] ?? record["FindingKind"]);

t.test("an idle hour is sixty heartbeats with totals and the clock", async (t) => {
  const { sealed, clock, housekeeping, pass } = await place(t);
  await clock.start(-Infinity);
  await housekeeping.start({ version: "1" });
  await pass(60);
  await housekeeping.stop();
  t.same(kinds(sealed), ["start", ...Array.from({ length: 60 }, () => "heartbeat"), "stop"]);
  t.match(sealed[0]!.Detail, { version: "1", from: "7", through: "7", clock_jumps: "0" });
  t.match(sealed[60]!.Detail, {
    from: "7",
    through: "67",
    rows_control: "60",
    rows_access: "0",
    uptime_ms: String(60 * MINUTE),
    clock_ns: `${START + 60 * MINUTE}000000`,
    clock_offset_ms: "0",
    clock_drift_ms: "0",
    clock_suspended_ms: "0",
    ntp: /^(synchronized|disciplined|unsynchronized|unknown)$/,
  });
  t.match(sealed[61]!.Detail, { through: "68", uptime_ms: String(60 * MINUTE) });
});

t.test("a log that is never quiet says its totals every ten minutes", async (t) => {
  const { sealed, totals, state, housekeeping, pass } = await place(t);
  await housekeeping.start({});
  await pass(25, () => {
    totals.accepted(3, 1);
    totals.refused();
    totals.deduplicated();
    const section = { kind: KINDS.span, count: 3 } as RowSection;
    totals.durable({ firstIndex: state.nextIndex, count: 3, sections: [section] });
    state.nextIndex += 3;
  });
  const beats = sealed.filter((record) => record["ControlKind"] === "heartbeat");
  t.equal(beats.length, 2);
  t.match(beats[1]!.Detail, {
    rows_span: "60",
    rows_control: "2",
    through: "69",
    accepted: "60",
    rejected: "20",
    refused: "20",
    deduplicated: "20",
  });
  const { Detail: detail } = beats[1]!;
  const rows = Object.entries(detail).filter(([key]) => key.startsWith("rows_"));
  t.equal(
    rows.reduce((sum, [, count]) => sum + Number(count), 0),
    Number(detail["through"]) - Number(detail["from"]),
    "the rows of all kinds are those from `from` to `through`",
  );
});

t.test("a clock that is set is a finding at once, one a minute", async (t) => {
  const { sealed, state, clock, housekeeping, pass } = await place(t);
  await clock.start(START + 400);
  await housekeeping.start({});
  state.wallMs = -3_600_000;
  mock.timers.tick(1000);
  await settle();
  t.match(sealed[1], {
    FindingKind: "clock_jump",
    Severity: "warning",
    State: "open",
    Subject: "test/log",
    Detail: {
      direction: "backward",
      when: "running",
      by_ms: /^(3600000|359999[0-9])$/,
      before: new Date(START + 1000).toISOString(),
      after: new Date(START + 1000 - 3_600_000).toISOString(),
      count: "1",
    },
  });
  t.equal(clock.jumps, 1);
  t.ok(Math.abs(clock.offsetSeconds + 3600) < 0.01);
  for (const wallMs of [0, -7_200_000, 0]) {
    state.wallMs = wallMs;
    mock.timers.tick(1000);
    await settle();
  }
  t.equal(sealed.length, 2, "what comes in the same minute waits");
  await pass(2);
  const later = sealed.slice(2).filter((record) => record["FindingKind"] === "clock_jump");
  t.equal(
    later.reduce((sum, { Detail }) => sum + Number(Detail["count"]), 0),
    3,
    "and none is forgotten",
  );
  t.match(sealed.at(-1), { ControlKind: "heartbeat", Detail: { clock_jumps: "4" } });
});

t.test("a clock that was set back while nothing ran is found at the start", async (t) => {
  const { sealed, clock, housekeeping } = await place(t);
  await clock.start(START + 90_000);
  await housekeeping.start({});
  t.same(kinds(sealed), ["start", "clock_jump"]);
  t.match(sealed[1]!.Detail, {
    direction: "backward",
    when: "restart",
    by_ms: "90000",
    before: new Date(START + 90_000).toISOString(),
    after: new Date(START).toISOString(),
  });
  t.ok(writtenMs(import.meta.filename) < START);
  t.equal(writtenMs("/nowhere/at/all"), -Infinity);
});
