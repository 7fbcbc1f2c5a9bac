import { strict as assert } from "node:assert";
import { ENTRY_LENGTH } from "./entry.ts";
import { CONSTANTS, encodeModule, MEMORY, prepareMessages } from "./lanes-code.ts";
import { HASH_LENGTH } from "./merkle.ts";
import { TILE_WIDTH } from "./tiles.ts";

/*
 * Hashing of whole bundles and tiles, four messages at a time: 0.26 µs a record for its leaf hash and one node, where single calls of
 * node:crypto take 0.93. The messages are so short that the call takes longer than the hashing (measured, one core).
 */

/** An entry in a bundle: its length as a uint16, then itself. */
export const BUNDLED_ENTRY_LENGTH = 2 + ENTRY_LENGTH;

/** Where a bundle is put, and the hashes of a tile with those of the levels above it behind them. */
const BUNDLE = MEMORY.free;
const HASHES = BUNDLE + TILE_WIDTH * BUNDLED_ENTRY_LENGTH;
/** Four hashes are written at a time, also where fewer are wanted. */
const MIN_LEVEL_BYTES = 4 * HASH_LENGTH;
/** Address of the hashes of each level of the tree in a tile: 256, 128 … 1 of them. */
const LEVELS: readonly number[] = levels();

function levels(): number[] {
  const found = [HASHES];
  for (let width = TILE_WIDTH; width > 1; width /= 2)
    found.push(found.at(-1)! + Math.max(width * HASH_LENGTH, MIN_LEVEL_BYTES));
  return found;
}

/** What lanes-code.ts makes: functions that hash `count` messages at `source` to `target`. */
interface Lanes {
  readonly memory: { readonly buffer: ArrayBuffer };
  leaves(source: number, target: number, count: number): void;
  nodes(source: number, target: number, count: number): void;
}

/** The part of the WebAssembly JavaScript Interface that is used; the types of Node leave it out. */
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object) => { readonly exports: unknown };
};

// Made at the first use; its memory is scratch for one synchronous call.
let lanes: Lanes | undefined;
let memory = new Uint8Array(0);

function instantiate(): Lanes {
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(encodeModule()));
  const made = exports as Lanes;
  memory = new Uint8Array(made.memory.buffer);
  new Uint32Array(made.memory.buffer, MEMORY.constants, CONSTANTS.length).set(CONSTANTS);
  prepareMessages(memory, MEMORY.leafMessages, 0x00, 1 + ENTRY_LENGTH); // RFC 6962, section 2.1
  prepareMessages(memory, MEMORY.nodeMessages, 0x01, 1 + 2 * HASH_LENGTH);
  return made;
}

/** Leaf hashes of the entries in `bundle`, at most 256 and all of version 1. Valid until the next call in this file. */
export function leafHashes(bundle: Uint8Array): Uint8Array {
  lanes ??= instantiate();
  const count = bundle.length / BUNDLED_ENTRY_LENGTH;
  assert(Number.isInteger(count) && count <= TILE_WIDTH, "a part of a bundle of version 1");
  memory.set(bundle, BUNDLE);
  if (count > 0) lanes.leaves(BUNDLE + 2, HASHES, count);
  return memory.subarray(HASHES, HASHES + count * HASH_LENGTH);
}

/** Hash over a full tile: that of the complete subtree over its 256 hashes. Valid until the next call in this file. */
export function tileRoot(tile: Uint8Array): Uint8Array {
  assert.equal(tile.length, TILE_WIDTH * HASH_LENGTH, "a full tile");
  return subtrees(tile)[0]!;
}

/** Hashes of the complete subtrees that a tile of any width consists of, the largest, which stands first, in front. Valid until the next call in this file. */
export function subtrees(tile: Uint8Array): Uint8Array[] {
  lanes ??= instantiate();
  const width = tile.length / HASH_LENGTH;
  assert(Number.isInteger(width) && width <= TILE_WIDTH, "at most 256 hashes");
  memory.set(tile, HASHES);
  const found: Uint8Array[] = [];
  for (let level = 0, count = width; count > 0; level++, count >>= 1) {
    const at = LEVELS[level]!;
    if (count > 1) lanes.nodes(at, LEVELS[level + 1]!, count >> 1);
    const last = at + (count - 1) * HASH_LENGTH;
    if (count % 2 === 1) found.unshift(memory.subarray(last, last + HASH_LENGTH));
  }
  return found;
}
