import { join } from "node:path";
import type { ClockKeeping } from "./clock-keeping.ts";
import type { Config, ServerTls } from "./config/options.ts";
import type { TokenFinder } from "./core/callers.ts";
import type { TlsOptions } from "./core/http.ts";
import type { Logger } from "./core/logger.ts";
import { nowNanos } from "./core/time.ts";
import type { Correlator } from "./correlate/correlator.ts";
import type { FindingLedger } from "./correlate/ledger.ts";
import type { DeduplicationWindow } from "./journal/deduplication.ts";
import type { Forwarder } from "./forward/forwarder.ts";
import type { Journal } from "./journal/journal.ts";
import type { Pipeline } from "./pipeline.ts";
import { createApiServer } from "./query/api.ts";
import { createReceiver } from "./receive/otlp.ts";
import { controlSection } from "./records/own-rows.ts";
import type { RunningRetention } from "./retention/start.ts";
import type { SealWatch } from "./seal-watch.ts";
import type { Sealer } from "./seal/sealer.ts";
import { readNamed, type StoreConnection } from "./store-connection.ts";
import type { StoreWatch } from "./store-watch.ts";
import type { StoreWriter } from "./store/writer.ts";
import { type HealthCheck, listenHealth } from "./telemetry/health.ts";
import type { Metrics } from "./telemetry/metrics.ts";
import type { RunningTotals } from "./totals.ts";
import type { ScheduledVerification } from "./verification/schedule.ts";

/** Ports in use, as they stand in `<data>/ports.json`. */
export interface Ports {
  readonly otlp: number;
  readonly api: number;
  readonly health: number;
  readonly metrics: number;
  readonly clickhouseHttp: number | null;
  readonly clickhouseNative: number | null;
}

/** What a server is made of, as far as its ports have to do with it. */
export interface ServedParts {
  readonly config: Config;
  readonly tokens: TokenFinder | null;
  readonly logger: Logger;
  readonly startedAtMs: number;
  readonly logId: string;
  readonly store: StoreConnection;
  readonly metrics: Metrics;
  readonly totals: RunningTotals;
  readonly clock: ClockKeeping;
  readonly sealer: Sealer;
  readonly sealWatch: SealWatch;
  readonly journal: Journal;
  readonly deduplication: DeduplicationWindow | null;
  readonly pipeline: Pipeline;
  readonly ledger: FindingLedger;
  readonly correlator: Correlator;
  readonly writer: StoreWriter;
  readonly storeWatch: StoreWatch;
  readonly scheduled: ScheduledVerification;
  readonly retention: RunningRetention;
  /** Takes the secrets out of a text. */
  readonly redactText: (text: string) => string;
  readonly forwarder: Forwarder | null;
}

/** Requests under way get this long to end. */
const RECEIVER_GRACE_MS = 10_000;
/** Below this share of the journal's bound records can still be taken, but not for long: health says so before senders are refused. */
const JOURNAL_ALARM = 0.95;

/** A next backend that has taken nothing for so long is told of. */
const FORWARD_ALARM_MS = 5_000;

/**
 * Opens health, metrics, API and, last, the port that records come in by. What closes each is pushed to `closers`.
 * Throws: LISTEN_FAILED.
 */
