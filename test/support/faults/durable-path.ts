import { createHash } from "node:crypto";
import { join } from "node:path";
import type { MeshproofError } from "../../../src/core/errors.ts";
import { silentLogger } from "../../../src/core/logger.ts";
import type { PlacedBatch, RowSection } from "../../../src/core/rows.ts";
import { openLogId } from "../../../src/identity.ts";
import { DeduplicationWindow } from "../../../src/journal/deduplication.ts";
import { Journal } from "../../../src/journal/journal.ts";
import { controlSection, findingSection } from "../../../src/records/own-rows.ts";
import { Sealer } from "../../../src/seal/sealer.ts";
import { Quarantine } from "../../../src/store/quarantine.ts";
import { StoredMark } from "../../../src/store/stored-mark.ts";
import { StoreWriter } from "../../../src/store/writer.ts";
import { newSigner, ORIGIN, type TestSigner } from "../../seal/fixture.ts";
import { Disk } from "./disk.ts";
import type { Life } from "./life.ts";
import { Warehouse } from "./warehouse.ts";

/** So small that a few batches fill a segment, and segments are written over. */
const SEGMENT_BYTES = 8_000;
/** So small that the writer has to read the journal again. */
const PENDING_BYTES = 12_000;
const HOUR_MS = 3_600_000;

/** What outlives the process, and what others have seen of it. */
export class World {
  readonly disk: Disk;
  readonly warehouse = new Warehouse();
  readonly signer: TestSigner = newSigner();
  /** Every checkpoint that was published. */
  readonly notes = new Set<string>();
  /** Batches that were answered 200, with the index of their first row where it is known. */
  readonly acknowledged = new Map<number, number | undefined>();

  constructor(root: string) {
    this.disk = new Disk(root);
  }
}

/** Batch `number` as its sender sends it, each time the same: its rows say which they are. */
export function sectionsOf(logId: string, number: number, rows: number): RowSection[] {
  const name = (row: number): string => `${number}/${row}`;
  const findings = Math.ceil(rows / 4);
  return [
    findingSection(
      logId,
      Array.from({ length: findings }, (_, row) => ({
        timestampNs: 1n,
        findingKind: "test",
        severity: "info",
        state: "open",
        subject: name(row),
        traceId: "",
        message: "",
        evidence: [],
        detail: {},
      })),
    ),
    controlSection(
      logId,
      Array.from({ length: rows - findings }, (_, row) => ({
        timestampNs: 1n,
        controlKind: "records_read",
        detail: { name: name(findings + row) },
      })),
    ),
  ];
}

/**
 * Journal, sealer and writer, joined as server.ts joins them: what is durable is sealed and stored in the order of the log, and what is both
 * leaves the journal.
 */
export class DurablePath {
  readonly fatal: MeshproofError[] = [];
  readonly journal: Journal;
  readonly sealer: Sealer;
  readonly writer: StoreWriter;
  readonly logId: string;
  readonly #deduplication: DeduplicationWindow;
  readonly #closers: (() => Promise<unknown>)[];
  readonly #world: World;

  private constructor(
    world: World,
    parts: Pick<DurablePath, "fatal" | "journal" | "sealer" | "writer" | "logId">,
    deduplication: DeduplicationWindow,
    closers: (() => Promise<unknown>)[],
  ) {
    this.#world = world;
    this.fatal = parts.fatal;
    this.journal = parts.journal;
    this.sealer = parts.sealer;
    this.writer = parts.writer;
    this.logId = parts.logId;
    this.#deduplication = deduplication;
    this.#closers = closers;
  }

