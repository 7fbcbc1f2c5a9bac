import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { runCommand } from "../../support/command.ts";
import { ServerProcess } from "../../support/server-process.ts";
import { Collector } from "../collector.ts";
import { ShippedCollector } from "../collector/shipped.ts";
import { Application } from "../envoy/application.ts";
import { type Call, makeCalls } from "../envoy/calls.ts";
import { writeCertificates, writeLogin } from "../envoy/certificates.ts";
import { AUTHORITY } from "../envoy/client.ts";
import { compare, type Comparison } from "../envoy/compare.ts";
import type { KindOfCall } from "../envoy/kinds.ts";
import { KINDS, SEARCHES_ALLOWED } from "../envoy/plan.ts";
import { envoyProgram } from "../envoy/program.ts";
import { type Edit, Proxies } from "../envoy/proxies.ts";
import { accessRows, nextLeaf } from "../envoy/rows.ts";
import { type Lane, type LaneContext, LaneSkipped } from "../lane.ts";
import { whyMissing } from "../needs.ts";
import { requireEngine } from "../server.ts";

/** Envoy sends its spans 5 s after they ended, its records after 1 s: the window is longer, and short enough for findings to be seen. */
const WINDOW_MS = 12_000;
const CONFIGURATION = `processors:
  correlate: { window: ${WINDOW_MS / 1000}s }
  seal: { origin: interop.example/envoy, checkpoint_interval: 250ms }
`;
/** Until a record that a proxy holds is stored and linked. */
const SETTLE_TIME_LIMIT_MS = 30_000;
/** A finding covers two windows, and is sealed when a third is over. */
const FINDINGS_TIME_LIMIT_MS = 3 * WINDOW_MS + 30_000;
/** Part of the plan that goes through the Collector. */
const COLLECTOR_SHARE = 0.4;
const BLIND_CALLS = 50;
/** meshproof has nothing there, and Envoy drops a batch after any answer but 200. */
const BLIND: readonly Edit[] = [["/v1/logs", "/v1/nowhere"]];
/** The value of a parameter, and how every token begins. Longer than what a random salt may hold by chance. */
const SECRETS = ["s3cr3t", "eyJhbGciOiJ"];

/** Two real Envoys in a row with the very files of config/, against a meshproof of its own. */
export const lane: Lane = {
  name: "envoy",
  title: "two Envoys with mutual TLS and policies: every request found on both sides, as it was",
  needs: ["python3", "openssl"],
  timeLimitMs: 8 * 60_000,
  run,
};

/** What passes share. */
interface Stage {
  readonly context: LaneContext;
  readonly server: ServerProcess;
  readonly envoy: string;
  readonly files: string;
  readonly login: ReturnType<typeof writeLogin>;
  readonly application: Application;
}

async function run(context: LaneContext): Promise<void> {
  requireEngine();
  const envoy = await envoyProgram(context);
  const files = join(context.directory, "files");
  const tls = join(files, "tls");
  mkdirSync(tls, { recursive: true });
  await writeCertificates(context, tls);
  const login = writeLogin(files);
  const application = await Application.start();
  const directory = join(context.directory, "server");
  const server = await ServerProcess.start(directory, CONFIGURATION, { signal: context.signal });
  const stage: Stage = { context, server, envoy, files, login, application };
  try {
    await straight(stage);
    await throughCollector(stage);
    await blind(stage);
    await checkWhole(stage);
    context.signal.throwIfAborted();
  } finally {
    application.close();
    await server.kill();
  }
}

/** Both proxies send straight to meshproof. */
async function straight(stage: Stage): Promise<void> {
  const { context, server } = stage;
  const first = await nextLeaf(server);
  const calls = await pass(stage, "straight", server.ports.otlp, KINDS, 1);
  await context.check(
    "every call has its access records on both sides, each column as the call was, and no record is left over",
    async () => tell(await settled(stage, first, calls)),
  );
  await context.check("the comparison is one that can fail", async () => {
    const rows = await accessRows(server, first);
    const [, ...others] = rows;
    assert.throws(() => compare(calls, others), /records of|periodic/, "a record too few");
    assert.throws(() => compare(calls.slice(1), rows), /belongs to no call/, "a record too many");
    // Of a plain call: every column of its record is compared, and with nothing else.
    const { id } = calls.find(({ kind }) => kind === KINDS[0])!;
    const plain = rows.find((row) => String(row["RequestId"]).endsWith(id.slice(15)))!;
    for (const [column, value] of [
      ["Decision", "unknown"],
      ["Actor", "somebody"],
      ["RequestBytes", 1 << 30],
      ["StartMs", Number(plain["StartMs"]) - 60_000],
      ["Links", 2],
    ] as const) {
      const changed = rows.map((row) => (row === plain ? { ...row, [column]: value } : row));
      assert.throws(() => compare(calls, changed), /1 differences/, column);
    }
    return "a record too few, one too many, and five columns changed are each told";
  });
}

