import assert from "node:assert";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { DataType, isNullPointer, load, open, type JsExternal } from "ffi-rs";
import { serverStatements } from "./engine-config.ts";

/**
 * The embedded ClickHouse server's own process, started by engine.ts; its arguments are the path of libchdb, the
 * configuration file and ClickHouse's directory. libchdb holds the whole server, but takes itself for
 * clickhouse-local, a tool for one person at a terminal: `attachTerminal` and `openGate` undo two of its habits.
 */

/** What this process tells its parent before it ends of itself. */
export interface EngineEnded {
  readonly ended: string;
}

const GATE_POLL_MS = 5;
/**
 * A step behind the parent: merges may wait, senders may not. With two busy cores at 20,000 records/s requests were acknowledged
 * after 20 ms instead of 65 (median; 99th percentile 60 instead of 400).
 */
const NICENESS = 5;

/**
 * Runs the server until the parent is gone or ends it.
 *
 * The call into the library returns only when the server has failed, so it has a thread of libuv's pool to itself,
 * and the event loop stays free to notice the parent's end. That end is SIGKILL, always: every acknowledged insert
 * is a part on disk, and the library's orderly end needs the working directory that `openGate` takes away.
 */
async function runServer(
  libraryFile: string,
  configFile: string,
  directory: string,
): Promise<void> {
  process.on("disconnect", end);
  if (!process.connected) end();
  // A terminal or a service manager signals the whole group; the parent must be able to drain into us first.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

  const place = fs.mkdtempSync(path.join(os.tmpdir(), "meshproof-clickhouse-"));
  process.on("exit", () => fs.rmSync(place, { recursive: true, force: true }));
  process.chdir(place);
  // Before the engine makes its threads, which inherit it. Whoever was started with less keeps that: to take more is a privilege.
  if (os.getPriority() < NICENESS) os.setPriority(NICENESS);
  const gateFile = path.join(place, "gate");
  // "" stands for what the process has loaded already, the C library among it.
  open({ library: "c", path: "" });
  attachTerminal();
  succeed(
    call("c", "mkfifo", DataType.I32, [DataType.String, DataType.I32], [gateFile, 0o600]),
    "mkfifo",
  );

  open({ library: "chdb", path: libraryFile });
  const argv = [
    "clickhouse",
    "--interactive",
    "--disable_suggestion",
    "--progress=off",
    "--echo=0",
    "--echo-query-id=0",
  ];
  argv.push(
    `--config-file=${configFile}`,
    `--path=${directory}`,
    `--query=${serverStatements(gateFile)}`,
  );
  const result = load({
    library: "chdb",
    funcName: "chdb_query_cmdline",
    retType: DataType.External,
    paramsType: [DataType.I32, DataType.StringArray],
    paramsValue: [argv.length, argv],
    runInNewThread: true,
  });
  const gate = setInterval(() => openGate(gateFile) && clearInterval(gate), GATE_POLL_MS);
  const ended = errorOf(await result);
  fs.rmSync(place, { recursive: true, force: true });
  process.send?.({ ended } satisfies EngineEnded, end);
}

/**
 * Makes standard input a terminal, for which `--interactive` holds. Otherwise clickhouse-local installs a handler
 * that ends the process at any exception of a connection: a wrong password on the native port, a request that
 * breaks off in its header.
 */
function attachTerminal(): void {
  const flags = fs.constants.O_RDWR | fs.constants.O_NOCTTY;
  const terminal = fs.openSync("/dev/ptmx", flags);
  succeed(call("c", "grantpt", DataType.I32, [DataType.I32], [terminal]), "grantpt");
  succeed(call("c", "unlockpt", DataType.I32, [DataType.I32], [terminal]), "unlockpt");
  const line = fs.openSync(
    call("c", "ptsname", DataType.String, [DataType.I32], [terminal]) as string,
    flags,
  );
  succeed(call("c", "dup2", DataType.I32, [DataType.I32, DataType.I32], [line, 0]), "dup2");
}

/**
 * Lets the server go on from its first statement, which reads the named pipe `gateFile`, to those that open the
 * ports; before that, removes the working directory. Returns false while the server has not come that far.
 *
 * Without a working directory the SQL function file() fails. It needs no grant, and has no bounds in clickhouse-local,
 * so any user could read the signing key with it. It first resolves the directory of user files, which is empty there,
 * against the working directory, and getcwd(2) answers ENOENT. The library itself asks for it once, when it starts,
 * hence the gate.
 */
function openGate(gateFile: string): boolean {
  let gate: number;
  try {
    gate = fs.openSync(gateFile, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
  } catch (error) {
    // fifo(7): opening to write without blocking fails with ENXIO until somebody reads.
    if ((error as NodeJS.ErrnoException).code === "ENXIO") return false;
    throw error;
  }
  fs.unlinkSync(gateFile);
  fs.rmdirSync(path.dirname(gateFile));
  fs.closeSync(gate);
  return true;
}

function errorOf(result: JsExternal): string {
  if (isNullPointer(result)) return "";
  const message = (retType: DataType): unknown =>
    call("chdb", "chdb_result_error", retType, [DataType.External], [result]);
  return isNullPointer(message(DataType.External) as JsExternal)
    ? ""
    : (message(DataType.String) as string);
}

function call(
  library: string,
  funcName: string,
  retType: DataType,
  paramsType: DataType[],
  paramsValue: unknown[],
): unknown {
  return load({ library, funcName, retType, paramsType, paramsValue });
}

function succeed(result: unknown, name: string): void {
  if (result !== 0) throw new Error(`expected ${name} to return 0, got ${String(result)}`);
}

function end(): void {
  process.kill(process.pid, "SIGKILL");
}

const [libraryFile, configFile, directory] = process.argv.slice(2);
assert(
  libraryFile !== undefined && configFile !== undefined && directory !== undefined,
  "library, configuration file and directory",
);
await runServer(libraryFile, configFile, directory);
