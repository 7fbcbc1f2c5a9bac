import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { loadConfig } from "../config/load.ts";
import { MeshproofError } from "../core/errors.ts";
import {
  compare,
  type Counts,
  type Finding,
  hasArrived,
  type Probe,
  type Query,
  readCounts,
  readFindings,
  readProbe,
  readSlowest,
  readStored,
  readVerdicts,
  type Slowest,
  type VerdictCount,
  waitFor,
} from "../demo/evidence.ts";
import { MALLORY } from "../demo/mesh.ts";
import { type Plan, type Tally, tallyOf } from "../demo/plan.ts";
import { otherPlaces } from "../kept-rows.ts";
import type { RecordJson } from "../records/row-json.ts";
import type { Ports } from "../listeners.ts";
import type { RunningServer } from "../server.ts";
import { createStoreClient, type StoreClient } from "../store/client.ts";
import { ClickHouseRowSource } from "../store/rows.ts";
import { parseVerifierKey } from "../tlog/note.ts";
import { checkRecordProof } from "../verify/proof.ts";
import type { Report } from "../verify/report.ts";
import { verify } from "../verify/verify.ts";
import { ApiClient } from "./api-client.ts";
import { type DataDirectory, openDataDirectory } from "./data-directory.ts";
import type { TraceAnswer } from "./trace-tree.ts";

/** The directory of a demo. */
export interface Workspace {
  readonly directory: string;
  readonly configFile: string;
  /** The server goes on when the story is told. */
  readonly isServing: boolean;
  /** The directory stays. */
  readonly isKept: boolean;
}

/** What `meshproof demo --json` prints. Every figure was read from ClickHouse, the API or the log; `sent` alone comes from the sender. */
export interface DemoResult {
  readonly ok: boolean;
  /** What did not hold, a sentence each. */
  readonly problems: readonly string[];
  readonly seed: number;
  readonly workspace: Workspace;
  readonly ports: Ports;
  readonly verifierKey: string;
  readonly sent: Omit<Tally, "verdicts">;
  readonly stored: Counts;
  readonly verdicts: readonly VerdictCount[];
  readonly slowest: Slowest | null;
  readonly probe: Probe | null;
  /** A denied request, and all records of its trace. */
  readonly denied: RecordJson | null;
  readonly trace: TraceAnswer | null;
  /** The blind spot, and the span that shows it. */
  readonly finding: Finding | null;
  readonly blindSpan: RecordJson | null;
  readonly proof: Proof | null;
  readonly before: Report;
  readonly forgery: Forgery | null;
  readonly after: Report;
}

export interface Proof {
  readonly file: string;
  readonly bytes: number;
  readonly leafIndex: number;
  readonly treeSize: number;
  /** The decision in the row that the proof holds. */
  readonly decision: string;
}

export interface Forgery {
  readonly leafIndex: number;
  readonly table: string;
  /** What was run as ClickHouse's administrator. */
  readonly statements: readonly string[];
}

/** The longest that the last link or finding may take. */
const ARRIVAL_TIMEOUT_MS = 25_000;
/** Beside the running server a heartbeat or the record of a query may be on its way to the store. */
const SETTLE_MS = 5000;
const BLIND_SPOT = "span_without_access";
const PROOF_FILE = "denied.tlog-proof";

/** Decision is part of the table's order, which ClickHouse does not update in place: the row is copied with another word, and the true one deleted. */
const FORGERY = [
  `INSERT INTO access_records
SELECT * REPLACE ('allowed' AS Decision) FROM access_records
WHERE LeafIndex = {leaf:UInt64}`,
  `ALTER TABLE access_records
DELETE WHERE LeafIndex = {leaf:UInt64} AND Decision = 'denied'
SETTINGS mutations_sync = 2`,
] as const;

/** Looks at a server as those do who did not build it: as a reader of ClickHouse, over the API, with the verifier key. */
export class Witness {
  readonly #server: RunningServer;
  readonly #workspace: Workspace;
  readonly #signal: AbortSignal;
  readonly #api: ApiClient;
  readonly #data: DataDirectory;
  readonly #reader: StoreClient;
  readonly #admin: StoreClient;

