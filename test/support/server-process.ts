import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";

/** Ports of a running server, as `<data>/ports.json` gives them. */
export interface ServerPorts {
  readonly otlp: number;
  readonly api: number;
  readonly health: number;
  readonly metrics: number;
  readonly clickhouseHttp: number;
  readonly clickhouseNative: number;
  readonly pid: number;
}

const LAUNCHER = resolve(import.meta.dirname, "../../bin/meshproof.js");
const START_TIMEOUT_MS = 60_000;

/** `meshproof serve` as a process of its own, on free ports, in a directory that the caller removes. */
export class ServerProcess {
  readonly directory: string;
  readonly configFile: string;
  readonly ports: ServerPorts;
  readonly #child: ChildProcess;
  readonly #output: () => string;

  private constructor(
    directory: string,
    configFile: string,
    ports: ServerPorts,
    child: ChildProcess,
    output: () => string,
  ) {
    this.#output = output;
    this.directory = directory;
    this.configFile = configFile;
    this.ports = ports;
    this.#child = child;
  }

  /**
   * Starts on `directory`; with `config` merged over the ports. Rejects with what the process printed when it does not come up, also because
   * `signal` was aborted, at which it is killed. `env` is added to the environment.
   */
  static async start(
    directory: string,
    config = "",
    { signal, env = {} }: { signal?: AbortSignal; env?: Readonly<Record<string, string>> } = {},
  ): Promise<ServerProcess> {
    mkdirSync(directory, { recursive: true });
    const configFile = join(directory, "test.yaml");
    const extra = join(directory, "extra.yaml");
    writeFileSync(
      configFile,
      `receivers: { otlp: { protocols: { http: { endpoint: "127.0.0.1:0" } } } }
extensions: { health_check: { endpoint: "127.0.0.1:0" }, api: { endpoint: "127.0.0.1:0" } }
exporters: { clickhouse: { embedded: { http_port: 0, native_port: 0 } } }
storage: { directory: ${JSON.stringify(join(directory, "data"))} }
service: { telemetry: { metrics: { address: "127.0.0.1:0" } } }
`,
    );
    writeFileSync(extra, config === "" ? "{}\n" : config);
    const portsFile = join(directory, "data", "ports.json");
    const child = spawn(
      process.execPath,
      [LAUNCHER, "serve", "--json", "--config", configFile, "--config", extra],
      { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, ...env } },
    );
    let output = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (output += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (output += text));
    const abort = (): void => void child.kill("SIGKILL");
    signal?.addEventListener("abort", abort);
    const deadline = Date.now() + START_TIMEOUT_MS;
    while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
      const ports = readPorts(portsFile);
      if (ports !== null && ports.pid === child.pid) {
        signal?.removeEventListener("abort", abort);
        return new ServerProcess(directory, configFile, ports, child, () => output);
      }
      await setTimeout(20);
    }
    child.kill("SIGKILL");
    throw new Error(`the server did not start:\n${output}`);
  }

  get pid(): number {
    return this.#child.pid!;
  }

  get dataDirectory(): string {
    return join(this.directory, "data");
  }

  /** Process ID of the embedded ClickHouse; 0 when there is none, also where there is no /proc to look. */
  get enginePid(): number {
    for (const name of processNames()) {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, "latin1");
        const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
        const command = readFileSync(`/proc/${name}/cmdline`, "latin1");
        if (Number(parent) === this.pid && command.includes("engine-child")) return Number(name);
      } catch {
        // It ended while we looked.
      }
    }
    return 0;
  }

  otlp(signal: "logs" | "traces"): string {
    return `http://127.0.0.1:${this.ports.otlp}/v1/${signal}`;
  }

  /** Rows of a query as the reader sends it, or another user. */
  async query<T>(sql: string, user: "reader" | "writer" | "admin" = "reader"): Promise<T[]> {
    const isRead = /^\s*(SELECT|WITH|SHOW|DESC)/i.test(sql);
    const bytes = await this.queryBytes(isRead ? `${sql} FORMAT JSONEachRow` : sql, user);
    return bytes
      .toString("utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as T);
  }

  /** The answer to a query in the format that it names. */
  async queryBytes(sql: string, user: "reader" | "writer" | "admin" = "reader"): Promise<Buffer> {
    const password = readFileSync(
      join(this.dataDirectory, "secrets", `clickhouse-${user}`),
      "utf8",
    ).trim();
    const response = await fetch(`http://127.0.0.1:${this.ports.clickhouseHttp}/?database=otel`, {
      method: "POST",
      headers: { "X-ClickHouse-User": user, "X-ClickHouse-Key": password },
      body: sql,
    });
    const answer = Buffer.from(await response.arrayBuffer());
    if (!response.ok) throw new Error(`${sql}: ${answer.toString("utf8")}`);
    return answer;
  }

  /** What it has printed, its log included. */
  get output(): string {
    return this.#output();
  }

  /** Resolves with the exit code when it ends by itself, null when a signal ended it. */
  ended(): Promise<number | null> {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null)
      return Promise.resolve(child.exitCode);
    return new Promise((resolveEnd) => child.once("exit", (code) => resolveEnd(code)));
  }

  /** Ends it as an operator does. Returns the exit code. */
  stop(): Promise<number | null> {
    return this.#end("SIGTERM");
  }

  /** Ends it as a power cut does. */
  kill(): Promise<number | null> {
    return this.#end("SIGKILL");
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    const ended = this.ended();
    this.#child.kill(signal);
    return ended;
  }
}

function processNames(): string[] {
  return existsSync("/proc") ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : [];
}

/** The ports in a file; null when there is none, as when the server that starts has just taken away what a killed one left. */
function readPorts(file: string): ServerPorts | null {
  try {
    return JSON.parse(readFileSync(file, "utf8")) as ServerPorts;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
}
