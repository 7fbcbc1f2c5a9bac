import { join, resolve } from "node:path";
import { setTimeout } from "node:timers/promises";
import { freePorts } from "../../../src/store/engine-host.ts";
import { Collector } from "../collector.ts";
import type { LaneContext } from "../lane.ts";

/** The configuration that users get, and that runs here unchanged. */
export const SHIPPED = resolve(import.meta.dirname, "../../../config/collector.yaml");
/** As its first lines say that it is run. */
const FLAGS = ["--feature-gates=stanza.synchronousLogEmitter"];
const LOOPBACK = "127.0.0.1";
const DRAIN_TIME_LIMIT_MS = 60_000;
const POLL_MS = 50;

export interface ShippedOptions {
  /** Where it sends to. */
  readonly endpoint: string;
  /** For its queue; kept over restarts. */
  readonly directory: string;
  /** Files whose lines it reads; none without it. */
  readonly logFiles?: string;
  readonly queueBytes?: number;
  /** Configuration files behind the shipped one, for what cannot be said by environment variables. */
  readonly overrides?: readonly string[];
}

/** A real Collector with `config/collector.yaml`, at addresses that stay the same when it is ended and started again. */
export class ShippedCollector {
  readonly #context: LaneContext;
  readonly #program: string;
  readonly #options: ShippedOptions;
  readonly #ports: readonly number[];
  /** What those before the running one have logged. */
  #earlier = "";
  #running: Collector | null = null;

  private constructor(
    context: LaneContext,
    program: string,
    options: ShippedOptions,
    ports: readonly number[],
  ) {
    this.#context = context;
    this.#program = program;
    this.#options = options;
    this.#ports = ports;
  }

  static async start(
    context: LaneContext,
    program: string,
    options: ShippedOptions,
  ): Promise<ShippedCollector> {
    const ports = await freePorts(LOOPBACK, [0, 0, 0]);
    const collector = new ShippedCollector(context, program, options, ports);
    await collector.start();
    return collector;
  }

  /** Starts it again. */
  async start(): Promise<void> {
    const { endpoint, directory, logFiles, queueBytes, overrides = [] } = this.#options;
    const [grpc, http, metrics] = this.#ports;
    const environment = {
      MESHPROOF_ENDPOINT: endpoint,
      COLLECTOR_OTLP_GRPC: `${LOOPBACK}:${grpc}`,
      COLLECTOR_OTLP_HTTP: `${LOOPBACK}:${http}`,
      COLLECTOR_METRICS_PORT: String(metrics),
      COLLECTOR_STORAGE: directory,
      COLLECTOR_LOG_FILES: logFiles ?? join(directory, "no files"),
      ...(queueBytes === undefined ? {} : { COLLECTOR_QUEUE_BYTES: String(queueBytes) }),
    };
    const configs = [SHIPPED, ...overrides];
    this.#running = await Collector.start(
      this.#context,
      this.#program,
      configs,
      environment,
      FLAGS,
    );
  }

  get grpc(): string {
    return `${LOOPBACK}:${this.#ports[0]}`;
  }

  get http(): string {
    return `${LOOPBACK}:${this.#ports[1]}`;
  }

  otlp(signal: "logs" | "traces"): string {
    return `http://${this.http}/v1/${signal}`;
  }

  /** Its log, and the logs of those before it. */
  get output(): string {
    return this.#earlier + (this.#running?.output ?? "");
  }

  /** Ends it as an operator does. */
  stop(): Promise<void> {
    return this.#end((running) => running.stop());
  }

  /** Ends it as a power cut does. */
  kill(): Promise<void> {
    return this.#end((running) => running.kill());
  }

  /** Resolves when nothing waits in its queues. */
  async drained(): Promise<void> {
    const deadline = Date.now() + DRAIN_TIME_LIMIT_MS;
    for (let sizes: number[] = []; ; await setTimeout(POLL_MS)) {
      this.#context.signal.throwIfAborted();
      const metrics = await fetch(`http://${LOOPBACK}:${this.#ports[2]}/metrics`);
      const lines = (await metrics.text()).matchAll(/^otelcol_exporter_queue_size\{.*\} (\S+)$/gm);
      sizes = [...lines].map(([, size]) => Number(size));
      if (sizes.length > 0 && sizes.every((size) => size === 0)) return;
      if (Date.now() > deadline)
        throw new Error(`the Collector's queues still hold ${sizes.join(", ")}`);
    }
  }

  async #end(end: (running: Collector) => Promise<unknown>): Promise<void> {
    const running = this.#running;
    if (running === null) return;
    await end(running);
    this.#earlier += running.output;
    this.#running = null;
  }
}
