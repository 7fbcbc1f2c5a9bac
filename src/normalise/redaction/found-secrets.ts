import { grown } from "../../records/attributes.ts";

const INITIAL = 16;

/** What was found in a text: `count` ranges, ascending, that do not overlap. */
export class FoundSecrets {
  count = 0;
  /** In the source. */
  start = new Int32Array(INITIAL);
  end = new Int32Array(INITIAL);
  /** The same in `text`, which is the source, or what it was decoded to. */
  textStart = new Int32Array(INITIAL);
  textEnd = new Int32Array(INITIAL);
  text: Uint8Array = new Uint8Array(0);
  /** Number of the name or rule. */
  name = new Int32Array(INITIAL);
  /** 1 where JSON stands unquoted, so that a text in its place needs quotation marks. */
  isBare = new Uint8Array(INITIAL);

  /** Forgets what was found under this number. */
  drop(name: number): void {
    let kept = 0;
    for (let i = 0; i < this.count; i++) {
      if (this.name[i] === name) continue;
      for (const list of [
        this.start,
        this.end,
        this.textStart,
        this.textEnd,
        this.name,
        this.isBare,
      ])
        list[kept] = list[i]!;
      kept++;
    }
    this.count = kept;
  }

  /** Adds a range of `text`, as yet the same in the source. */
  protected add(start: number, end: number, name: number): void {
    const i = this.count++;
    if (i === this.start.length) this.#grow(i * 2);
    this.start[i] = this.textStart[i] = start;
    this.end[i] = this.textEnd[i] = end;
    this.name[i] = name;
    this.isBare[i] = 0;
  }

  #grow(size: number): void {
    this.start = grown(this.start, size);
    this.end = grown(this.end, size);
    this.textStart = grown(this.textStart, size);
    this.textEnd = grown(this.textEnd, size);
    this.name = grown(this.name, size);
    const isBare = new Uint8Array(size);
    isBare.set(this.isBare);
    this.isBare = isBare;
  }
}
