import { join } from "node:path";
import type { Config, ForwardConfig } from "./config/options.ts";
import { IndexMark, readIndexMark } from "./core/index-mark.ts";
import type { Logger } from "./core/logger.ts";
import { nowNanos } from "./core/time.ts";
import type { FindingLedger } from "./correlate/ledger.ts";
import { FORWARD_KEYS, OwnAttributes } from "./forward/attributes.ts";
import { Exporter } from "./forward/exporter.ts";
import { Forwarder, type ForwardFrame } from "./forward/forwarder.ts";
import { ValueRedactor } from "./normalise/redaction/value-redactor.ts";
import { Originals } from "./originals.ts";
import { redactOptions } from "./redaction.ts";
import { readNamed } from "./store-connection.ts";
import type { Metrics } from "./telemetry/metrics.ts";

/** What the encoder needs to keep records for the forwarder, where the configuration has one. Throws: CONFIG_INVALID. */
export function createOriginals(config: Config): Originals | undefined {
  if (config.exporters.otlphttp === undefined) return undefined;
  return new Originals(new ValueRedactor(redactOptions(config)), Object.values(FORWARD_KEYS));
}

export interface ForwardingParts {
  readonly config: Config;
  readonly logId: string;
  readonly version: string;
  readonly ledger: FindingLedger;
  readonly metrics: Metrics;
  /** The journal's frames from an index on, and the first index that it has. */
  readonly frames: (fromIndex: number) => AsyncIterable<ForwardFrame>;
  readonly firstIndex: number;
  /** Called when the journal may let go of more. */
  readonly release: () => void;
  readonly logger: Logger;
}

/** A forwarder that runs, and the file that says how far it has come. */
export interface RunningForwarder {
  readonly forwarder: Forwarder;
  /** Once the findings about what was lost are sealed. */
  close(): Promise<void>;
}

/**
 * Starts to pass on what came in, from where the run before stopped, or null where the configuration names no next backend.
 * Throws: CONFIG_INVALID when a file that it names cannot be read.
 */
export async function startForwarding(parts: ForwardingParts): Promise<RunningForwarder | null> {
  const { config, logId, ledger, metrics, frames, firstIndex, release, logger } = parts;
  const options = config.exporters.otlphttp;
  if (options === undefined) return null;
  const path = join(config.storage.directory, "state", "forwarded");
  const mark = new IndexMark(path);
  const exporter = new Exporter(exporterOptions(options, parts.version));
  const { retry_on_failure: retry } = options;
  const forwarder = new Forwarder({
    exporter,
    attributes: new OwnAttributes(logId, recordsUrl(options)),
    maxQueueBytes: options.sending_queue.queue_size,
    linkWaitMs: options.link_wait,
    retry: retry.enabled
      ? {
          initialMs: retry.initial_interval,
          maxMs: retry.max_interval,
          multiplier: retry.multiplier,
          randomization: retry.randomization_factor,
          maxElapsedMs: retry.max_elapsed_time,
        }
      : null,
    frames,
    onSent: (signal, records) => metrics.recordsForwarded(signal, records),
    onLost: (signal, { count, reason, leaves }, isFull) => {
      metrics.recordsNotForwarded(signal, count, isFull);
      ledger.note({
        kind: "not_forwarded",
        subject: exporter.destination,
        atNs: nowNanos(),
        count,
        reason,
        evidence: leaves,
      });
    },
    onPassed: (index) => {
      mark.reached(index);
      release();
    },
    logger,
  });
  metrics.observeForwarding(() => ({
    queueBytes: forwarder.pendingBytes,
    queueCapacityBytes: forwarder.capacityBytes,
  }));
  await forwarder.start(Math.max(firstIndex, readIndexMark(path)));
  return {
    forwarder,
    close: async () => {
      forwarder.settle();
      await mark.close();
    },
  };
}

function exporterOptions(options: ForwardConfig, version: string) {
  const { endpoint, logs_endpoint, traces_endpoint, tls } = options;
  const read = (file: string): Buffer => readNamed(file);
  return {
    urls: {
      logs: logs_endpoint === "" ? `${endpoint}/v1/logs` : logs_endpoint,
      traces: traces_endpoint === "" ? `${endpoint}/v1/traces` : traces_endpoint,
    },
    headers: options.headers,
    compression: options.compression,
    timeoutMs: options.timeout,
    tls: {
      ...(tls.ca_file === "" ? {} : { ca: read(tls.ca_file) }),
      ...(tls.cert_file === "" ? {} : { cert: read(tls.cert_file), key: read(tls.key_file) }),
      ...(tls.server_name_override === "" ? {} : { serverName: tls.server_name_override }),
      insecureSkipVerify: tls.insecure_skip_verify,
    },
    userAgent: `meshproof/${version}`,
  };
}

function recordsUrl({ records_url: url }: ForwardConfig): string {
  return url === "" ? "" : `${url}/api/v1/records/`;
}
