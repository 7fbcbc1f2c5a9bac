import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts } from "../../../src/store/engine-host.ts";
import type { RunningChild } from "../child.ts";
import type { LaneContext } from "../lane.ts";
import type { ApplicationPorts } from "./application.ts";

const CONFIG = resolve(import.meta.dirname, "../../../config");
const START_TIME_LIMIT_MS = 30_000;
/** What shipped files name, and lanes have elsewhere. */
const FILES = "/etc/envoy";
const OTLP_PORT = "4318";
/** What Envoy logs when its listeners take connections. */
const READY = "starting workers";

/** Where things are on this machine. */
export interface Places {
  /** `tls/…` and `jwks.json`. */
  readonly files: string;
  /** Who takes the records: meshproof, or a Collector. */
  readonly otlp: number;
  readonly application: ApplicationPorts;
}

/** One text in place of another in a shipped configuration; it must stand there. */
export type Edit = readonly [from: string, to: string];

/** The two proxies of config/envoy-client.yaml and config/envoy-server.yaml, in a row. */
export class Proxies {
  /** Ports of the client's proxy. */
  readonly outbound: number;
  readonly outboundTcp: number;
  /** Ports of the server's proxy. */
  readonly inbound: number;
  readonly inboundTcp: number;
  readonly #children: RunningChild[] = [];

  private constructor([outbound, outboundTcp, inbound, inboundTcp]: readonly number[]) {
    this.outbound = outbound!;
    this.outboundTcp = outboundTcp!;
    this.inbound = inbound!;
    this.inboundTcp = inboundTcp!;
  }

  /** Starts both, and resolves when they take connections. `name` is that of their directory; `edits` are to the client's side. */
  static async start(
    context: LaneContext,
    envoy: string,
    name: string,
    places: Places,
    edits: readonly Edit[] = [],
  ): Promise<Proxies> {
    const ports = await freePorts("127.0.0.1", [0, 0, 0, 0, 0]);
    const proxies = new Proxies(ports);
    const { application, otlp, files } = places;
    const directory = join(context.directory, name);
    mkdirSync(directory);
    const common: Edit[] = [
      [`127.0.0.1:${OTLP_PORT}`, `127.0.0.1:${otlp}`],
      [`port_value: ${OTLP_PORT}`, `port_value: ${otlp}`],
      [FILES, files],
      // Three periods pass while a stream lasts.
      ["access_log_flush_interval: 60s", "access_log_flush_interval: 1s"],
      port(15006, proxies.inbound),
      port(15007, proxies.inboundTcp),
    ];
    const client = [
      ...common,
      port(15001, proxies.outbound),
      port(15002, proxies.outboundTcp),
      ...edits,
    ];
    const server = [
      ...common,
      // The bucket is not filled again while calls are made.
      ["fill_interval: 60s", "fill_interval: 3600s"] as const,
      // A slow machine is no policy engine that breaks down, and no application that takes too long.
      ["cluster: policy-engine, timeout: 0.5s", "cluster: policy-engine, timeout: 15s"] as const,
      ["cluster: application, timeout: 1s", "cluster: application, timeout: 3s"] as const,
      port(8080, application.http),
      port(8081, ports[4]!), // nobody listens there
      port(8082, application.grpc),
      port(8083, application.ledger),
      port(9191, application.policyEngine),
    ];
    for (const [side, sideEdits] of Object.entries({ server, client })) {
      const file = join(directory, `${side}.yaml`);
      writeFileSync(file, edited(join(CONFIG, `envoy-${side}.yaml`), sideEdits));
      const log = join(directory, `${side}.log`);
      const options = ["--use-dynamic-base-id", "--concurrency", "1", "--log-path", log];
      const child = await context.children.start(envoy, ["--config-path", file, ...options]);
      proxies.#children.push(child);
      await isReady(context, child, log);
    }
    return proxies;
  }

  /** Ends both as an operator does: what they still hold is flushed first, if it can be. */
  async stop(): Promise<void> {
    await Promise.all(this.#children.map((child) => child.end("SIGTERM")));
  }
}

function port(from: number, to: number): Edit {
  return [`port_value: ${from}`, `port_value: ${to}`];
}

/** A shipped configuration with every edit made; one that finds nothing is a mistake of the lane's or of the file's. */
function edited(file: string, edits: readonly Edit[]): string {
  return edits.reduce(
    (text, [from, to]) => {
      if (!text.includes(from)) throw new Error(`${file}: expected ${from}`);
      return text.replaceAll(from, to);
    },
    readFileSync(file, "utf8"),
  );
}

/** Nothing may connect to see whether it listens: that would be a record. */
async function isReady({ signal }: LaneContext, child: RunningChild, log: string): Promise<void> {
  const deadline = Date.now() + START_TIME_LIMIT_MS;
  let hasEnded = false;
  void child.ended.then(() => (hasEnded = true));
  const text = (): string => (existsSync(log) ? readFileSync(log, "utf8") : "");
  while (!text().includes(READY)) {
    signal.throwIfAborted();
    if (hasEnded || Date.now() > deadline)
      throw new Error(`Envoy did not start:\n${child.output}\n${text().slice(-3000)}`);
    await setTimeout(50);
  }
}