  private constructor(
    server: RunningServer,
    workspace: Workspace,
    signal: AbortSignal,
    data: DataDirectory,
    database: string,
  ) {
    const { ports } = server;
    const login = (user: string) => ({
      url: `http://127.0.0.1:${ports.clickhouseHttp}`,
      username: user,
      password: readFileSync(join(data.path, "secrets", `clickhouse-${user}`), "utf8").trim(),
      database,
    });
    this.#server = server;
    this.#workspace = workspace;
    this.#signal = signal;
    this.#data = data;
    this.#api = new ApiClient({
      url: new URL(`http://127.0.0.1:${ports.api}/`),
      token: undefined,
    });
    this.#reader = createStoreClient(login("reader"));
    this.#admin = createStoreClient(login("admin"));
  }

  static async open(
    server: RunningServer,
    workspace: Workspace,
    signal: AbortSignal,
  ): Promise<Witness> {
    const config = loadConfig([workspace.configFile], {});
    const data = await openDataDirectory(config, { key: server.verifierKey, store: true });
    return new Witness(server, workspace, signal, data, config.exporters.clickhouse.database);
  }

  async close(): Promise<void> {
    await this.#reader.close();
    await this.#admin.close();
    await this.#data.close();
  }

  /** Records under a signed checkpoint, and rows in ClickHouse. */
  async progress(): Promise<{ sealed: number; stored: number }> {
    const { signedSize } = await this.#api.json("api/v1/log");
    return { sealed: Number(signedSize), stored: await readStored(this.#query) };
  }

  /** Waits until everything is stored, linked and sealed, and the blind spot found; what does not come in time is for `testify` to say. */
  async waitForAll(sent: Tally): Promise<void> {
    const isThere = async (): Promise<true | undefined> => {
      if (!(await hasArrived(this.#query, sent))) return undefined;
      if ((await readFindings(this.#query, BLIND_SPOT)).length === 0) return undefined;
      const { lag } = await this.#api.json("api/v1/log");
      return Number(lag) === 0 ? true : undefined;
    };
    await waitFor(isThere, ARRIVAL_TIMEOUT_MS, this.#signal);
  }

  /** Everything that the story tells. It ends with a forged row, which stays. */
  async testify(plan: Plan, seed: number): Promise<DemoResult> {
    const { ports, verifierKey } = this.#server;
    const { verdicts: _, ...sent } = tallyOf(plan);
    const problems: string[] = [];
    const query = this.#query;
    const stored = await readCounts(query);
    const verdicts = await readVerdicts(query);
    problems.push(...compare(tallyOf(plan), stored, verdicts));

    const denied = await this.#findDenied(problems);
    const trace = denied === null ? null : await this.#readTrace(String(denied["TraceId"]));
    const finding = await this.#findBlindSpot(problems);
    const blindSpan = await this.#readBlindSpan(finding, plan.blindSpanId, problems);
    const proof = denied === null ? null : await this.#prove(denied, problems);
    const before = await this.#verify();
    if (before.integrity !== "ok")
      problems.push(`before the forgery, verify found ${before.faultCount} faults`);
    this.#signal.throwIfAborted();
    const forgery = denied === null ? null : await this.#forge(Number(denied["LeafIndex"]));
    const after = await this.#verify();
    if (forgery === null || !isFoundIn(after, forgery))
      problems.push(`verify did not name the forged row, and it alone`);
    return {
      ok: problems.length === 0,
      problems,
      seed,
      workspace: this.#workspace,
      ports,
      verifierKey,
      sent,
      stored,
      verdicts,
      slowest: await readSlowest(query),
      probe: await readProbe(query),
      denied,
      trace,
      finding,
      blindSpan,
      proof,
      before,
      forgery,
      after,
    };
  }

  readonly #query: Query = (statement, parameters) =>
    this.#reader.query(statement, parameters, { signal: this.#signal });

  async #findDenied(problems: string[]): Promise<RecordJson | null> {
    const { records } = await this.#api.json("api/v1/access-records", {
      principal: MALLORY.user!,
      decision: "denied",
      limit: "1",
    });
    const [denied] = records as readonly RecordJson[];
    if (denied !== undefined) return denied;
    problems.push(`the API knows of no denied request of ${MALLORY.user}`);
    return null;
  }

  async #readTrace(traceId: string): Promise<TraceAnswer> {
    return (await this.#api.json(`api/v1/traces/${traceId}`)) as object as TraceAnswer;
  }

  async #findBlindSpot(problems: string[]): Promise<Finding | null> {
    const findings = await readFindings(this.#query, BLIND_SPOT);
    if (findings.length !== 1)
      problems.push(`findings: 1 ${BLIND_SPOT} was expected, ${findings.length} were sealed`);
    return findings[0] ?? null;
  }

  async #readBlindSpan(
    finding: Finding | null,
    spanId: string,
    problems: string[],
  ): Promise<RecordJson | null> {
    const [leafIndex, ...others] = finding?.evidence ?? [];
    if (leafIndex === undefined) return null;
    const span = await this.#api.json(`api/v1/records/${leafIndex}`);
    if (others.length > 0 || span["SpanId"] !== spanId)
      problems.push("the finding names other spans than the one without an access record");
    return span;
  }

  /** Fetches the proof of a record and checks it with the verifier key alone. */
  async #prove(record: RecordJson, problems: string[]): Promise<Proof | null> {
    const leafIndex = Number(record["LeafIndex"]);
    const text = await this.#api.text(`api/v1/records/${leafIndex}/proof`);
    const file = join(this.#workspace.directory, PROOF_FILE);
    writeFileSync(file, text, { mode: 0o600 });
    try {
      const key = parseVerifierKey(this.#server.verifierKey);
      const checked = checkRecordProof(readFileSync(file), { keys: [key] });
      if (checked.leafIndex !== leafIndex) problems.push("the proof is one of another record");
      return {
        file,
        bytes: text.length,
        leafIndex,
        treeSize: checked.treeSize,
        decision: String(checked.record["Decision"]),
      };
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      problems.push(`the proof does not hold: ${error.message}`);
      return null;
    }
  }

  /** Makes a denial an approval, as somebody with the administrator's password could. */
  async #forge(leaf: number): Promise<Forgery> {
    for (const statement of FORGERY) await this.#admin.command(statement, { leaf });
    return {
      leafIndex: leaf,
      table: "access_records",
      statements: FORGERY.map((statement) => statement.replace("{leaf:UInt64}", String(leaf))),
    };
  }

  /** What `meshproof verify` does. */
  #verify(): Promise<Report> {
    const { log, logId, origin, key, client, path } = this.#data;
    return verify({
      log,
      rows: new ClickHouseRowSource({ client: client!, logId }),
      origin,
      keys: [key],
      places: otherPlaces(path, logId),
      settleMs: SETTLE_MS,
    });
  }
}

function isFoundIn({ integrity, faultCount, faults }: Report, forgery: Forgery): boolean {
  const [fault] = faults;
  return (
    integrity === "broken" &&
    faultCount === 1 &&
    fault?.fault === "row_changed" &&
    fault.leafIndex === forgery.leafIndex &&
    fault.table === forgery.table
  );
}
