import t, { type Test } from "tap";
import { KINDS } from "../../src/core/kinds.ts";
import { MAX_SPANS } from "../../src/correlate/matcher.ts";
import {
  type AccessRowInput,
  accessRow,
  hex,
  makeSection,
  proxySpanRow,
  seeded,
} from "./fixture.ts";
import { Simulation, type SimulationOptions } from "./simulation.ts";

const TRACE = "0123456789abcdef0123456789abcdef";
const SPAN = "89abcdef01234567";
const REQUEST = "69b80716-6af4-4986-bf8c-8f209d96f131";

async function started(t: Test, options?: SimulationOptions): Promise<Simulation> {
  const simulation = new Simulation(options);
  t.teardown(() => simulation.correlator.stop());
  simulation.start();
  return simulation;
}

const access = (...rows: AccessRowInput[]) => makeSection(KINDS.access, rows.map(accessRow));

/** What a policy engine writes of a decision. */
function decision(input: AccessRowInput): AccessRowInput {
  return { dialect: "opa", ...input };
}

/** `rule access other` of each link. */
function links(simulation: Simulation): string[] {
  return simulation
    .rows(KINDS.link)
    .map(({ columns }) =>
      [columns["Rule"], columns["AccessLeaf"], columns["SpanLeaf"]].map(String).join(" "),
    )
    .toSorted();
}

t.test("a decision is linked to every proxy's record of its request, in any order", async (t) => {
  for (const order of [
    [0, 1, 2],
    [1, 0, 2],
    [2, 1, 0],
  ]) {
    const simulation = await started(t);
    const { nowMs: received } = simulation;
    const rows = [
      decision({ requestId: REQUEST, received, start: received - 7 }),
      { requestId: REQUEST, received, start: received - 10 },
      { requestId: REQUEST, received, start: received - 8, dialect: "istio_text" },
    ];
    for (const i of order) simulation.append(access(rows[i]!));
    await simulation.pass(0);
    const leaf = (row: number): number => 1 + order.indexOf(row);
    t.same(
      links(simulation),
      [`decision ${leaf(1)} ${leaf(0)}`, `decision ${leaf(2)} ${leaf(0)}`].toSorted(),
      `order ${order}`,
    );
    const differences = simulation
      .rows(KINDS.link)
      .map(({ columns }) => columns["ClockDifferenceNs"] as bigint);
    t.same(
      differences.toSorted((a, b) => Number(a - b)),
      [1_000_000n, 3_000_000n],
      "start of the decision minus start of the access record",
    );
  }
});

t.test("the link is of the trace that either record names", async (t) => {
  for (const [which, expected] of [
    ["access record", TRACE],
    ["decision", TRACE],
    ["neither", ""],
  ] as const) {
    for (const order of ["access first", "decision first"]) {
      const simulation = await started(t);
      const { nowMs: received } = simulation;
      const trace = (named: boolean) => (named ? { traceId: TRACE } : {});
      const rows = [
        access({ requestId: REQUEST, received, ...trace(which === "access record") }),
        access(decision({ requestId: REQUEST, received, ...trace(which === "decision") })),
      ];
      for (const row of order === "access first" ? rows : rows.toReversed()) simulation.append(row);
      await simulation.pass(0);
      t.match(
        simulation.rows(KINDS.link).map(({ columns }) => ({
          trace: String(columns["TraceId"]),
          confidence: columns["Confidence"],
        })),
        [{ trace: expected, confidence: Math.fround(0.9) }],
        `${which} names it, ${order}`,
      );
    }
  }
});

t.test("without a decision, or with another request ID, nothing is linked", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  simulation.append(access({ requestId: REQUEST, received }, { requestId: REQUEST, received }));
  simulation.append(access({ received }, decision({ received })));
  const others = Array.from(REQUEST, (char, i) =>
    decision({
      requestId: REQUEST.slice(0, i) + (char === "0" ? "1" : "0") + REQUEST.slice(i + 1),
      received,
    }),
  );
  const cut = [REQUEST.slice(1), REQUEST.slice(0, -1), `${REQUEST}0`, REQUEST.toUpperCase()];
  simulation.append(
    access(...others, ...cut.map((requestId) => decision({ requestId, received }))),
  );
  await simulation.pass(0);
  t.same(links(simulation), []);
  const another = await started(t);
  another.append(access(...[1, 2].map(() => decision({ requestId: REQUEST, received }))));
  t.same(links(another), [], "nor are two decisions");
});

