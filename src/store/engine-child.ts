import assert from "node:assert";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { DataType, isNullPointer, load, open, type JsExternal } from "ffi-rs";
import { serverStatements } from "./engine-config.ts";

/** What this process tells its parent before it ends of itself. */
export interface EngineEnded {
  readonly ended: string;
}

const GATE_POLL_MS = 5;

/**
 * Runs ClickHouse in this process until the parent is gone: `libraryFile` is libchdb, which holds the whole server.
 *
 * The call into the library never returns while the server runs, so it has a thread of libuv's pool to itself, and
 * the event loop stays free to notice the parent's end. The process ends by SIGKILL only, its own or the parent's:
 * every acknowledged insert is a part on disk by then, and the library's orderly end needs a working directory,
 * which we have taken away (see `openGate`).
 */
async function runServer(libraryFile: string, configFile: string, directory: string): Promise<void> {
  process.on("disconnect", end);
  if (!process.connected) end();
  // A terminal or a service manager signals the whole group; the parent must be able to drain into us first.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

  const place = fs.mkdtempSync(path.join(os.tmpdir(), "meshproof-clickhouse-"));
  process.on("exit", () => fs.rmSync(place, { recursive: true, force: true }));
  process.chdir(place);
  const gateFile = path.join(place, "gate");
  // "" stands for what is loaded already, the C library among it.
  open({ library: "process", path: "" });
  if (call("process", "mkfifo", DataType.I32, [DataType.String, DataType.I32], [gateFile, 0o600]) !== 0) {
    throw new Error(`expected to make the named pipe ${gateFile}, got an error of mkfifo`);
  }
  const master = fs.openSync("/dev/ptmx", fs.constants.O_RDWR | fs.constants.O_NOCTTY);
  call("process", "grantpt", DataType.I32, [DataType.I32], [master]); call("process", "unlockpt", DataType.I32, [DataType.I32], [master]);
  const name = call("process", "ptsname", DataType.String, [DataType.I32], [master]) as string;
  const slave = fs.openSync(name, fs.constants.O_RDWR | fs.constants.O_NOCTTY);
  console.log(name, call("process", "dup2", DataType.I32, [DataType.I32, DataType.I32], [slave, 0]));
  open({ library: "chdb", path: libraryFile });
  const argv = ["clickhouse", `--config-file=${configFile}`, `--path=${directory}`, `--query=${serverStatements(gateFile)}`, "--interactive", "--disable_suggestion", "--progress=off"];
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
  if (process.connected) process.send?.({ ended } satisfies EngineEnded, end);
  else end();
}

/**
 * Lets the server go on from its first statement, which reads `gateFile`, to the ones that open the ports; before that,
 * removes the working directory. Returns false while the server has not come that far.
 *
 * Without a working directory the SQL function file() fails. It has no grant, and in this build no bounds either
 * (it takes itself for clickhouse-local), so any user could read the signing key with it: it resolves the directory
 * of user files, which is empty, against the working directory before it looks at its argument, and getcwd(2)
 * answers ENOENT. It cannot be removed sooner: the library asks for it when it starts.
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
  const text = call("chdb", "chdb_result_error", DataType.External, [DataType.External], [result]) as JsExternal;
  if (isNullPointer(text)) return "";
  return call("chdb", "chdb_result_error", DataType.String, [DataType.External], [result]) as string;
}

function call(library: string, funcName: string, retType: DataType, paramsType: DataType[], paramsValue: unknown[]): unknown {
  return load({ library, funcName, retType, paramsType, paramsValue });
}

function end(): void {
  process.kill(process.pid, "SIGKILL");
}

const [libraryFile, configFile, directory] = process.argv.slice(2);
assert(libraryFile !== undefined && configFile !== undefined && directory !== undefined, "library, configuration file and directory");
await runServer(libraryFile, configFile, directory);
