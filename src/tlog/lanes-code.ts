import { ENTRY_LENGTH } from "./entry.ts";

/**
 * WebAssembly for SHA-256 of four messages at once, one in each 32-bit lane of a v128, put together from FIPS 180-4 when it is first needed.
 * tile-hasher.ts says why.
 */

/** Where things lie in the module's memory, of one page. What is not said to be the caller's has to be filled in before the first call, or is used within one. */
export const MEMORY = {
  /** K, 64 words (FIPS 180-4, section 4.2.2). To be filled in. */
  constants: 0,
  /** The hash so far, eight vectors. */
  state: 256,
  /** The messages of four lanes, two blocks each. What stands around the message proper is to be filled in (`prepareMessages`). */
  leafMessages: 512,
  nodeMessages: 1024,
  /** The caller's, up to the end of the page. */
  free: 1536,
} as const;

const BLOCK = 64;
const LANES = 4;
/** Bytes from the message of one lane to that of the next. */
const LANE = 2 * BLOCK;
const HASH = 32;
/** An entry, and from one to the next in a bundle (C2SP tlog-tiles, "Log entries"). */
const ENTRY_STRIDE = 2 + ENTRY_LENGTH;
/** Index of the function that the others call. */
const COMPRESS = 0;

function stateAt(i: number): number {
  return MEMORY.state + 16 * i;
}

/** First 32 bits of the fractional parts of the square roots of the first 8 primes (FIPS 180-4, section 5.3.3). */
export const INITIAL: readonly number[] = primes(8).map((p) => fraction(Math.sqrt(p)));
/** The same of the cube roots of the first 64 primes (section 4.2.2). */
export const CONSTANTS: readonly number[] = primes(64).map((p) => fraction(Math.cbrt(p)));

function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((p) => n % p !== 0)) found.push(n);
  return found;
}

function fraction(root: number): number {
  return Math.floor((root % 1) * 2 ** 32);
}

/** Instructions that are used (WebAssembly 2.0, section 5.4). */
const OP = {
  loop: [0x03, 0x40],
  call: [0x10],
  end: [0x0b],
  branchIf: [0x0d],
  get: [0x20],
  set: [0x21],
  i32Const: [0x41],
  i32Add: [0x6a],
  i32Store16: [0x3b],
  i32Load16: [0x2f],
  i32GreaterSigned: [0x4a],
  load: [0xfd, 0x00],
  loadSplat32: [0xfd, 0x09],
  store: [0xfd, 0x0b],
  const: [0xfd, 0x0c],
  shuffle: [0xfd, 0x0d],
  xor: [0xfd, 0x51],
  or: [0xfd, 0x50],
  bitselect: [0xfd, 0x52],
  shiftLeft: [0xfd, 0xab, 0x01],
  shiftRight: [0xfd, 0xad, 0x01],
  add: [0xfd, 0xae, 0x01],
} as const;
const I32 = 0x7f;
const V128 = 0x7b;

/** Byte orders for shuffles of two vectors: bytes 0 to 15 are of the first, 16 to 31 of the second. */
const SWAP_BYTES = words((word, byte) => 4 * word + 3 - byte);
const LOW_WORDS = words((word, byte) => 16 * (word & 1) + 4 * (word >> 1) + byte);
const HIGH_WORDS = LOW_WORDS.map((at) => at + 8);
const LOW_HALVES = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23];
const HIGH_HALVES = LOW_HALVES.map((at) => at + 8);

function words(at: (word: number, byte: number) => number): number[] {
  return Array.from({ length: 16 }, (_, i) => at(i >> 2, i & 3));
}

const BASE = 0; // the parameter of `compress`
const SOURCE = 0; // the parameters of `leaves` and `nodes`
const TARGET = 1;
const COUNT = 2;

class Code {
  readonly bytes: number[] = [];

  /** The function, which has `vectors` locals besides its parameters, behind its length. */
  functionBody(vectors: number): number[] {
    return sized([1, vectors, V128, ...this.bytes, ...OP.end]);
  }

  add(...parts: (number | readonly number[])[]): this {
    for (const part of parts) {
      if (typeof part === "number") this.bytes.push(part);
      else this.bytes.push(...part);
    }
    return this;
  }

  get(local: number): this {
    return this.add(OP.get, unsigned(local));
  }

  set(local: number): this {
    return this.add(OP.set, unsigned(local));
  }

  number(value: number): this {
    return this.add(OP.i32Const, signed(value));
  }

  /** Replaces the vectors on the stack by one of their bytes in `order`. */
  shuffle(order: readonly number[]): this {
    return this.add(OP.shuffle, order);
  }