t.test(
  "a record's span and its decision are linked each, and a span is judged by its own link alone",
  async (t) => {
    const simulation = await started(t);
    const { nowMs: received } = simulation;
    const ids = { traceId: TRACE, spanId: SPAN };
    simulation.append(access({ ...ids, requestId: REQUEST, received })); // 1
    simulation.append(makeSection(KINDS.span, [proxySpanRow({ ...ids, received })])); // 2
    simulation.append(access(decision({ requestId: REQUEST, received }))); // 3
    simulation.append(access({ traceId: hex(7, 32), spanId: SPAN, requestId: REQUEST, received })); // 4
    simulation.append(
      makeSection(KINDS.span, [proxySpanRow({ traceId: hex(9, 32), spanId: SPAN, received })]), // 5
    );
    await simulation.pass(60_000);
    t.same(links(simulation), ["decision 1 3", "decision 4 3", "span 1 2"]);
    t.match(
      simulation.rows(KINDS.finding).map(({ columns }) => columns["Evidence"]),
      [[5n]],
    );
    t.equal(simulation.correlator.size, 0);
  },
);

t.test("senders who repeat a request ID cannot multiply links", async (t) => {
  const simulation = await started(t);
  const { nowMs: received } = simulation;
  const many = 2_000;
  const repeat = (row: AccessRowInput) => access(...Array.from({ length: many }, () => row));
  simulation.append(repeat({ requestId: REQUEST, received }));
  simulation.append(repeat(decision({ requestId: REQUEST, received })));
  simulation.append(repeat({ requestId: REQUEST, received }));
  await simulation.pass(0);
  t.equal(links(simulation).length, 2 * many * MAX_SPANS);
  t.equal(new Set(links(simulation)).size, 2 * many * MAX_SPANS);
});

t.test("a full window of request IDs accuses no span", async (t) => {
  const simulation = await started(t, { windowMs: 10_000, maxRecords: 100 });
  const { nowMs: received } = simulation;
  simulation.append(
    makeSection(KINDS.span, [proxySpanRow({ traceId: TRACE, spanId: SPAN, received })]),
  );
  simulation.append(
    access(...Array.from({ length: 300 }, (_, i) => ({ requestId: `r-${i}`, received }))),
  );
  t.equal(simulation.overflow, 200);
  await simulation.pass(60_000);
  t.match(
    simulation.rows(KINDS.finding).map(({ columns }) => String(columns["FindingKind"])),
    ["span_without_access"],
    "and does not excuse one either",
  );
});

t.test("over crashes at random moments every pair is linked once", async (t) => {
  const windowMs = 1_000;
  for (let seed = 1; seed <= 40; seed++) {
    const random = seeded(seed * 7907);
    const simulation = await started(t, { windowMs });
    for (let step = 0; step < 60; step++) {
      simulation.nowMs += Math.floor(random() * 120);
      simulation.isFull = random() < 0.2;
      const input = {
        requestId: `request-${Math.floor(random() * 24)}`,
        received: simulation.nowMs,
      };
      simulation.append(access(random() < 0.3 ? decision(input) : input));
      if (random() < 0.5) await simulation.pass(0);
      if (random() < 0.5) simulation.release();
      if (random() < 0.05) {
        simulation.restart(simulation.log.length);
        simulation.start();
      }
    }
    simulation.isFull = false;
    for (let i = 0; i < 4; i++) await simulation.pass(60_000);
    // Few have one ID within a window: MAX_SPANS never counts.
    const rows = simulation.rows(KINDS.access).map(({ leafIndex, columns }) => ({
      leafIndex,
      requestId: String(columns["RequestId"]),
      isDecision: String(columns["Dialect"]) === "opa",
      ms: Number((columns["ReceivedTimestamp"] as bigint) / 1_000_000n),
    }));
    const expected = rows
      .filter(({ isDecision }) => !isDecision)
      .flatMap((one) =>
        rows
          .filter(
            (other) =>
              other.isDecision &&
              other.requestId === one.requestId &&
              Math.abs(other.ms - one.ms) <= windowMs,
          )
          .map((other) => `decision ${one.leafIndex} ${other.leafIndex}`),
      );
    t.same(links(simulation), expected.toSorted(), `seed ${seed}`);
    t.equal(simulation.correlator.releasableThrough, simulation.size);
  }
});