export async function openListeners(
  parts: ServedParts,
  closers: (() => Promise<unknown>)[],
): Promise<Ports> {
  const { config, tokens, logger, startedAtMs, logId, store, metrics, totals, clock } = parts;
  const { sealer, sealWatch, journal, deduplication, pipeline, ledger, correlator } = parts;
  const { writer, storeWatch, scheduled, retention, redactText, forwarder } = parts;
  const { directory, max_size: maxJournalBytes } = config.storage;
  const { correlate, seal } = config.processors;
  const http = config.receivers.otlp.protocols.http;
  const { clickhouse } = config.exporters;
  const { api, health_check: healthCheck } = config.extensions;

  const checks = () => [
    scheduled.check(),
    {
      name: "journal",
      ok: !journal.storageFull && journal.bytes < maxJournalBytes * JOURNAL_ALARM,
      detail: `${journal.bytes} of ${maxJournalBytes} bytes${journal.storageFull ? "; the disk has no room" : ""}`,
    },
    {
      name: "store",
      ok: !storeWatch.isFailing,
      detail: `${storeWatch.detail}; ${writer.pendingRows} rows wait`,
    },
    ...(forwarder === null ? [] : [forwardCheck(forwarder)]),
    {
      name: "seal",
      ok: !sealWatch.isLate,
      detail: `${sealer.size - sealer.signedSize} records under no signed checkpoint, ${sealer.size - sealer.publishedSize} under no published one`,
    },
  ];
  const { path } = healthCheck;
  const health = await listenHealth(healthCheck.endpoint, { checks, startedAtMs, path });
  closers.push(() => health.close());
  const metricsListener = await metrics.listen(config.service.telemetry.metrics.address);
  closers.push(() => metricsListener.close());
  const readerClient = store.client("reader", clickhouse.database);
  closers.push(() => readerClient.close());
  const apiServer = createApiServer({
    ...api.endpoint,
    tls: readTls(api.tls),
    tokens,
    allowedHosts: hostsOrDefault(api.allowed_hosts),
    logDirectory: join(directory, "log"),
    publicLog: api.public_log,
    records: {
      store: readerClient,
      log: {
        id: logId,
        origin: seal.origin,
        sizes: () => ({
          recorded: journal.durableIndex,
          stored: writer.storedThrough,
          published: sealer.publishedSize,
        }),
        prove: (index) => sealer.prove(index),
        proveMany: (indexes) => sealer.proveMany(indexes),
        read: (path) => sealer.read(path),
      },
      recordRead: async ({ parameters = "", ...others }) => {
        const now = nowNanos();
        const detail = { ...others, parameters: redactText(parameters) };
        await pipeline.seal(
          [controlSection(logId, [{ timestampNs: now, controlKind: "records_read", detail }])],
          now,
        );
      },
    },
    erasures: retention,
    onRefused: ({ code }) => metrics.readRefused(code),
    logStatus: () => ({
      origin: seal.origin,
      logId,
      verifierKey: sealer.verifierKey,
      signedSize: String(sealer.signedSize),
      publishedSize: String(sealer.publishedSize),
      lag: String(sealer.size - sealer.publishedSize),
      keys: sealer.keys.map(({ verifierKey, from, through, record }) => ({
        verifierKey,
        from: String(from),
        through: through === null ? null : String(through),
        record: record === null ? null : String(record),
      })),
      witnesses: sealer.witnesses.map(({ size, cosignedAt, ...witness }) => ({
        ...witness,
        size: String(size),
        cosignedAt: cosignedAt === null ? null : String(cosignedAt),
      })),
      verification: scheduled.status(),
    }),
    logger,
  });
  const apiAddress = await apiServer.listen();
  closers.push(() => apiServer.close());
  const receiver = createReceiver({
    ...http.endpoint,
    tls: readTls(http.tls),
    tokens,
    allowedHosts: hostsOrDefault(http.allowed_hosts),
    maxBodyBytes: http.max_request_body_size,
    maxInFlightBytes: http.max_in_flight_bytes,
    admissionTimeoutMs: http.admission_timeout,
    requestTimeoutMs: http.request_timeout,
    consumer: pipeline,
    metrics: {
      accepted: () => {},
      answered: (request) => metrics.requestAnswered(request),
      refused: ({ signal, code, sender }) => {
        metrics.requestRefused(signal ?? "logs", code, 0);
        totals.refused();
        if (signal !== null)
          ledger.note({
            kind: "refused_batch",
            subject: sender,
            atNs: nowNanos(),
            reason: code,
          });
      },
      aborted: ({ signal, sender }) => {
        metrics.requestRefused(signal, "ABORTED", 0);
        totals.refused();
        ledger.note({
          kind: "refused_batch",
          subject: sender,
          atNs: nowNanos(),
          reason: "the sender went away before the request was complete",
        });
      },
    },
    logger,
  });
  metrics.observe(() => ({
    inFlightBytes: receiver.admission.bytesInFlight,
    inFlightCapacityBytes: receiver.admission.maxBytes,
    deduplicationKeys: deduplication?.size ?? 0,
    correlationRecords: correlator.size,
    correlationCapacity: correlate.max_records,
    journalBytes: journal.bytes,
    journalCapacityBytes: maxJournalBytes,
    storeQueueBytes: writer.pendingBytes,
    storeQueueCapacityBytes: clickhouse.max_pending_bytes,
    storedThrough: writer.storedThrough,
    treeSize: sealer.size,
    signedSize: sealer.signedSize,
    publishedSize: sealer.publishedSize,
    checkpointAgeSeconds: sealWatch.publishedAgeSeconds,
    unsignedSeconds: sealWatch.unsignedSeconds,
    clockOffsetSeconds: clock.offsetSeconds,
    clockJumps: clock.jumps,
  }));
  const otlpAddress = await receiver.listen();
  closers.push(() => receiver.close(RECEIVER_GRACE_MS));

  return {
    otlp: otlpAddress.port,
    api: apiAddress.port,
    health: health.port,
    metrics: metricsListener.port,
    clickhouseHttp: store.engine?.httpPort ?? null,
    clickhouseNative: store.engine?.nativePort ?? null,
  };
}

/** A next backend that takes nothing is a warning: records are taken, sealed and stored all the same. */
function forwardCheck({ failure, pendingBytes, capacityBytes }: Forwarder): HealthCheck {
  const waits = `${pendingBytes} of ${capacityBytes} bytes wait to be passed on`;
  if (failure === null) return { name: "forward", ok: true, isWarning: true, detail: waits };
  const { reason, forMs } = failure;
  const detail = `${reason}, for ${Math.round(forMs / 1000)} s; ${waits}`;
  return { name: "forward", ok: forMs < FORWARD_ALARM_MS, isWarning: true, detail };
}

/** No hosts in the configuration means the guard's own default: ours on loopback, any beyond it. */
function hostsOrDefault(hosts: readonly string[]): readonly string[] | undefined {
  return hosts.length === 0 ? undefined : hosts;
}

function readTls(tls: ServerTls | undefined): TlsOptions | undefined {
  if (tls === undefined) return undefined;
  return {
    certificate: readNamed(tls.cert_file),
    key: readNamed(tls.key_file),
    ...(tls.client_ca_file === "" ? {} : { clientAuthorities: readNamed(tls.client_ca_file) }),
    minVersion: `TLSv${tls.min_version}`,
  };
}
