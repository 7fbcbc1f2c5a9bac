import { randomUUID } from "node:crypto";
import { getHeapStatistics } from "node:v8";
import type { Attributes, Counter, Histogram, Meter } from "@opentelemetry/api";
import {
  DataPointType,
  MeterProvider,
  MetricReader,
  type MetricData,
} from "@opentelemetry/sdk-metrics";
import type { AnsweredRequest } from "../core/http.ts";
import type { KindName } from "../core/kinds.ts";
import { GAUGES, type Readings, VERIFICATION_GAUGES, type VerificationReading } from "./gauges.ts";
import { listen, type Listener } from "./listener.ts";
import { formatFamilies, PROMETHEUS_CONTENT_TYPE, type Family } from "./prometheus.ts";

export type Signal = "logs" | "traces";

export interface MetricsOptions {
  /** Name counters as the Collector does by default, without `_total`. */
  readonly withoutTypeSuffix: boolean;
  /** Name metrics without their unit, as the Collector does by default. Names of ours have it in any case. */
  readonly withoutUnits?: boolean;
  /** Of meshproof, for target_info. */
  readonly version?: string;
}

const RECEIVER: Attributes = { receiver: "otlp", transport: "http" };
const EXPORTER: Attributes = { exporter: "clickhouse" };
/** The forwarder, by the name of its section in the configuration. */
const FORWARDER: Attributes = { exporter: "otlphttp" };
const ITEMS = { logs: "log_records", traces: "spans" } as const;
const ITEM_WORDS = { logs: "log records", traces: "spans" } as const;

/** Upper bounds in seconds. An fsync takes about 4 ms, a body of 64 MiB decodes in under 2 s. */
const SECONDS_BUCKETS = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
];

/** Upper bounds in bytes; those of the Collector's HTTP instrumentation end at 10 kB, which is no batch. */
const BYTES_BUCKETS = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 67_108_864];
/** How units are spelled at the end of a name (OpenTelemetry, "Prometheus and OpenMetrics Compatibility"). */
const UNIT_WORDS: Readonly<Record<string, string>> = { s: "seconds", By: "bytes" };
/** Other words are `_OTHER` (semantic conventions, http.request.method): a client could make up any number of them. */
const METHODS: ReadonlySet<string> = new Set(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]);

type PerSignal = Readonly<Record<Signal, Counter>>;

/**
 * What the process counts about itself, and its scrape endpoint. Every method is called once a batch, never once a record.
 */
export class Metrics {
  readonly #reader = new ScrapeReader();
  readonly #provider = new MeterProvider({ readers: [this.#reader] });
  readonly #meter: Meter = this.#provider.getMeter("meshproof");
  readonly #typeSuffix: string;
  readonly #withoutUnits: boolean;

  readonly #targetInfo: Readonly<Record<string, string>>;