  /** A load or store at the address on the stack plus `offset`; it need not be aligned. */
  access(op: readonly number[], offset: number): this {
    return this.add(op, 0, unsigned(offset));
  }

  loadState(i: number): this {
    return this.number(0).access(OP.load, stateAt(i));
  }

  /** Pushes local `x` rotated right by each of `rotations` and shifted right by `shift`, all xored. */
  sigma(x: number, rotations: readonly number[], shift?: number): this {
    rotations.forEach((bits, i) => {
      this.get(x).number(bits).add(OP.shiftRight);
      this.get(x)
        .number(32 - bits)
        .add(OP.shiftLeft, OP.or);
      if (i > 0) this.add(OP.xor);
    });
    if (shift !== undefined) this.get(x).number(shift).add(OP.shiftRight, OP.xor);
    return this;
  }

  /** Turns four locals from a lane each into a word each, or back: the transposition of a 4 by 4 matrix. Uses four locals from `scratch` on. */
  transpose(first: number, scratch: number): this {
    for (const [to, a, b, order] of [
      [0, 0, 1, LOW_WORDS],
      [1, 0, 1, HIGH_WORDS],
      [2, 2, 3, LOW_WORDS],
      [3, 2, 3, HIGH_WORDS],
    ] as const)
      this.get(first + a)
        .get(first + b)
        .shuffle(order)
        .set(scratch + to);
    for (const [to, a, b, order] of [
      [0, 0, 2, LOW_HALVES],
      [1, 0, 2, HIGH_HALVES],
      [2, 1, 3, LOW_HALVES],
      [3, 1, 3, HIGH_HALVES],
    ] as const)
      this.get(scratch + a)
        .get(scratch + b)
        .shuffle(order)
        .set(first + to);
    return this;
  }

  /** Turns the words of a local from big to little endian, or back. */
  swapBytes(local: number): this {
    return this.get(local).get(local).shuffle(SWAP_BYTES).set(local);
  }
}

/** `compress(base)`: hashes a block of the four messages into the state; that of lane i begins at base + i * LANE (FIPS 180-4, section 6.2.2). */
function compress(): number[] {
  const code = new Code();
  const working = BASE + 1;
  const schedule = working + 8;
  const scratch = schedule + 16;
  for (let first = schedule; first < scratch; first += 4) {
    for (let lane = 0; lane < LANES; lane++) {
      code.get(BASE).access(OP.load, lane * LANE + 4 * (first - schedule));
      code.set(first + lane).swapBytes(first + lane);
    }
    code.transpose(first, scratch);
  }
  for (let i = 0; i < 8; i++) code.loadState(i).set(working + i);
  for (let t = 0; t < 64; t++) {
    const w = (back: number): number => schedule + ((t - back) & 15);
    const variable = (i: number): number => working + ((i - t) & 7);
    const [a, b, c, d] = [variable(0), variable(1), variable(2), variable(3)];
    const [e, f, g, h] = [variable(4), variable(5), variable(6), variable(7)];
    if (t >= 16) {
      code.sigma(w(2), [17, 19], 10).get(w(7)).add(OP.add);
      code.sigma(w(15), [7, 18], 3).get(w(16)).add(OP.add, OP.add).set(w(0));
    }
    // h becomes T1
    code.get(h).sigma(e, [6, 11, 25]).add(OP.add);
    code.get(f).get(g).get(e).add(OP.bitselect, OP.add); // Ch
    code.number(MEMORY.constants + 4 * t).access(OP.loadSplat32, 0);
    code.get(w(0)).add(OP.add, OP.add).set(h);
    code.get(d).get(h).add(OP.add).set(d);
    // and then T1 + T2
    code.get(h).sigma(a, [2, 13, 22]).add(OP.add);
    code.get(c).get(b).get(a).get(b).add(OP.xor, OP.bitselect, OP.add).set(h); // Maj: where a and b differ, c decides
  }
  for (let i = 0; i < 8; i++)
    code
      .number(0)
      .loadState(i)
      .get(working + i)
      .add(OP.add)
      .access(OP.store, stateAt(i));
  return code.functionBody(8 + 16 + 4);
}

/** Copies the message of `lane` from SOURCE to where it is hashed. */
type Gather = (code: Code, lane: number) => void;