  /** Opens what `world` holds. Rejects when it cannot be opened, with everything closed. */
  static async open(world: World, life: Life): Promise<DurablePath> {
    const directory = world.disk.root;
    const fatal: MeshproofError[] = [];
    const onFatal = (error: MeshproofError): void => void fatal.push(error);
    const closers: (() => Promise<unknown>)[] = [];
    let release = (): void => {};
    let follow: (batch: PlacedBatch) => void = () => {};
    try {
      const sealer = await Sealer.open({
        directory,
        origin: ORIGIN,
        signer: world.signer,
        anchor: join(directory, "anchor"),
        checkpointIntervalMs: 1_000_000,
        checkpointRecords: 1_000_000,
        logger: silentLogger,
        onFatal,
        onPublished: ({ note }) => world.notes.add(note),
        onDurable: () => release(),
      });
      closers.push(() => sealer.close());
      const deduplication = new DeduplicationWindow({ windowMs: HOUR_MS, maxKeys: 1_000 });
      const journal = await Journal.open({
        directory: join(directory, "journal"),
        maxBytes: 10_000_000,
        segmentBytes: SEGMENT_BYTES,
        nextIndex: sealer.signedSize,
        logger: silentLogger,
        onFatal,
        onDurable: (batch) => follow(batch),
        onRecoveredKey: ({ key, receivedAtNs, rejected, message }) =>
          deduplication.restore(key, Number(receivedAtNs / 1_000_000n), { rejected, message }),
      });
      closers.push(() => journal.close());
      const birth = { origin: ORIGIN, verifierKey: sealer.verifierKey, nowNs: 1n };
      const logId = await openLogId(directory, journal, birth);
      await sealer.recover(journal.frames(sealer.replayFrom));
      const quarantine = await Quarantine.open(join(directory, "quarantine.jsonl"), logId);
      closers.push(() => quarantine.close());
      const mark = new StoredMark(directory);
      closers.push(() => mark.close());
      const writer = new StoreWriter({
        store: world.warehouse.client(life),
        logId,
        backlog: (fromIndex) => journal.frames(fromIndex),
        quarantine,
        onStored: (through) => {
          mark.reached(through);
          release();
        },
        logger: silentLogger,
        maxPendingBytes: PENDING_BYTES,
        batchAgeMs: 0,
        retryMinMs: 1,
        retryMaxMs: 1,
      });
      closers.push(() => writer.close());
      writer.start(journal.firstIndex, journal.durableIndex);
      follow = (batch) => {
        sealer.append(batch);
        writer.add(batch);
      };
      release = () => {
        const below = Math.min(sealer.durableThrough, writer.storedThrough);
        journal.release(below).catch(() => {});
      };
      return new DurablePath(
        world,
        { fatal, journal, sealer, writer, logId },
        deduplication,
        closers,
      );
    } catch (error) {
      for (const close of closers.reverse()) await close().catch(() => {});
      throw error;
    }
  }

  /** Sends a batch as the pipeline takes it; its sender knows then that it was answered 200. Rejects when it was refused. */
  async send(number: number, rows: number): Promise<void> {
    const key = createHash("sha256").update(`batch ${number}`).digest();
    const claim = this.#deduplication.claim(key);
    if (claim.state === "new") {
      const meta = {
        signal: "logs",
        key,
        receivedAtNs: BigInt(Date.now()) * 1_000_000n,
        rejected: 0,
        message: "",
        sender: "test",
        cut: 0,
      } as const;
      try {
        const sections = sectionsOf(this.logId, number, rows);
        const { placed, durable } = this.journal.append({ sections }, meta);
        await durable;
        this.#deduplication.settle(key, { rejected: 0, message: "" });
        this.#world.acknowledged.set(number, placed.firstIndex);
      } catch (error) {
        this.#deduplication.abandon(key, error as Error);
        throw error;
      }
    } else if (!this.#world.acknowledged.has(number)) {
      this.#world.acknowledged.set(number, undefined);
    }
  }

  /** Brings everything to its end, as a server that is told to stop. */
  async stop(life: Life): Promise<void> {
    try {
      await this.sealer.checkpoint();
      await this.sealer.settle();
      await Promise.race([this.writer.drain(10_000), life.ended]);
    } finally {
      await this.close();
    }
  }

  /** In reverse order. Rejects with the first error, when all are closed. */
  async close(): Promise<void> {
    const errors: unknown[] = [];
    for (const close of this.#closers.toReversed())
      await close().catch((error: unknown) => errors.push(error));
    if (errors.length > 0) throw errors[0];
  }
}
