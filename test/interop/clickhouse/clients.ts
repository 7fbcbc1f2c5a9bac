import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { ServerProcess } from "../../support/server-process.ts";
import { GoModules } from "../go.ts";
import type { LaneContext } from "../lane.ts";
import { pythonEnvironment } from "../python.ts";
import { type Login, passwordFile, type Printed, READER } from "./tables.ts";

/** A client that we did not write, over one protocol. */
export interface Client {
  readonly name: string;
  readonly compressions: readonly string[];
  /** The one that it is used with where nothing else is said: for Go what Grafana's plugin takes. */
  readonly compression: string;
  /** What a time keeps: nanoseconds, or with clickhouse-driver microseconds. */
  readonly keepsNanoseconds: boolean;
  /** Whether a Map keeps keys that are there twice. */
  readonly keepsDoubledKeys: boolean;
  /** Whether it has a deadline that it tells the server, as clickhouse-go has. */
  readonly hasDeadline: boolean;
  readonly command: (server: ServerProcess, login: Login, compression: string) => string[];
}

const RUN_TIME_LIMIT_MS = 90_000;

/** clickhouse-go, clickhouse-connect and clickhouse-driver. Rejects with LaneSkipped where they cannot be had. */
export async function buildClients(context: LaneContext): Promise<Client[]> {
  context.note("building the client in Go, fetching those in Python");
  const go = await (await GoModules.open(context)).build("clickhousego");
  const python = join(await pythonEnvironment(context, "clickhouse"), "bin/python");
  const inGo = (protocol: "http" | "native", compression: string, others: string[]): Client => ({
    name: `clickhouse-go over ${protocol}`,
    compressions: [compression, ...others],
    compression,
    keepsNanoseconds: true,
    keepsDoubledKeys: true,
    hasDeadline: true,
    command: (server, { user, database }, method) => [
      go,
      `-address=127.0.0.1:${protocol === "http" ? server.ports.clickhouseHttp : server.ports.clickhouseNative}`,
      `-protocol=${protocol}`,
      `-compression=${method}`,
      `-user=${user}`,
      `-database=${database}`,
      `-password-file=${passwordFile(server, user)}`,
    ],
  });
  const inPython = (
    client: "connect" | "driver",
    portOf: (server: ServerProcess) => number,
    compressions: string[],
  ): Omit<Client, "name" | "keepsNanoseconds"> => ({
    compressions,
    compression: compressions[0]!,
    keepsDoubledKeys: false,
    hasDeadline: false,
    command: (server, { user, database }, method) => [
      python,
      resolve(import.meta.dirname, "read.py"),
      `--client=${client}`,
      `--port=${portOf(server)}`,
      `--compression=${method}`,
      `--user=${user}`,
      `--database=${database}`,
      `--password-file=${passwordFile(server, user)}`,
    ],
  });
  return [
    inGo("http", "gzip", ["none", "lz4", "zstd"]),
    inGo("native", "lz4", ["none", "zstd"]),
    {
      name: "clickhouse-connect",
      keepsNanoseconds: true,
      ...inPython("connect", ({ ports }) => ports.clickhouseHttp, ["lz4", "none", "gzip", "zstd"]),
    },
    {
      name: "clickhouse-driver",
      keepsNanoseconds: false,
      ...inPython("driver", ({ ports }) => ports.clickhouseNative, ["lz4", "none", "zstd"]),
    },
  ];
}

/** What a command of the client's program prints, a value a line. Rejects with its own words when it ends with an error. */
export async function runClient<T = Printed[]>(
  { children, directory }: LaneContext,
  server: ServerProcess,
  client: Client,
  [command, ...args]: readonly [string, ...string[]],
  { login = READER, compression = client.compression } = {},
): Promise<T[]> {
  const [program, ...flags] = client.command(server, login, compression);
  const output = join(directory, "answer.jsonl");
  const all = [...flags, `--output=${output}`, command, ...args];
  const { code, stderr } = await children.run(program!, all, { timeLimitMs: RUN_TIME_LIMIT_MS });
  if (code !== 0) throw new Error(`${client.name}: ${stderr.trim().slice(-1000)}`);
  return readFileSync(output, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as T);
}
