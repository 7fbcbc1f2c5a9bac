import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import type { LaneContext } from "../lane.ts";
import { pythonEnvironment } from "../python.ts";
import { type Manifest, readManifest } from "./manifest.ts";

export type Encoding = "proto" | "json";

/** A program of an SDK, as a user writes one: its exporter is configured by OTEL_EXPORTER_OTLP_* alone. */
export interface SdkProgram {
  /** As its records are named: `js` or `python`. */
  readonly name: string;
  readonly encodings: readonly Encoding[];
  /** What OTEL_EXPORTER_OTLP_COMPRESSION may say. */
  readonly compressions: readonly string[];
  readonly userAgents: Readonly<Record<Encoding, string>>;
  /** How its exporter tells of a partial success; null when it does not. */
  readonly partialSuccess: RegExp | null;
  /** Encodings whose exporter refuses by itself what meshproof would refuse alone in a request. */
  readonly refusesDeep: readonly Encoding[];
  /** OTEL_EXPORTER_OTLP_TIMEOUT of thirty seconds, in the unit that this SDK takes it in. */
  readonly thirtySeconds: Readonly<Record<string, string>>;
  readonly command: readonly string[];
}

export interface RunOptions {
  readonly encoding: Encoding;
  /** service.name of its records: no two runs have the same. */
  readonly service: string;
  /** Logs, and as many spans. */
  readonly records: number;
  /** One log more, which meshproof refuses. */
  readonly deep?: boolean;
  readonly endpoint: string;
  readonly environment?: Readonly<Record<string, string>>;
}

const RUN_TIME_LIMIT_MS = 90_000;

/** With one of these set, Python's `requests` passes over OTEL_EXPORTER_OTLP_CERTIFICATE. */
const FOREIGN = { REQUESTS_CA_BUNDLE: "", CURL_CA_BUNDLE: "" };

const PROGRAMS = import.meta.dirname;

/** The programs that can run here. Rejects with LaneSkipped when none of the Python packages can be had. */
export async function sdkPrograms(context: LaneContext): Promise<SdkProgram[]> {
  const python = await pythonEnvironment(context, "sdk");
  return [
    {
      name: "js",
      encodings: ["proto", "json"],
      compressions: ["none", "gzip"],
      userAgents: {
        proto: "OTel-OTLP-Exporter-JavaScript",
        json: "OTel-OTLP-Exporter-JavaScript",
      },
      partialSuccess:
        /^warn Received Partial Success response: \{"rejectedLogRecords":"?1"?,.*nested/,
      refusesDeep: [],
      thirtySeconds: { OTEL_EXPORTER_OTLP_TIMEOUT: "30000" },
      command: [process.execPath, resolve(PROGRAMS, "program.ts")],
    },
    {
      name: "python",
      encodings: ["proto", "json"],
      compressions: ["none", "gzip", "deflate"],
      userAgents: {
        proto: "OTel-OTLP-Exporter-Python",
        json: "OTel-OTLP-JSON-Exporter-Python",
      },
      partialSuccess: null,
      refusesDeep: ["proto"],
      // Milliseconds by the specification.
      thirtySeconds: { OTEL_EXPORTER_OTLP_TIMEOUT: "30" },
      command: [join(python, "bin/python"), resolve(PROGRAMS, "program.py")],
    },
  ];
}

/** Runs a program to its end. Returns what it says that it sent. */
export async function runProgram(
  { children, directory }: LaneContext,
  { command }: SdkProgram,
  { encoding, service, records, deep = false, endpoint, environment }: RunOptions,
): Promise<Manifest> {
  const manifest = join(directory, `${service}.json`);
  const [program, ...args] = command;
  const { code, stderr } = await children.run(
    program!,
    [
      ...args,
      `--encoding=${encoding}`,
      `--service=${service}`,
      `--records=${records}`,
      `--manifest=${manifest}`,
      ...(deep ? ["--deep"] : []),
    ],
    {
      timeLimitMs: RUN_TIME_LIMIT_MS,
      environment: { ...FOREIGN, OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...environment },
    },
  );
  if (code !== 0 || !existsSync(manifest))
    throw new Error(`${service} ended with ${code}: ${stderr}`);
  return readManifest(manifest);
}
