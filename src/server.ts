import { readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ClockKeeping, writtenMs } from "./clock-keeping.ts";
import { configHash } from "./config/hash.ts";
import type { Config } from "./config/options.ts";
import type { MeshproofError } from "./core/errors.ts";
import { KINDS, type Kind, type KindName } from "./core/kinds.ts";
import type { Logger } from "./core/logger.ts";
import type { PlacedBatch } from "./core/rows.ts";
import { nowNanos } from "./core/time.ts";
import { parseTokens } from "./core/tokens.ts";
import { Correlator } from "./correlate/correlator.ts";
import { FindingLedger } from "./correlate/ledger.ts";
import { recoverCorrelation } from "./correlation.ts";
import { RequestEncoder } from "./encoder.ts";
import { createNormaliser } from "./formats.ts";
import { createOriginals, type RunningForwarder, startForwarding } from "./forwarding.ts";
import { Housekeeping } from "./housekeeping.ts";
import { openBatchSecret, openLogId } from "./identity.ts";
import { DeduplicationWindow } from "./journal/deduplication.ts";
import { type FrameMeta, Journal } from "./journal/journal.ts";
import { sealKeyChanges } from "./key-changes.ts";
import { openListeners, type Ports } from "./listeners.ts";
import { RetentionRules } from "./normalise/retention-rules.ts";
import { DEFAULT_RETENTION_CLASS, Pipeline } from "./pipeline.ts";
import { TABLES } from "./records/columns.ts";
import { controlSection } from "./records/own-rows.ts";
import { replaceFile } from "./seal/durable.ts";
import { SealWatch } from "./seal-watch.ts";
import { startRetention } from "./retention/start.ts";
import { StoreWatch } from "./store-watch.ts";
import { compareStored, openSealer } from "./sealing.ts";
import { CheckpointRecorder } from "./store/checkpoints.ts";
import { guardClient } from "./store/guarded-client.ts";
import { Quarantine } from "./store/quarantine.ts";
import { createRowStore } from "./store/row-store.ts";
import { StoredMark } from "./store/stored-mark.ts";
import { StoreWriter } from "./store/writer.ts";
import { openStore, prepareTables, readNamed } from "./store-connection.ts";
import { Metrics } from "./telemetry/metrics.ts";
import { RunningTotals } from "./totals.ts";
import { ScheduledVerification } from "./verification/schedule.ts";
import { verifyApart } from "./verification/process.ts";
import { WitnessFindings } from "./witness-findings.ts";

/** A server that is ready to serve. */
export interface RunningServer {
  readonly ports: Ports;
  readonly verifierKey: string;
  /** Takes no more requests, makes everything durable, sealed and stored, and closes all parts in reverse order. */
  stop(): Promise<void>;
  /** Resolves with the reason when the server cannot go on. */
  readonly failed: Promise<unknown>;
}

/** When requests have ended the store gets this long to take what is left; the journal keeps the rest. */
const STORE_GRACE_MS = 20_000;
const FAILING_STORE_GRACE_MS = 1_000;
const FORWARD_GRACE_MS = 5_000;
/** When the journal fills, so much of what waits to be passed on goes at a time. */
const FORWARD_SHED_SHARE = 0.25;
/** A request's rows may take so many times the bound of its body. */
const MAX_ENCODED_FACTOR = 4;
/** A request is one frame of the journal, and must fit beside others. */
const MAX_FRAME_SHARE = 0.5;
/** What open findings rest on stays in the journal. From the first share of its bound on they are sealed early, from the second on it goes. */
const JOURNAL_HURRY = 0.5;
const JOURNAL_LET_GO = 0.75;
/** When the store counts as down; see StoreWatch. */
const STORE_ALARM_MS = 5_000;
const STORE_STALL_MS = 15_000;
/** A checkpoint that is this many intervals late means that sealing is stuck. */
const LATE_INTERVALS = 30;
const VERSION = (
  JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
    version: string;
  }
).version;
const KIND_NAMES = new Map<Kind, KindName>(
  Object.entries(TABLES).map(([name, { kind }]) => [kind, name as KindName]),
);
const KIND_OF_TABLE = new Map<string, KindName>(
  Object.entries(TABLES).map(([name, table]) => [table.name, name as KindName]),
);

/**
 * Builds every part from the configuration, from the store up to the ports, and starts to serve. `now` is the clock by which records expire.
 * Throws: MeshproofError when a part cannot be opened; those that were open are closed again.
 */
