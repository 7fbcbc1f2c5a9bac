import t from "tap";
import { FINDINGS, type FindingKind } from "../../src/correlate/findings/index.ts";
import {
  FINDING_INTERVAL_MS,
  findingRecords,
  FindingLedger,
  IN_FLIGHT_MS,
} from "../../src/correlate/ledger.ts";
import { ReportBuilder } from "../../src/verify/report.ts";

const MINUTE = 1_795_000_020_000;
const ns = (ms: number): bigint => BigInt(ms) * 1_000_000n;
const DUE = MINUTE + FINDING_INTERVAL_MS + IN_FLIGHT_MS;
const NOTICE = { kind: "rejected_record", subject: "gateway", atNs: ns(MINUTE + 5) } as const;

t.test("one finding for each kind, subject and minute", async (t) => {
  const ledger = new FindingLedger();
  ledger.note({ ...NOTICE, count: 2, reason: "first", evidence: [7] });
  ledger.note({ ...NOTICE, atNs: ns(MINUTE + 59_999), reason: "second", evidence: [9, 8] });
  ledger.note({ ...NOTICE, atNs: ns(MINUTE + 1) });
  ledger.note({ ...NOTICE, subject: "other" });
  ledger.note({ ...NOTICE, kind: "truncated" });
  ledger.note({ ...NOTICE, atNs: ns(MINUTE + 60_000) });
  t.same(ledger.take(DUE - 1), []);
  const records = findingRecords(ledger.take(DUE));
  t.same(
    records.map(({ findingKind, subject, timestampNs }) => [findingKind, subject, timestampNs]),
    [
      ["rejected_record", "gateway", ns(MINUTE)],
      ["rejected_record", "other", ns(MINUTE)],
      ["truncated", "gateway", ns(MINUTE)],
    ],
  );
  t.match(records[0], {
    severity: "error",
    state: "open",
    message: "4 records from gateway could not be read and were rejected.",
    evidence: [7, 9, 8],
    detail: {
      count: "4",
      first: String(ns(MINUTE + 5)),
      last: String(ns(MINUTE + 59_999)),
      reason: "first",
    },
  });
  t.equal(ledger.take(Infinity).length, 1, "the next minute, when all are asked for");
  t.same(ledger.take(Infinity), []);
});

t.test("what could not be sealed comes again, with what came meanwhile", async (t) => {
  const ledger = new FindingLedger();
  ledger.note({ ...NOTICE, evidence: [1], journalIndex: 5 });
  const taken = ledger.take(DUE);
  t.equal(ledger.lowestIndex(), 5, "it still rests on the journal");
  ledger.note({ ...NOTICE, atNs: ns(MINUTE + 9), evidence: [2], journalIndex: 4 });
  ledger.restore(taken);
  t.equal(ledger.lowestIndex(), 4);
  const [again, ...others] = ledger.take(DUE);
  t.match(again, { count: 2, evidence: [1, 2], lastNs: ns(MINUTE + 9) });
  t.same(others, []);
  ledger.sealed([again!]);
  t.equal(ledger.lowestIndex(), Infinity);
  t.same(ledger.take(Infinity), []);
});

t.test(
  "a finding that the log has is forgotten, and what comes after it begins anew",
  async (t) => {
    const ledger = new FindingLedger();
    ledger.note({ ...NOTICE, count: 3 });
    ledger.settle("rejected_record", "other", ns(MINUTE));
    ledger.settle("rejected_record", "gateway", ns(MINUTE + 60_000));
    ledger.settle("truncated", "gateway", ns(MINUTE));
    t.equal(ledger.lowestIndex(), Infinity);
    ledger.settle("rejected_record", "gateway", ns(MINUTE));
    ledger.note(NOTICE);
    t.match(ledger.take(Infinity), [{ count: 1 }]);
  },
);

t.test("the journal is held by what is due, or by all", async (t) => {
  const ledger = new FindingLedger({ intervalMs: 1_000 });
  ledger.note({ ...NOTICE, journalIndex: 40, dueMs: 100 });
  ledger.note({ ...NOTICE, journalIndex: 30, dueMs: 200 });
  ledger.note({ ...NOTICE, subject: "other", journalIndex: 20, dueMs: 300 });
  ledger.note({ ...NOTICE, subject: "third" });
  t.equal(ledger.lowestIndex(), 20);
  t.equal(ledger.lowestIndex(99), Infinity);
  t.equal(ledger.lowestIndex(100), 30, "the time of the first notice counts");
  t.equal(ledger.lowestIndex(300), 20);
});

t.test("a sender who changes names fills neither memory nor evidence", async (t) => {
  const ledger = new FindingLedger();
  for (let i = 0; i < 20_000; i++)
    ledger.note({ ...NOTICE, subject: `name ${i}`, evidence: [i, i] });
  ledger.note({ ...NOTICE, subject: "name 5" });
  const findings = ledger.take(Infinity);
  t.ok(findings.length <= 10_002);
  t.equal(
    findings.reduce((count, one) => count + one.count, 0),
    20_001,
    "each is counted",
  );
  t.equal(findings.find(({ subject }) => subject === "others")!.evidence.length, 100);
  t.equal(findings.find(({ subject }) => subject === "name 5")!.count, 2, "a known name stays one");
});

t.test(
  "every kind has a sentence in one and in many, and verify agrees on which are gaps",
  async (t) => {
    for (const kind of Object.keys(FINDINGS) as FindingKind[]) {
      const { sentence, isGap, severity } = FINDINGS[kind];
      for (const count of [1, 2])
        t.match(sentence(count, "subject"), /^[A-Z0-9].*subject.*\.$/, kind);
      t.notMatch(sentence(1, "x"), /1 \w+s\b|were/, `${kind}: one is one`);
      t.match(severity, /^(info|warning|error)$/);
      const report = new ReportBuilder();
      report.findings = { [kind]: 1 };
      t.equal(report.build().completeness, isGap ? "gaps" : "ok", kind);
    }
  },
);