  readonly #accepted = this.#perSignal(
    "otelcol_receiver_accepted_",
    (items) => `Number of ${items} successfully pushed into the pipeline.`,
    RECEIVER,
  );
  readonly #refused = this.#perSignal(
    "otelcol_receiver_refused_",
    (items) => `Number of ${items} that could not be pushed into the pipeline.`,
    RECEIVER,
  );
  readonly #failed = this.#perSignal(
    "otelcol_receiver_failed_",
    (items) =>
      `Number of ${items} that failed to be processed by the receiver due to internal errors.`,
    RECEIVER,
  );
  readonly #sent = this.#perSignal(
    "otelcol_exporter_sent_",
    (items) => `Number of ${items} successfully sent to destination.`,
    EXPORTER,
  );
  readonly #sendFailed = this.#perSignal(
    "otelcol_exporter_send_failed_",
    (items) => `Number of ${items} in failed attempts to send to destination; each is tried again.`,
    EXPORTER,
  );
  readonly #enqueueFailed = this.#perSignal(
    "otelcol_exporter_enqueue_failed_",
    (items) => `Number of ${items} failed to be added to the sending queue.`,
    EXPORTER,
  );
  readonly #requests = this.#counter(
    "otelcol_receiver_requests",
    "Number of requests, by outcome: success, refused (the sender's fault or overload) or failure.",
  );
  readonly #refusedRequests = this.#counter(
    "meshproof_receiver_refused_requests",
    "Requests that were refused whole, by error code.",
  );
  readonly #refusedReads = this.#counter(
    "meshproof_api_refused_requests",
    "Requests to the API that were answered with an error, by error code.",
  );
  readonly #rejected = this.#counter(
    "meshproof_receiver_rejected_records",
    "Records rejected alone, by partial success.",
  );
  readonly #deduplicated = this.#counter(
    "meshproof_deduplicated_batches",
    "Batches that had arrived before and were not stored again.",
  );
  readonly #records = this.#counter(
    "meshproof_records",
    "Records made durable, by kind and dialect.",
  );
  readonly #stored = this.#counter(
    "meshproof_stored_records",
    "Records stored in ClickHouse, by kind.",
  );
  readonly #quarantined = this.#counter(
    "meshproof_quarantined_rows",
    "Rows that ClickHouse refused and that were put into the quarantine file.",
  );
  readonly #dropped = this.#counter(
    "meshproof_dropped_rows",
    "Rows that were dropped from ClickHouse on purpose, by table and reason: expired or erased.",
  );
  readonly #links = this.#counter(
    "meshproof_links",
    "Links made between access records and spans, by rule.",
  );
  readonly #correlationOverflow = this.#counter(
    "meshproof_correlation_overflow_records",
    "Records that left the correlation window early, and links that were not made, for want of room.",
  );
  readonly #verifications = this.#counter(
    "meshproof_verification_runs",
    "Scheduled verifications, by mode and outcome: ok, broken, or failed where there was no verdict.",
  );
  readonly #decodeSeconds = this.#seconds(
    "meshproof_decode_duration_seconds",
    "Time from a request's body to its encoded rows.",
  );
  readonly #requestSeconds = this.#seconds(
    "http_server_request_duration",
    "Duration of HTTP server requests: of the OTLP port.",
  );
  readonly #requestBytes = this.#meter.createHistogram("http_server_request_body_size", {
    description: "Size of HTTP server request bodies, as they were sent.",
    unit: "By",
    advice: { explicitBucketBoundaries: BYTES_BUCKETS },
  });
  readonly #fsyncSeconds = this.#seconds(
    "meshproof_journal_fsync_duration_seconds",
    "Time of one write and fsync of the journal; many requests share one.",
  );
  readonly #insertSeconds = this.#seconds(
    "meshproof_insert_duration_seconds",
    "Time of one INSERT into ClickHouse.",
  );

  constructor(options: MetricsOptions) {
    const { withoutTypeSuffix, withoutUnits = true, version = "" } = options;
    this.#typeSuffix = withoutTypeSuffix ? "" : "_total";
    this.#withoutUnits = withoutUnits;
    this.#targetInfo = {
      service_name: "meshproof",
      service_version: version,
      service_instance_id: randomUUID(),
    };
    this.#observeProcess();
  }

  /** A request to the OTLP port was answered; names and labels of the semantic conventions, as the Collector has them. */
  requestAnswered({ method, route, status, seconds, bodyBytes }: AnsweredRequest): void {
    const labels = {
      http_request_method: METHODS.has(method) ? method : "_OTHER",
      http_response_status_code: status,
      http_route: route,
      network_protocol_name: "http",
    };
    this.#requestSeconds.record(seconds, labels);
    if (bodyBytes !== undefined) this.#requestBytes.record(bodyBytes, labels);
  }

  /** A request was answered with 200: how many records it brought, and how many of them were rejected alone. */
  requestAccepted(signal: Signal, accepted: number, rejected: number): void {
    this.#requests.add(1, { ...RECEIVER, outcome: "success" });
    this.#accepted[signal].add(accepted, RECEIVER);
    if (rejected === 0) return;
    this.#refused[signal].add(rejected, RECEIVER);
    this.#rejected.add(rejected, { signal });
  }

  /** A request was refused whole, by the sender's fault or for overload. `records` is 0 where it was not decoded. */
  requestRefused(signal: Signal, code: string, records: number): void {
    this.#requests.add(1, { ...RECEIVER, outcome: "refused" });
    this.#refusedRequests.add(1, { signal, code });
    this.#refused[signal].add(records, RECEIVER);
  }

  /** A request to the API was answered with an error. */
  readRefused(code: string): void {
    this.#refusedReads.add(1, { code });
  }

  /** A request failed by an error of ours. */
  requestFailed(signal: Signal, records: number): void {
    this.#requests.add(1, { ...RECEIVER, outcome: "failure" });
    this.#failed[signal].add(records, RECEIVER);
  }

  /** A batch came again and was answered as the first time. */
  batchDeduplicated(signal: Signal): void {
    this.#deduplicated.add(1, { signal });
  }

  /** A body was turned into rows. */
  decoded(signal: Signal, seconds: number): void {
    this.#decodeSeconds.record(seconds, { signal });
  }

  /** `count` records of one kind and dialect (empty for kinds that have none) are durable. */
  recorded(kind: KindName, dialect: string, count: number): void {
    this.#records.add(count, { kind, dialect });
  }

  linksMade(rule: string, count: number): void {
    this.#links.add(count, { rule });
  }

  /** `count` records left the correlation window before their time. */
  correlationOverflowed(count: number): void {
    this.#correlationOverflow.add(count);
  }

  journalSynced(seconds: number): void {
    this.#fsyncSeconds.record(seconds);
  }

  /** One INSERT succeeded. */
  rowsStored(kind: KindName, rows: number, seconds: number): void {
    this.#insertSeconds.record(seconds, { kind });
    this.#stored.add(rows, { kind });
    const signal = signalOf(kind);
    if (signal !== undefined) this.#sent[signal].add(rows, EXPORTER);
  }

  /** One INSERT failed and will be tried again. */
  rowsFailed(kind: KindName, rows: number): void {
    const signal = signalOf(kind);
    if (signal !== undefined) this.#sendFailed[signal].add(rows, EXPORTER);
  }

  /** The next backend has taken records. */
  recordsForwarded(signal: Signal, records: number): void {
    this.#sent[signal].add(records, FORWARDER);
  }

  /** Records are not passed on: the next backend did not take them, or the queue had no room for them. */
  recordsNotForwarded(signal: Signal, records: number, isQueueFull: boolean): void {
    (isQueueFull ? this.#enqueueFailed : this.#sendFailed)[signal].add(records, FORWARDER);
  }

  /** There is a forwarder: its counters begin at 0, and its queue is read at each scrape. */
  observeForwarding(read: () => { queueBytes: number; queueCapacityBytes: number }): void {
    for (const counters of [this.#sent, this.#sendFailed, this.#enqueueFailed])
      for (const counter of Object.values(counters)) counter.add(0, FORWARDER);
    const [size, capacity] = [GAUGES.storeQueueBytes, GAUGES.storeQueueCapacityBytes].map(
      ([name, description]) => this.#meter.createObservableGauge(name, { description }),
    );
    this.#meter.addBatchObservableCallback(
      (result) => {
        const { queueBytes, queueCapacityBytes } = read();
        result.observe(size!, queueBytes, FORWARDER);
        result.observe(capacity!, queueCapacityBytes, FORWARDER);
      },
      [size!, capacity!],
    );
  }

  rowsQuarantined(kind: KindName, rows: number): void {
    this.#quarantined.add(rows, { kind });
  }

  /** A scheduled verification has ended. */
  verified(mode: string, outcome: string): void {
    this.#verifications.add(1, { mode, outcome });
  }

  /** Registers where the last scheduled verification of each mode is read from; there are none before the first. */
  observeVerification(read: () => readonly VerificationReading[]): void {
    const gauges = Object.entries(VERIFICATION_GAUGES).map(([reading, [name, description]]) => ({
      reading: reading as keyof typeof VERIFICATION_GAUGES,
      gauge: this.#meter.createObservableGauge(name, { description }),
    }));
    this.#meter.addBatchObservableCallback(
      (result) => {
        for (const { mode, ...readings } of read())
          for (const { reading, gauge } of gauges) {
            const value = readings[reading];
            if (value !== null) result.observe(gauge, value, { mode });
          }
      },
      gauges.map(({ gauge }) => gauge),
    );
  }

  rowsDropped(reason: "expired" | "erased", table: string, rows: number): void {
    this.#dropped.add(rows, { reason, table });
  }

  /** Registers where the gauges are read from, at each scrape. Called once, when every part stands. */
  observe(read: () => Readings): void {
    const gauges = Object.entries(GAUGES).map(([reading, [name, description]]) => ({
      reading: reading as keyof Readings,
      gauge: this.#meter.createObservableGauge(name, { description }),
      attributes: name.startsWith("otelcol_exporter_") ? EXPORTER : {},
    }));
    this.#meter.addBatchObservableCallback(
      (result) => {
        const readings = read();
        for (const { reading, gauge, attributes } of gauges)
          result.observe(gauge, readings[reading], attributes);
      },
      gauges.map(({ gauge }) => gauge),
    );
  }

  /** The answer to a scrape, in the text format of Prometheus. */
  async scrape(): Promise<string> {
    const { resourceMetrics } = await this.#reader.collect();
    return formatFamilies([
      ...resourceMetrics.scopeMetrics.flatMap(({ metrics }) =>
        metrics.flatMap((metric) => this.#toFamily(metric)),
      ),
      {
        name: "target_info",
        help: "Target metadata",
        type: "gauge",
        points: [{ labels: this.#targetInfo, value: 1 }],
      },
    ]);
  }

  /** Serves `/metrics`. */
  async listen(endpoint: { readonly host: string; readonly port: number }): Promise<Listener> {
    const isServed = (asked: string): boolean => asked === "/metrics";
    return listen(endpoint, "/metrics", isServed, async () => ({
      status: 200,
      contentType: PROMETHEUS_CONTENT_TYPE,
      body: await this.scrape(),
    }));
  }

  /** Names and values of the Collector's service telemetry (opentelemetry-collector, service/documentation.md). */
  #observeProcess(): void {
    const meter = this.#meter;
    const uptime = meter.createObservableCounter("otelcol_process_uptime", {
      description: "Uptime of the process in seconds.",
      unit: "s",
    });
    const cpu = meter.createObservableCounter("otelcol_process_cpu_seconds", {
      description: "Total CPU user and system time in seconds.",
      unit: "s",
    });
    const rss = meter.createObservableGauge("otelcol_process_memory_rss", {
      description: "Total physical memory (resident set size) in bytes.",
      unit: "By",
    });
    const heap = meter.createObservableGauge("otelcol_process_runtime_heap_alloc_bytes", {
      description: "Bytes of the JavaScript heap in use.",
      unit: "By",
    });
    const system = meter.createObservableGauge("otelcol_process_runtime_total_sys_memory_bytes", {
      description:
        "Bytes of memory that the runtime has from the system: the heap, and buffers outside of it.",
      unit: "By",
    });
    meter.addBatchObservableCallback(
      (result) => {
        const cpuUsage = process.cpuUsage();
        const { total_heap_size, used_heap_size, external_memory } = getHeapStatistics();
        result.observe(uptime, process.uptime());
        result.observe(cpu, (cpuUsage.user + cpuUsage.system) / 1e6);
        result.observe(rss, process.memoryUsage.rss());
        result.observe(heap, used_heap_size);
        result.observe(system, total_heap_size + external_memory);
      },
      [uptime, cpu, rss, heap, system],
    );
  }

  #counter(name: string, description: string): Counter {
    return this.#meter.createCounter(name, { description });
  }

  /** A counter for each signal, at 0 from the start, so that a dashboard tells "none" from "not there". */
  #perSignal(
    prefix: string,
    describe: (items: string) => string,
    attributes: Attributes,
  ): PerSignal {
    const create = (signal: Signal): Counter => {
      const counter = this.#counter(`${prefix}${ITEMS[signal]}`, describe(ITEM_WORDS[signal]));
      counter.add(0, attributes);
      return counter;
    };
    return { logs: create("logs"), traces: create("traces") };
  }

  #seconds(name: string, description: string): Histogram {
    return this.#meter.createHistogram(name, {
      description,
      unit: "s",
      advice: { explicitBucketBoundaries: SECONDS_BUCKETS },
    });
  }

  #nameOf({ descriptor: { name, unit } }: MetricData): string {
    const word = UNIT_WORDS[unit];
    return this.#withoutUnits || word === undefined || name.endsWith(`_${word}`)
      ? name
      : `${name}_${word}`;
  }

  #toFamily(metric: MetricData): Family[] {
    const { description: help } = metric.descriptor;
    const name = this.#nameOf(metric);
    switch (metric.dataPointType) {
      case DataPointType.SUM:
        return [
          {
            name: `${name}${this.#typeSuffix}`,
            help,
            type: "counter",
            points: metric.dataPoints.map(toPoint),
          },
        ];
      case DataPointType.GAUGE:
        return [{ name, help, type: "gauge", points: metric.dataPoints.map(toPoint) }];
      case DataPointType.HISTOGRAM:
        return [
          {
            name,
            help,
            type: "histogram",
            points: metric.dataPoints.map(({ attributes, value }) => ({
              labels: attributes,
              value: {
                boundaries: value.buckets.boundaries,
                counts: value.buckets.counts,
                sum: value.sum ?? 0,
                count: value.count,
              },
            })),
          },
        ];
      default:
        return []; // exponential histograms: none is created here
    }
  }
}

function toPoint({ attributes, value }: { attributes: Attributes; value: number }) {
  return { labels: attributes, value };
}

/** Under which of the Collector's names a stored row counts: those that came in, not what we add. */
function signalOf(kind: KindName): Signal | undefined {
  if (kind === "span") return "traces";
  return kind === "access" || kind === "log" ? "logs" : undefined;
}

/** Collects when a scrape asks, and at no other time. */
class ScrapeReader extends MetricReader {
  protected override async onShutdown(): Promise<void> {}
  protected override async onForceFlush(): Promise<void> {}
}