export async function startServer(
  config: Config,
  options: { readonly logger: Logger; readonly now?: () => bigint },
): Promise<RunningServer> {
  const { logger } = options;
  const closers: (() => Promise<unknown>)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) {
      await close().catch((error: unknown) =>
        logger.error({ err: error }, "a part did not close cleanly"),
      );
    }
  };
  try {
    return await build(config, options, closers, closeAll);
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function build(
  config: Config,
  { logger, now = nowNanos }: { readonly logger: Logger; readonly now?: () => bigint },
  closers: (() => Promise<unknown>)[],
  closeAll: () => Promise<void>,
): Promise<RunningServer> {
  const { directory, max_size: journalBytes } = config.storage;
  const { normalise, correlate, retention, seal } = config.processors;
  const http = config.receivers.otlp.protocols.http;
  const { clickhouse } = config.exporters;
  const { tokens: tokenFile, verification } = config.extensions;
  const startedAtMs = Date.now();
  const { promise: failed, resolve: fail } = Promise.withResolvers<unknown>();
  const onFatal = (error: MeshproofError): void => fail(error);

  const metrics = new Metrics({
    withoutTypeSuffix: config.service.telemetry.metrics.without_type_suffix,
    withoutUnits: config.service.telemetry.metrics.without_units,
    version: VERSION,
  });
  const tokens =
    tokenFile.file === ""
      ? null
      : parseTokens(readNamed(tokenFile.file).toString("utf8"), tokenFile.file);

  // The log: keys, tree, witnesses; then the store, which may know a newer log than this directory; then the journal.
  const sealWatch = new SealWatch({ lateMs: seal.checkpoint_interval * LATE_INTERVALS });
  const writtenBeforeMs = writtenMs(join(directory, "state", "checkpoint.json"));
  let release = (): void => {};
  let recorder: CheckpointRecorder | undefined;
  const witnessFindings = new WitnessFindings(seal.origin, logger);
  const sealer = await openSealer(config, logger, witnessFindings, {
    onFatal,
    onSigned: (size) => sealWatch.signed(size),
    onPublished: (checkpoint) => {
      sealWatch.published();
      recorder?.record(checkpoint);
      witnessFindings.flush();
    },
    onDurable: () => release(),
  });
  closers.push(() => sealer.close());
  // The directory is locked from here on. What a killed server left names its ports, and nobody may wait for ours and find them.
  const portsFile = join(directory, "ports.json");
  await rm(portsFile, { force: true });
  const store = await openStore(clickhouse, directory, logger);
  closers.push(() => store.close());
  const writerClient = store.client("writer", clickhouse.database);
  closers.push(() => writerClient.close());
  const stopping = new AbortController();
  const tables = prepareTables(store, clickhouse, logger, stopping.signal);
  if (store.engine === null)
    tables.catch((error: unknown) => stopping.signal.aborted || fail(error));
  const mayWrite = await compareStored({
    sealer,
    client: writerClient,
    origin: seal.origin,
    tables,
    isRemote: store.engine === null,
    logger,
    signal: stopping.signal,
    onConflict: fail,
  });
  const guardedClient = guardClient(writerClient, () =>
    mayWrite() ? null : "the store has not said yet which checkpoints it holds",
  );

  const deduplication =
    http.deduplication.window === 0
      ? null
      : new DeduplicationWindow({
          windowMs: http.deduplication.window,
          maxKeys: http.deduplication.max_keys,
        });
  let follow: (batch: PlacedBatch, meta: FrameMeta) => void = () => {};
  const journal = await Journal.open({
    directory: join(directory, "journal"),
    maxBytes: journalBytes,
    nextIndex: sealer.signedSize,
    keyWindowMs: http.deduplication.window,
    maxKeys: http.deduplication.max_keys,
    withOriginals: config.exporters.otlphttp !== undefined,
    logger,
    onFatal,
    onDurable: (batch, meta) => follow(batch, meta),
    onSynced: (seconds) => metrics.journalSynced(seconds),
    onRecoveredKey: ({ key, receivedAtNs, rejected, message }) =>
      deduplication?.restore(key, Number(receivedAtNs / 1_000_000n), { rejected, message }),
  });
  closers.push(() => journal.close());
  const logId = await openLogId(directory, journal, {
    origin: seal.origin,
    verifierKey: sealer.verifierKey,
    nowNs: nowNanos(),
  });
  await sealKeyChanges(sealer, journal, logId);
  await sealer.recover(journal.frames(sealer.replayFrom));
  sealWatch.signed(sealer.signedSize);
  sealWatch.grown(sealer.size);
  const totals = new RunningTotals(journal.durableIndex);

  // What goes into the store.
  recorder = new CheckpointRecorder({ client: guardedClient, logId, logger });
  closers.push(() => recorder.close());
  const ledger = new FindingLedger();
  const quarantine = await Quarantine.open(join(directory, "quarantine.jsonl"), logId);
  closers.push(() => quarantine.close());
  const storedMark = new StoredMark(directory);
  closers.push(() => storedMark.close());
  const storeWatch = new StoreWatch({
    alarmMs: STORE_ALARM_MS,
    stallMs: STORE_STALL_MS,
    underWayMs: () => writer.underWayMs,
  });
  const writer = new StoreWriter({
    store: createRowStore({
      client: guardedClient,
      logId,
      database: clickhouse.database,
      ...(clickhouse.cluster === "" ? {} : { cluster: clickhouse.cluster }),
      logger,
    }),
    logId,
    backlog: (fromIndex) => journal.frames(fromIndex),
    quarantine,
    onStored: (through) => {
      storedMark.reached(through);
      release();
    },
    onQuarantined: async ({ table, leafIndex, reason }) => {
      metrics.rowsQuarantined(KIND_OF_TABLE.get(table)!, 1);
      const now = nowNanos();
      ledger.note({
        kind: "quarantined",
        subject: table,
        atNs: now,
        reason,
        evidence: [leafIndex],
      });
      await pipeline.seal(
        [
          controlSection(logId, [
            {
              timestampNs: now,
              controlKind: "quarantined",
              detail: { table, leaf_index: String(leafIndex), reason },
            },
          ]),
        ],
        now,
      );
    },
    onAttempt: ({ table, rows, durationMs, failed: hasFailed }) => {
      const kind = KIND_OF_TABLE.get(table)!;
      if (hasFailed) metrics.rowsFailed(kind, rows);
      else metrics.rowsStored(kind, rows, durationMs / 1000);
      storeWatch.attempted(hasFailed);
    },
    logger,
    maxPendingBytes: clickhouse.max_pending_bytes,
    batchRows: clickhouse.batch.rows,
    batchBytes: clickhouse.batch.bytes,
    batchAgeMs: clickhouse.batch.timeout,
  });
  closers.push(() => writer.close());
  writer.start(journal.firstIndex, journal.durableIndex);

  const correlation = {
    logId,
    windowMs: correlate.window,
    maxRecords: correlate.max_records,
    logger,
  };
  const correlator = new Correlator({
    ...correlation,
    seal: (sections, nowNs) => pipeline.seal(sections, nowNs),
    onLinks: (rule, count) => metrics.linksMade(rule, count),
    onOverflow: (count) => metrics.correlationOverflowed(count),
  });

  // What goes on to the next backend, where there is one.
  const forwarding: RunningForwarder | null = await startForwarding({
    config,
    logId,
    version: VERSION,
    ledger,
    metrics,
    frames: (fromIndex) => journal.frames(fromIndex),
    firstIndex: journal.firstIndex,
    release: () => release(),
    logger,
  });
  closers.push(async () => forwarding?.close());
  const forwarder = forwarding?.forwarder;

  // From here on what is durable is sealed, linked, passed on and stored, in the order of the log; what is all of these leaves the journal.
  follow = (batch, meta) => {
    sealer.append(batch);
    sealWatch.grown(sealer.size);
    totals.durable(batch);
    correlator.follow(batch);
    forwarder?.follow({ ...batch, meta });
    writer.add(batch);
    for (const { kind, count } of batch.sections)
      if (kind !== KINDS.access) metrics.recorded(KIND_NAMES.get(kind)!, "", count);
  };
  release = () => {
    const below = Math.min(
      sealer.durableThrough, // never above what is signed; what is published may wait for witnesses, and needs no rows
      writer.storedThrough,
      correlator.releasableThrough,
    );
    const isFilling = journal.bytes >= journalBytes * JOURNAL_HURRY;
    const isRoomy = journal.bytes < journalBytes * JOURNAL_LET_GO;
    if (isFilling && forwarder !== undefined && forwarder.passedThrough < below)
      forwarder.shed(isRoomy ? FORWARD_SHED_SHARE : 1);
    if (isFilling && ledger.lowestIndex() < below) housekeeping.hurry();
    const held = Math.min(ledger.lowestIndex(), forwarder?.passedThrough ?? Infinity);
    journal.release(isRoomy ? Math.min(below, held) : below).catch(() => {}); // a failing journal calls onFatal
  };

  // Requests.
  const normaliser = createNormaliser(config);
  const originals = createOriginals(config);
  const encoder = new RequestEncoder({
    logId,
    normaliser,
    retentionRules:
      retention.rules.length === 0
        ? null
        : new RetentionRules(retention.rules, DEFAULT_RETENTION_CLASS),
    maxRecordBytes: normalise.max_record_size,
    maxEncodedBytes: Math.min(
      http.max_request_body_size * MAX_ENCODED_FACTOR,
      journalBytes * MAX_FRAME_SHARE,
    ),
    ...(originals === undefined ? {} : { originals }),
  });
  const pipeline: Pipeline = new Pipeline({
    encoder,
    journal,
    deduplication,
    batchSecret: await openBatchSecret(directory),
    ledger,
    observer: {
      decoded: (signal, seconds) => metrics.decoded(signal, seconds),
      accepted: (signal, records, rejected, dialects) => {
        metrics.requestAccepted(signal, records, rejected);
        totals.accepted(records, rejected);
        for (const [dialect, count] of dialects) metrics.recorded("access", dialect, count);
      },
      deduplicated: (signal) => {
        metrics.requestAccepted(signal, 0, 0);
        metrics.batchDeduplicated(signal);
        totals.deduplicated();
        housekeeping.countDuplicate();
      },
    },
  });
  const clock = new ClockKeeping({
    subject: seal.origin,
    maxJumpMs: config.service.clock.max_jump,
    ledger,
    hurry: () => housekeeping.hurry(),
    logger,
  });
  closers.push(async () => clock.stop());
  const housekeeping: Housekeeping = new Housekeeping({
    logId,
    ledger,
    seal: (sections, nowNs) => pipeline.seal(sections, nowNs),
    totals: () => ({
      records: String(journal.nextIndex),
      signed: String(sealer.signedSize),
      published: String(sealer.publishedSize),
      stored: String(writer.storedThrough),
      ...totals.detail(),
      ...clock.detail(),
    }),
    nextIndex: () => journal.nextIndex,
    logger,
  });
  const newestNs = await recoverCorrelation({
    ...correlation,
    correlator,
    ledger,
    journal,
    client: writerClient,
    signal: stopping.signal,
  });
  closers.push(() => correlator.stop());
  witnessFindings.start(logId, (sections, nowNs) => pipeline.seal(sections, nowNs));
  await clock.start(Math.max(Number(newestNs / 1_000_000n), writtenBeforeMs));
  await housekeeping.start({
    version: VERSION,
    config_sha256: configHash(config),
    node: process.version,
    origin: seal.origin,
  });
  closers.push(async () => {
    await correlator.stop();
    await witnessFindings.idle();
    await housekeeping.stop();
    await sealer.checkpoint();
    await sealer.settle(); // while the journal can still let go of what it held for this
    await sealer.askWitnesses();
    // A store that has been down for a while is not worth waiting for: the journal keeps what it lacks.
    await writer.drain(storeWatch.isFailing ? FAILING_STORE_GRACE_MS : STORE_GRACE_MS);
    if (writer.pendingRows > 0)
      logger.warn(
        { rows: writer.pendingRows },
        "the store did not take these rows in time; they wait in the journal for the next start",
      );
  });

  // Before the findings about what is lost are sealed.
  closers.push(async () => forwarder?.stop(FORWARD_GRACE_MS));

  const scheduled = new ScheduledVerification({
    dataDirectory: directory,
    logId,
    origin: seal.origin,
    intervalMs: { full: verification.interval, incremental: verification.incremental_interval },
    timeoutMs: verification.timeout,
    verify: (mode, signal) =>
      verifyApart(
        {
          config,
          key: sealer.verifierKey,
          state: join(directory, "state", "verified-by-server"),
          isFull: mode === "full",
        },
        signal,
      ),
    ledger,
    hurry: () => housekeeping.hurry(),
    seal: (sections, nowNs) => pipeline.seal(sections, nowNs),
    onRun: ({ mode, outcome }) => metrics.verified(mode, outcome),
    logger,
  });
  metrics.observeVerification(() => scheduled.readings());

  const retentionJob = startRetention({
    config,
    store,
    tables,
    logId,
    journal,
    sealer,
    writer,
    release: () => release(),
    ledger,
    metrics,
    logger,
    now,
  });
  closers.push(() => retentionJob.stop());

  const ports = await openListeners(
    {
      config,
      tokens,
      logger,
      startedAtMs,
      logId,
      store,
      metrics,
      totals,
      clock,
      sealer,
      sealWatch,
      journal,
      deduplication,
      pipeline,
      ledger,
      correlator,
      writer,
      storeWatch,
      scheduled,
      retention: retentionJob,
      redactText: (text) => normaliser.redactor.redactText(text),
      forwarder: forwarder ?? null,
    },
    closers,
  );
  await replaceFile(portsFile, `${JSON.stringify({ ...ports, pid: process.pid })}\n`, 0o644);
  closers.push(() => rm(portsFile, { force: true }));
  scheduled.start();
  closers.push(() => scheduled.stop());
  return {
    ports,
    verifierKey: sealer.verifierKey,
    failed,
    stop: async () => {
      stopping.abort();
      await closeAll();
    },
  };
}
