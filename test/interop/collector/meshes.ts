import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { DIALECTS } from "../../../src/normalise/load-dialects.ts";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import type { PodLogs } from "./pods.ts";

const FIXTURES = new URL("../../fixtures/", import.meta.url);

/** What is compared, and what a column holds where the fixture says nothing. Not what the pod or the file gives: the fixtures have none. */
const COLUMNS = {
  Dialect: "",
  DurationNs: "-1",
  UpstreamDurationNs: "-1",
  TraceId: "",
  SpanId: "",
  RequestId: "",
  Actor: "",
  ActorKind: "",
  ActorAssurance: "",
  EndUser: "",
  AuthMethod: "",
  PeerPrincipal: "",
  PeerNamespace: "",
  PeerServiceAccount: "",
  PeerWorkload: "",
  PeerAddress: "0".repeat(32),
  PeerPort: 0,
  LocalPrincipal: "",
  LocalAddress: "0".repeat(32),
  LocalPort: 0,
  ServiceName: "",
  UpstreamCluster: "",
  UpstreamAddress: "",
  Route: "",
  Direction: "",
  Protocol: "",
  Method: "",
  Authority: "",
  Path: "",
  StatusCode: 0,
  GrpcStatus: -1,
  Decision: "",
  DecisionEngine: "",
  Policy: "",
  DecisionReason: "",
  DecisionSource: "",
  ResponseFlags: "",
  ResponseDetails: "",
  RequestBytes: "-1",
  ResponseBytes: "-1",
} as const;
type Row = Record<string, unknown>;

interface Sample {
  readonly name: string;
  readonly line: string;
  readonly expected: Row;
}

/** The fixtures of a dialect that are a line, of text or of JSON, and nothing else. */
function samplesOf(dialect: string): Sample[] {
  const folder = new URL(`${dialect}/`, FIXTURES);
  return readdirSync(folder).flatMap((name): Sample[] => {
    const read = (file: string): Row =>
      JSON.parse(readFileSync(new URL(`${name}/${file}`, folder), "utf8")) as Row;
    const { resource, scope, record } = read("in.json") as {
      resource?: Row;
      scope?: Row;
      record: { body?: { stringValue?: string }; attributes?: unknown[] };
    };
    const line = record.body?.stringValue?.trimEnd() ?? "";
    // What a container runtime wraps around a line is put around it here.
    const isWrapped = /^\d{4}-\S+ std(out|err) |"stream":/.test(line);
    if (resource !== undefined || scope !== undefined || (record.attributes?.length ?? 0) > 0)
      return [];
    if (line === "" || line.includes("\n") || isWrapped) return [];
    const out = read("out.json");
    const expected = Object.fromEntries(
      Object.entries(COLUMNS).map(([column, absent]) => [column, out[column] ?? absent]),
    );
    return [{ name, line, expected }];
  });
}

/** Lines of every dialect, from files, through the receiver file_log and its operators: the columns are those of the line alone. */
export async function checkMeshes(
  { check }: LaneContext,
  logs: PodLogs,
  server: ServerProcess,
): Promise<void> {
  const columns = Object.keys(COLUMNS)
    .map((name) =>
      name.endsWith("Address") && name !== "UpstreamAddress"
        ? `lower(hex(${name})) AS ${name}`
        : name,
    )
    .join(", ");
  for (const { name: dialect } of DIALECTS) {
    const samples = samplesOf(dialect);
    if (samples.length === 0) continue;
    await check(
      `lines of ${dialect} from files of pods have the columns of the lines alone`,
      async () => {
        const pod = {
          namespace: `mesh-${dialect.replaceAll("_", "-")}`,
          name: "proxy-0",
          workload: "proxy",
          container: "proxy",
        };
        logs.write(
          pod,
          samples.map(({ line }) => line),
        );
        const from = `FROM access_records WHERE LogAttributes['log.file.path'] = '${logs.pathOf(pod)}'`;
        await waitForCount(server, `SELECT count() ${from}`, samples.length);
        const rows = await server.query<Row>(
          `SELECT ${columns} ${from} ORDER BY toUInt64(LogAttributes['log.file.record_offset'])`,
        );
        samples.forEach(({ name, expected }, i) =>
          assert.deepEqual(rows[i], expected, `${dialect}/${name}`),
        );
        return `${samples.length} lines`;
      },
    );
  }
}
