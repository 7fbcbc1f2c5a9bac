import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { keptRows } from "../kept-rows.ts";
import { type DirectoryLock, lockDirectory } from "../seal/lock.ts";
import { openSigner } from "../seal/open-signer.ts";
import { localStore, openStore, readSecret, type StoreConnection } from "../store-connection.ts";
import { ClickHouseRowSource } from "../store/rows.ts";
import { parseVerifierKey } from "../tlog/note.ts";
import { DirectoryLogReader } from "../verify/log-reader.ts";
import type { Fault, Report } from "../verify/report.ts";
import { verify as runVerify } from "../verify/verify.ts";
import { readConfig, type ConfigOption, type Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { Output } from "./output.ts";

export interface VerifyCommandOptions extends ConfigOption {
  readonly json?: boolean;
  /** Verifier key to trust; without it, that of the key file beside the log. */
  readonly key?: string;
  /** Check entries, tiles and checkpoint, but no rows. */
  readonly logOnly?: boolean;
}

/** Beside a running server the newest rows may still be on their way to the store or to a checkpoint. */
const SETTLE_MS = 15_000;
/** Faults that people are shown; `--json` lists more. */
const SHOWN_FAULTS = 20;

/** Verifies the log and the stored rows of a data directory. Exit code 0 when nothing was changed, 1 when something was. */
export async function verify(options: VerifyCommandOptions, context: Context): Promise<ExitCode> {
  const config = readConfig(options, context);
  const { directory } = config.storage;
  const logDirectory = join(directory, "log");
  if (!existsSync(logDirectory)) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `${logDirectory}: expected the log of a meshproof server, found nothing; name its configuration with --config`,
    );
  }
  const { origin, signer: signerConfig } = config.processors.seal;
  const readOwnKey = async (): Promise<string> =>
    (
      await openSigner({
        config: signerConfig,
        origin,
        directory,
        mayCreate: false,
        logger: silentLogger,
      })
    ).verifierKey;
  const key = parseVerifierKey(options.key ?? (await readOwnKey()));
  const logId = readLogId(directory);
  const logOnly = options.logOnly === true;
  const server = logOnly ? NO_SERVER : findServer(directory);
  let store: StoreConnection | undefined;
  let rows: ClickHouseRowSource | null = null;
  try {
    if (!logOnly) {
      store = await reachStore(config, server.running);
      rows = new ClickHouseRowSource({
        client: store.client("writer", config.exporters.clickhouse.database),
        logId,
      });
      if (server.wasKilled)
        context.output.note(
          "The server that ran here was killed. What it had not stored or sealed yet is in its journal, for the next start; rows there count as present.",
        );
    }
    const report = await runVerify({
      log: new DirectoryLogReader(logDirectory),
      rows,
      origin,
      keys: [key],
      kept: keptRows(directory, logId, { journal: server.wasKilled }),
      settleMs: server.running === null ? 0 : SETTLE_MS,
      onProgress: ({ checked, size }) => {
        if (size > checked) context.output.note(`${checked} of ${size} records checked`);
      },
    });
    if (options.json === true) context.output.json(report);
    else print(context.output, report);
    return report.integrity === "ok" ? EXIT.ok : EXIT.failed;
  } finally {
    await rows?.close();
    await store?.close();
    server.release();
  }
}

interface RunningPorts {
  readonly clickhouseHttp: number | null;
}

interface FoundServer {
  /** The ports of the server that runs on the data directory. */
  readonly running: RunningPorts | null;
  /** It ran, and ended without a clean stop. */
  readonly wasKilled: boolean;
  /** From now on a server may start. */
  release(): void;
}

const NO_SERVER: FoundServer = { running: null, wasKilled: false, release() {} };

/** Does a server run on this data directory? When none does, none can start until `release`: the journal and the embedded store are ours that long. */
function findServer(directory: string): FoundServer {
  const path = join(directory, "ports.json");
  let lock: DirectoryLock;
  try {
    lock = lockDirectory(directory);
  } catch {
    if (!existsSync(path)) return NO_SERVER; // it starts or stops, or this is a copy that nobody may write to
    return {
      running: JSON.parse(readFileSync(path, "utf8")) as RunningPorts,
      wasKilled: false,
      release() {},
    };
  }
  return { running: null, wasKilled: existsSync(path), release: () => lock.release() };
}

/** The store that the configuration names: a remote one, the running server's, or an embedded one started for this. */
async function reachStore(config: Config, running: RunningPorts | null): Promise<StoreConnection> {
  const { clickhouse } = config.exporters;
  const { directory } = config.storage;
  if (clickhouse.endpoint === "embedded" && running?.clickhouseHttp != null) {
    const passwordOf = (user: string): string =>
      readSecret(join(directory, "secrets", `clickhouse-${user}`));
    return localStore(`http://127.0.0.1:${running.clickhouseHttp}`, passwordOf, null, clickhouse);
  }
  const embedded = { ...clickhouse.embedded, http_port: 0, native_port: 0 };
  return openStore({ ...clickhouse, embedded }, directory, silentLogger);
}

function readLogId(directory: string): string {
  const path = join(directory, "state", "log-id");
  if (!existsSync(path))
    throw new MeshproofError("LOG_INCONSISTENT", `${path}: expected the log's ID, found no file`);
  return readFileSync(path, "utf8").trim();
}

function print(output: Output, report: Report): void {
  const { integrity, completeness, treeSize, checked, faults, faultCount, findings } = report;
  const verdict = (isGood: boolean, text: string): string =>
    output.paint(isGood ? "green" : "red", text);
  output.line();
  output.columns([
    [
      "Integrity",
      verdict(integrity === "ok", integrity),
      integrity === "ok"
        ? "every row is what was sealed"
        : `${faultCount} ${faultCount === 1 ? "fault" : "faults"}`,
    ],
    [
      "Completeness",
      verdict(completeness === "ok", completeness),
      completeness === "ok"
        ? "nothing is known to be missing"
        : "findings say that something is missing",
    ],
    ["Log", `${treeSize} records`, "under a signed checkpoint"],
    [
      "Checked",
      `${checked.records} rows`,
      `${checked.tiles} tiles and bundles, ${checked.checkpoints} checkpoints`,
    ],
  ]);
  if (faults.length > 0) output.line();
  for (const fault of faults.slice(0, SHOWN_FAULTS)) output.line(describeFault(fault));
  if (faultCount > SHOWN_FAULTS)
    output.line(`… and ${faultCount - SHOWN_FAULTS} more; --json lists up to 1,000`);
  if (Object.keys(findings).length > 0) {
    output.line();
    output.line("Open findings:");
    output.columns(Object.entries(findings).map(([kind, count]) => [`  ${kind}`, String(count)]));
  }
}

function describeFault({ fault, leafIndex, table, detail }: Fault): string {
  const where = [
    ...(leafIndex === null ? [] : [`record ${leafIndex}`]),
    ...(table === null ? [] : [`in ${table}`]),
  ].join(" ");
  return `${fault}${where === "" ? "" : `  ${where}`}: ${detail}`;
}
