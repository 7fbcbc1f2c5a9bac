import { randomFillSync } from "node:crypto";
import { LEAF_VERSION, type Kind } from "../core/kinds.ts";
import {
  LEAF_INDEX_OFFSET,
  LOG_ID_LENGTH,
  ROW_PREFIX_LENGTH,
  type RowSection,
} from "../core/rows.ts";
import { SHA256_BYTES, sha256Into } from "../core/sha256.ts";
import type { BufferPool } from "./buffer-pool.ts";
import { RowBuffer } from "./row-buffer.ts";

const SALT_BYTES = 16;
const SALT_OFFSET = ROW_PREFIX_LENGTH + 2;
/** Random bytes are drawn for this many rows at once: a call for each would cost more than the row. */
const SALTS_PER_DRAW = 1024;
const INITIAL_ROWS = 1024;
const INITIAL_BYTES = 256 * 1024;

/** What the rows of one request begin with: the place, version, kind, salt and, for kinds 1 to 3, who sent them and when. */
export class RowHead {
  readonly bytes: Uint8Array;

  /** Shape: `received` is undefined for kinds 4 to 6, which have no such columns. */
  constructor(logId: string, kind: Kind, received: ReceivedFields | undefined) {
    const out = new RowBuffer(ROW_PREFIX_LENGTH + 64);
    out.writeByte(LOG_ID_LENGTH);
    for (let i = 0; i < LOG_ID_LENGTH; i++) out.writeByte(logId.charCodeAt(i));
    out.bytes.fill(0, LEAF_INDEX_OFFSET, ROW_PREFIX_LENGTH);
    out.position = ROW_PREFIX_LENGTH;
    out.writeByte(LEAF_VERSION);
    out.writeByte(kind);
    out.bytes.fill(0, SALT_OFFSET, SALT_OFFSET + SALT_BYTES);
    out.position = SALT_OFFSET + SALT_BYTES;
    if (received !== undefined) {
      out.ensure(8);
      out.writeEight(
        Number(received.receivedAtNs & 0xffff_ffffn),
        Number(received.receivedAtNs >> 32n),
      );
      for (const text of [received.sender, received.senderAuth, received.retentionClass]) {
        const bytes = Buffer.from(text, "utf8");
        out.ensure(bytes.length + 5);
        out.writeText(bytes, 0, bytes.length);
      }
    }
    this.bytes = out.bytes.slice(0, out.position);
  }
}

/** What is known of a request that carried records; the values of the columns that kinds 1 to 3 have in common. */
export interface ReceivedFields {
  readonly receivedAtNs: bigint;
  readonly sender: string;
  readonly senderAuth: string;
  readonly retentionClass: string;
}

/**
 * Puts the rows of one kind together, one behind the other, each with its salt and hash.
 * A row that turns out to be broken half way is dropped with `abort`. The buffers are used again for section after section.
 */
export class SectionBuilder {
  readonly kind: Kind;
  readonly out: RowBuffer;
  count = 0;
  #offsets = new Uint32Array(INITIAL_ROWS);
  #hashes = Buffer.allocUnsafeSlow(INITIAL_ROWS * SHA256_BYTES);
  #salts = Buffer.allocUnsafeSlow(SALTS_PER_DRAW * SALT_BYTES);
  #saltPosition = SALTS_PER_DRAW * SALT_BYTES;
  #rowStart = 0;

  constructor(kind: Kind, pool?: BufferPool) {
    this.kind = kind;
    this.out = new RowBuffer(INITIAL_BYTES, pool);
  }

  /** Bytes of the rows so far. */
  get byteCount(): number {
    return this.out.position;
  }

  /** Begins a row: writes `head` with a fresh salt. `estimate` is room for the columns behind it. */
  open(head: RowHead, estimate: number): void {
    const { out } = this;
    const { bytes } = head;
    out.ensure(bytes.length + estimate);
    this.#rowStart = out.position;
    out.writeBytes(bytes, 0, bytes.length);
    if (this.#saltPosition === this.#salts.length) {
      randomFillSync(this.#salts);
      this.#saltPosition = 0;
    }
    const to = out.bytes;
    const from = this.#salts;
    let p = this.#rowStart + SALT_OFFSET;
    let s = this.#saltPosition;
    for (let i = 0; i < SALT_BYTES; i++) to[p++] = from[s++]!;
    this.#saltPosition = s;
  }

  /** Where the open row begins in `out`, behind its prefix. */
  get rowStart(): number {
    return this.#rowStart + ROW_PREFIX_LENGTH;
  }

  /** Bytes of the open row without its prefix. */
  get rowLength(): number {
    return this.out.position - this.#rowStart - ROW_PREFIX_LENGTH;
  }

  /** The open row without its prefix: a view, valid until the next write. */
  get row(): Uint8Array {
    return this.out.bytes.subarray(this.#rowStart + ROW_PREFIX_LENGTH, this.out.position);
  }

  /** Puts other bytes in the place of the open row; the prefix stays. */
  replaceRow(row: Uint8Array): void {
    this.out.position = this.#rowStart + ROW_PREFIX_LENGTH;
    this.out.ensure(row.length);
    this.out.writeBytes(row, 0, row.length);
  }

  /** Ends the open row: hashes it and notes where it stands. */
  close(): void {
    if (this.count + 1 >= this.#offsets.length) this.#grow();
    const start = this.#rowStart;
    this.#offsets[this.count] = start;
    sha256Into(this.row, this.#hashes, this.count * SHA256_BYTES);
    this.count++;
    this.#rowStart = this.out.position;
  }

  /** Drops the open row, if there is one. */
  abort(): void {
    this.out.position = this.#rowStart;
  }

  /** The rows as a section of their own memory; the builder is empty afterwards. */
  take(): RowSection {
    const { count, out } = this;
    this.#offsets[count] = out.position;
    const section = {
      kind: this.kind,
      count,
      ...out.take(),
      offsets: this.#offsets.slice(0, count + 1),
      hashes: Uint8Array.prototype.slice.call(this.#hashes, 0, count * SHA256_BYTES),
    };
    this.reset();
    return section;
  }

  /** Drops all rows. */
  reset(): void {
    this.count = 0;
    this.out.reset();
    this.#rowStart = 0;
  }

  #grow(): void {
    const size = this.#offsets.length * 2;
    const offsets = new Uint32Array(size);
    offsets.set(this.#offsets);
    this.#offsets = offsets;
    const hashes = Buffer.allocUnsafeSlow(size * SHA256_BYTES);
    hashes.set(this.#hashes);
    this.#hashes = hashes;
  }
}
