import { KINDS } from "../core/kinds.ts";
import type { RowSection } from "../core/rows.ts";
import { RowHead, SectionBuilder } from "./section-builder.ts";

/** Every column of a link has a length that is known before: this is more than their sum. */
const ROW_ROOM = 256;
const TRACE_ID_BYTES = 16;

/** A link between two records of this log. */
export interface LinkRecord {
  /** Nanoseconds since the epoch. */
  readonly madeAtNs: bigint;
  /** Bytes of the trace ID; zeros where neither record has one, which makes the column empty. */
  readonly traceId: Uint8Array;
  readonly rule: string;
  readonly confidence: number;
  readonly accessLeaf: number;
  readonly spanLeaf: number;
  readonly clockDifferenceNs: bigint;
}

/** Puts rows of trace_links together; the columns are TABLES.link, in that order. */
export class LinkSection {
  readonly #builder = new SectionBuilder(KINDS.link);
  readonly #head: RowHead;
  readonly #logId: Buffer;
  readonly #float = new Float32Array(1);
  readonly #floatBits = new Uint32Array(this.#float.buffer);

  constructor(logId: string) {
    this.#head = new RowHead(logId, KINDS.link, undefined);
    this.#logId = Buffer.from(logId);
  }

  get count(): number {
    return this.#builder.count;
  }

  add(link: LinkRecord): void {
    const builder = this.#builder;
    const { out } = builder;
    builder.open(this.#head, ROW_ROOM);
    writeInt64(out, link.madeAtNs);
    out.writeHexText(
      link.traceId,
      link.traceId.some((byte) => byte !== 0) ? 0 : -1,
      TRACE_ID_BYTES,
    );
    this.#writeText(link.rule);
    this.#float[0] = link.confidence;
    out.writeUint32(this.#floatBits[0]!);
    out.writeText(this.#logId, 0, this.#logId.length);
    writeLeaf(out, link.accessLeaf);
    out.writeText(this.#logId, 0, this.#logId.length);
    writeLeaf(out, link.spanLeaf);
    writeInt64(out, link.clockDifferenceNs);
    builder.close();
  }

  /** The links so far as rows that are not placed yet; the section is empty afterwards. */
  take(): RowSection {
    return this.#builder.take();
  }

  /** A name of ours, in ASCII. */
  #writeText(text: string): void {
    const { out } = this.#builder;
    out.writeByte(text.length);
    for (let i = 0; i < text.length; i++) out.writeByte(text.charCodeAt(i));
  }
}

type Out = SectionBuilder["out"];

function writeInt64(out: Out, value: bigint): void {
  const bits = BigInt.asUintN(64, value);
  out.writeEight(Number(bits & 0xffff_ffffn), Number(bits >> 32n));
}

/** A leaf index is below 2^53. */
function writeLeaf(out: Out, index: number): void {
  out.writeEight(index % 2 ** 32, Math.floor(index / 2 ** 32));
}