async function throughCollector(stage: Stage): Promise<void> {
  const { context, server } = stage;
  const claim = "the same through a Collector";
  const program = await whyMissing("go", context.children).then((why) =>
    why === null ? Collector.build(context).catch(unlessSkipped) : why,
  );
  if (!program.startsWith("/")) return context.skip(claim, program);
  const collector = await ShippedCollector.start(context, program, {
    endpoint: `http://127.0.0.1:${server.ports.otlp}`,
    directory: join(context.directory, "collector-queue"),
  });
  const first = await nextLeaf(server);
  const calls = await pass(
    stage,
    "through-collector",
    Number(new URL(collector.otlp("logs")).port),
    KINDS,
    COLLECTOR_SHARE,
  );
  await context.check(claim, async () => tell(await settled(stage, first, calls)));
  await collector.stop();
}

/** Why the Collector cannot be built here. */
function unlessSkipped(error: unknown): string {
  if (error instanceof LaneSkipped) return error.message;
  throw error;
}

/** The client's proxy sends spans, but its access log gets nowhere. */
async function blind(stage: Stage): Promise<void> {
  const { context, server } = stage;
  const plain: KindOfCall = { ...KINDS[0]!, count: BLIND_CALLS };
  await pass(stage, "blind", server.ports.otlp, [plain], 1, BLIND);
  context.note("waiting for the findings");
  await context.check(
    "a proxy whose access log gets nowhere is found, with the number of its requests, and no other is accused",
    async () => {
      const found = await until(
        stage,
        FINDINGS_TIME_LIMIT_MS,
        () =>
          server.query<{ kind: string; subject: string; count: number }>(
            `SELECT FindingKind AS kind, Subject AS subject, toUInt32(sum(toUInt64(Detail['count']))) AS count
             FROM findings GROUP BY kind, subject ORDER BY kind, subject`,
          ),
        (rows) => rows.reduce((sum, { count }) => sum + count, 0) >= BLIND_CALLS,
      );
      assert.deepEqual(found, [
        { kind: "span_without_access", subject: "frontend", count: BLIND_CALLS },
      ]);
      return `${BLIND_CALLS} requests through the proxy of frontend`;
    },
  );
}

/** The log, the rows and what may not stand in them. */
async function checkWhole({ context, server }: Stage): Promise<void> {
  await context.check(
    "no token and no secret of a query stands in an access record or a span",
    async () => {
      for (const table of ["access_records", "otel_traces"]) {
        const rowsWith = async (text: string): Promise<number> => {
          const [found] = await server.query<{ rows: string }>(
            `SELECT toString(count()) AS rows FROM ${table} WHERE position(formatRow('JSONEachRow', *), '${text}') > 0`,
          );
          return Number(found!.rows);
        };
        assert.ok((await rowsWith(AUTHORITY)) > 0, "what does stand there is found");
        for (const secret of SECRETS)
          assert.equal(await rowsWith(secret), 0, `${secret} in ${table}`);
      }
    },
  );
  await context.check("meshproof verify finds nothing wrong", async () => {
    const { code, stdout, stderr } = await runCommand(
      "verify",
      "--json",
      "--config",
      server.configFile,
      "--config",
      join(server.directory, "extra.yaml"),
    );
    assert.equal(code, 0, stdout + stderr);
    const { integrity, treeSize } = JSON.parse(stdout) as { integrity: string; treeSize: number };
    assert.equal(integrity, "ok");
    return `${treeSize} records`;
  });
}

/** Starts both proxies, makes the calls, and ends the proxies when they have sent what they hold. */
async function pass(
  { context, envoy, files, login, application }: Stage,
  name: string,
  otlp: number,
  kinds: readonly KindOfCall[],
  share: number,
  edits: readonly Edit[] = [],
): Promise<Call[]> {
  const places = { files, otlp, application: application.ports };
  const proxies = await Proxies.start(context, envoy, name, places, edits);
  context.note(`calling through two Envoys: ${name}`);
  const calls = await makeCalls({ proxies, files, login }, kinds, share, context.signal);
  // Spans wait up to 5 s, records 1 s. At its end Envoy sends what it holds, but does not wait for an answer.
  await setTimeout(7_000, undefined, { signal: context.signal });
  await proxies.stop();
  return calls;
}

/** Compares until everything fits, at most as long as records may be on their way. */
async function settled(
  stage: Stage,
  firstLeaf: number,
  calls: readonly Call[],
): Promise<Comparison> {
  const attempt = async (): Promise<Comparison | Error> => {
    const rows = await accessRows(stage.server, firstLeaf);
    try {
      return compare(calls, rows);
    } catch (error) {
      return error as Error;
    }
  };
  const result = await until(
    stage,
    SETTLE_TIME_LIMIT_MS,
    attempt,
    (one) => !(one instanceof Error),
  );
  if (result instanceof Error) throw result;
  const limited = result.kinds.get("a request to a route with a rate limit, 200");
  assert.equal(limited, SEARCHES_ALLOWED, "requests that the rate limit let pass");
  return result;
}

/** Asks each half second until the answer will do, and returns the last one. */
async function until<T>(
  { context }: Stage,
  timeLimitMs: number,
  ask: () => Promise<T>,
  willDo: (answer: T) => boolean,
): Promise<T> {
  const deadline = Date.now() + timeLimitMs;
  for (;;) {
    const answer = await ask();
    if (willDo(answer) || Date.now() > deadline) return answer;
    await setTimeout(500, undefined, { signal: context.signal });
  }
}

function tell({ calls, records, periodic, linked, compared, kinds }: Comparison): string {
  return `${calls} calls of ${kinds.size} kinds, ${records} records (${periodic} periodic), ${linked} linked to their spans, ${compared} values compared`;
}