/** `(source, target, count)`: hashes four messages at a time, put together at `messages`, of `blocks` blocks each, `stride` bytes from one to the next, until `count` are hashed. */
function hashMessages(messages: number, blocks: number, stride: number, gather: Gather): number[] {
  const code = new Code();
  const vectors = COUNT + 1;
  code.add(OP.loop);
  for (let lane = 0; lane < LANES; lane++) gather(code, lane);
  INITIAL.forEach((word, i) => {
    code.number(0).add(OP.const, ...Array<number[]>(LANES).fill(littleEndian(word)));
    code.access(OP.store, stateAt(i));
  });
  for (let block = 0; block < blocks; block++)
    code.number(messages + block * BLOCK).add(OP.call, COMPRESS);
  for (const half of [0, 4]) {
    for (let i = 0; i < 4; i++) code.loadState(half + i).set(vectors + i);
    code.transpose(vectors, vectors + 4);
    for (let lane = 0; lane < LANES; lane++) {
      code
        .swapBytes(vectors + lane)
        .get(TARGET)
        .get(vectors + lane);
      code.access(OP.store, HASH * lane + 4 * half);
    }
  }
  code
    .get(SOURCE)
    .number(LANES * stride)
    .add(OP.i32Add)
    .set(SOURCE);
  code
    .get(TARGET)
    .number(LANES * HASH)
    .add(OP.i32Add)
    .set(TARGET);
  code.get(COUNT).number(-LANES).add(OP.i32Add).set(COUNT);
  code.get(COUNT).number(0).add(OP.i32GreaterSigned, OP.branchIf, 0, OP.end);
  return code.functionBody(8);
}

/** Leaf hashes of entries: SHA-256(0x00 ‖ entry). */
function hashLeaves(): number[] {
  return hashMessages(MEMORY.leafMessages, 1, ENTRY_STRIDE, (code, lane) => {
    for (let at = 0; at < ENTRY_LENGTH;) {
      const isLong = ENTRY_LENGTH - at >= 16;
      code
        .number(0)
        .get(SOURCE)
        .access(isLong ? OP.load : OP.i32Load16, lane * ENTRY_STRIDE + at);
      code.access(isLong ? OP.store : OP.i32Store16, MEMORY.leafMessages + lane * LANE + 1 + at);
      at += isLong ? 16 : 2;
    }
  });
}

/** Hashes of inner nodes, whose children stand side by side: SHA-256(0x01 ‖ left ‖ right). */
function hashNodes(): number[] {
  return hashMessages(MEMORY.nodeMessages, 2, 2 * HASH, (code, lane) => {
    for (let at = 0; at < 2 * HASH; at += 16)
      code
        .number(0)
        .get(SOURCE)
        .access(OP.load, lane * 2 * HASH + at)
        .access(OP.store, MEMORY.nodeMessages + lane * LANE + 1 + at);
  });
}

/** `\0asm` and version 1 (WebAssembly 2.0, section 5.5.16). */
const MAGIC = [0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** The module: it exports `memory`, `leaves(source, target, count)` and `nodes(source, target, count)`; `count` is rounded up to four. */
export function encodeModule(): Uint8Array<ArrayBuffer> {
  const bodies = [compress(), hashLeaves(), hashNodes()];
  return Uint8Array.from([
    ...MAGIC,
    ...section(1, [2, 0x60, 1, I32, 0, 0x60, 3, I32, I32, I32, 0]),
    ...section(3, [3, 0, 1, 1]),
    ...section(5, [1, 0x00, 1]), // a page of memory
    ...section(7, [
      3,
      ...exported("memory", 2, 0),
      ...exported("leaves", 0, 1),
      ...exported("nodes", 0, 2),
    ]),
    ...section(10, [bodies.length, ...bodies.flat()]),
  ]);
}

/** Writes what stands around messages of `length` bytes: before them `prefix`, which counts, and behind them the padding of FIPS 180-4, section 5.1.1. */
export function prepareMessages(
  memory: Uint8Array,
  messages: number,
  prefix: number,
  length: number,
): void {
  const end = Math.ceil((length + 9) / BLOCK) * BLOCK;
  for (let at = messages; at < messages + LANES * LANE; at += LANE) {
    memory[at] = prefix;
    memory[at + length] = 0x80;
    memory[at + end - 2] = (8 * length) >> 8;
    memory[at + end - 1] = (8 * length) & 0xff;
  }
}

function section(id: number, content: readonly number[]): number[] {
  return [id, ...sized(content)];
}

function sized(content: readonly number[]): number[] {
  return [...unsigned(content.length), ...content];
}

function exported(name: string, kind: number, index: number): number[] {
  return [...sized([...Buffer.from(name)]), kind, index];
}

function littleEndian(word: number): number[] {
  return [word & 255, (word >>> 8) & 255, (word >>> 16) & 255, word >>> 24];
}

function unsigned(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value];
}

function signed(value: number): number[] {
  const bytes: number[] = [];
  for (; value < -0x40 || value >= 0x40; value >>= 7) bytes.push((value & 0x7f) | 0x80);
  return [...bytes, value & 0x7f];
}
