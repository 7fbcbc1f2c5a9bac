import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Config } from "../config/options.ts";
import { MeshproofError } from "../core/errors.ts";
import { silentLogger } from "../core/logger.ts";
import { keptRows } from "../kept-rows.ts";
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
    throw new MeshproofError("CONFIG_INVALID", `${logDirectory}: expected the log of a meshproof server, found nothing; name its configuration with --config`);
  }
  const { origin, signer } = config.processors.seal;
  const key = parseVerifierKey(options.key ?? (await openSigner({ config: signer, origin, directory, logger: silentLogger })).verifierKey);
  const running = findRunning(directory);
  const logId = readLogId(directory);
  const store = options.logOnly === true ? null : await reachStore(config, running);
  const rows = store === null ? null : new ClickHouseRowSource({ client: store.client("writer", config.exporters.clickhouse.database), logId });
  try {
    const report = await runVerify({
      log: new DirectoryLogReader(logDirectory),
      rows,
      origin,
      keys: [key],
      quarantined: await readQuarantined(join(directory, "quarantine.jsonl"), logId),
      settleMs: running === null ? 0 : SETTLE_MS,
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
  }
}

interface RunningPorts {
  readonly pid: number;
  readonly clickhouseHttp: number | null;
}

/** The server that runs on this data directory, by its ports.json; null when it does not run. */
function findRunning(directory: string): RunningPorts | null {
  const path = join(directory, "ports.json");
  if (!existsSync(path)) return null;
  const ports = JSON.parse(readFileSync(path, "utf8")) as RunningPorts;
  try {
    process.kill(ports.pid, 0);
    return ports;
  } catch {
    return null; // it was killed, and left the file behind
  }
}

/** The store that the configuration names: a remote one, the running server's, or an embedded one started for this. */
async function reachStore(config: Config, running: RunningPorts | null): Promise<StoreConnection> {
  const { clickhouse } = config.exporters;
  const { directory } = config.storage;
  if (clickhouse.endpoint === "embedded" && running?.clickhouseHttp != null) {
    const passwordOf = (user: string): string => readSecret(join(directory, "secrets", `clickhouse-${user}`));
    return localStore(`http://127.0.0.1:${running.clickhouseHttp}`, passwordOf, null, clickhouse);
  }
  const embedded = { ...clickhouse.embedded, http_port: 0, native_port: 0 };
  return openStore({ ...clickhouse, embedded }, directory, silentLogger);
}

function readLogId(directory: string): string {
  const path = join(directory, "state", "log-id");
  if (!existsSync(path)) throw new MeshproofError("LOG_INCONSISTENT", `${path}: expected the log's ID, found no file`);
  return readFileSync(path, "utf8").trim();
}

function print(output: Output, report: Report): void {
  const { integrity, completeness, treeSize, checked, faults, faultCount, findings } = report;
  const verdict = (isGood: boolean, text: string): string => output.paint(isGood ? "green" : "red", text);
  output.line();
  output.columns([
    ["Integrity", verdict(integrity === "ok", integrity), integrity === "ok" ? "every row is what was sealed" : `${faultCount} faults`],
    ["Completeness", verdict(completeness === "ok", completeness), completeness === "ok" ? "nothing is known to be missing" : "findings say that something is missing"],
    ["Log", `${treeSize} records`, "under a signed checkpoint"],
    ["Checked", `${checked.records} rows`, `${checked.tiles} tiles and bundles, ${checked.checkpoints} checkpoints`],
  ]);
  if (faults.length > 0) output.line();
  for (const fault of faults.slice(0, SHOWN_FAULTS)) output.line(describeFault(fault));
  if (faultCount > SHOWN_FAULTS) output.line(`… and ${faultCount - SHOWN_FAULTS} more; --json lists up to 1,000`);
  if (Object.keys(findings).length > 0) {
    output.line();
    output.line("Open findings:");
    output.columns(Object.entries(findings).map(([kind, count]) => [`  ${kind}`, String(count)]));
  }
}

function describeFault({ fault, leafIndex, table, detail }: Fault): string {
  const where = [...(leafIndex === null ? [] : [`record ${leafIndex}`]), ...(table === null ? [] : [`in ${table}`])].join(" ");
  return `${fault}${where === "" ? "" : `  ${where}`}: ${detail}`;
}
