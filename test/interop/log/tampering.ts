import { encodeBundle, formatTilePath, partialTiles, TILE_WIDTH } from "../../../src/tlog/tiles.ts";
import { ENTRY_LENGTH } from "../../../src/tlog/entry.ts";

/** A change to one thing that a log serves. */
export interface Tampering {
  readonly what: string;
  /** Below the log's URL. */
  readonly path: string;
  readonly change: (bytes: Buffer) => Uint8Array;
}

/** A change to a proof file. */
export interface ProofTampering {
  readonly what: string;
  readonly change: (text: string) => string;
}

/** One change to each kind of thing that a log of `size` records serves: entries and tiles, full and at the right edge, and the checkpoint. */
export function tamperings(size: number): Tampering[] {
  const middle = Math.floor(size / TILE_WIDTH / 2);
  const fullBundle = formatTilePath({ level: "entries", index: middle, width: TILE_WIDTH });
  const edge = partialTiles(size);
  const [leaves] = edge;
  const lastBundle = formatTilePath({ ...leaves!, level: "entries" });
  return [
    { what: "another byte in an entry", path: fullBundle, change: (bytes) => flipped(bytes, 1000) },
    {
      what: "another byte in the last entry",
      path: lastBundle,
      change: (bytes) => flipped(bytes, -1),
    },
    { what: "two entries that changed places", path: fullBundle, change: swapped },
    {
      what: "a last bundle without its last entry",
      path: lastBundle,
      change: (bytes) => bytes.subarray(0, -(2 + ENTRY_LENGTH)),
    },
    ...[0, 1].map((level) => ({
      what: `another byte in a full tile of level ${level}`,
      path: formatTilePath({ level, index: level === 0 ? middle : 0, width: TILE_WIDTH }),
      change: (bytes: Buffer) => flipped(bytes, 1000),
    })),
    ...edge.map((tile) => ({
      what: `another byte in the partial tile of level ${tile.level}`,
      path: formatTilePath(tile),
      change: (bytes: Buffer) => flipped(bytes, -1),
    })),
    ...["origin", "size", "root hash", "signature"].map((what, line) => ({
      what: `another ${what} in the checkpoint`,
      path: "checkpoint",
      change: (bytes: Buffer) => {
        const lines = bytes.toString().split("\n");
        // Behind the three lines of the tree stands an empty one.
        const at = line === 3 ? 4 : line;
        lines[at] = line === 1 ? String(size - 1) : respelled(lines[at]!, -10);
        return Buffer.from(lines.join("\n"));
      },
    })),
  ];
}

/** One change to each part of a proof file: header, extra line, index line, hashes; an empty line; the checkpoint. */
export const PROOF_TAMPERINGS: readonly ProofTampering[] = [
  { what: "another row", change: onLine(1, (line) => respelled(line, -40)) },
  { what: "another index", change: onLine(2, (line) => `index ${Number(line.slice(6)) ^ 1}`) },
  { what: "another hash", change: onLine(3, (line) => respelled(line, 10)) },
  {
    what: "another root hash under the signature",
    change: (text) =>
      onLine(text.slice(0, text.indexOf("\n\n")).split("\n").length + 3, (line) =>
        respelled(line, 10),
      )(text),
  },
  {
    what: "a hash too few",
    change: (text) => text.split("\n").toSpliced(3, 1).join("\n"),
  },
];

function onLine(at: number, change: (line: string) => string): (text: string) => string {
  return (text) => {
    const lines = text.split("\n");
    return lines.with(at, change(lines[at]!)).join("\n");
  };
}

/** One bit of the byte at `at` is another; negative counts from the end. */
function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = at < 0 ? copy.length + at : at;
  copy[index] = copy[index]! ^ 1;
  return copy;
}

/** Another letter at `at`: still base64 where it was. */
function respelled(line: string, at: number): string {
  const letters = line.split("");
  return letters.with(at, letters.at(at) === "A" ? "B" : "A").join("");
}

function swapped(bundle: Buffer): Uint8Array {
  const entries = Array.from({ length: TILE_WIDTH }, (_, i) =>
    bundle.subarray(i * (2 + ENTRY_LENGTH) + 2, (i + 1) * (2 + ENTRY_LENGTH)),
  );
  return encodeBundle(entries.with(7, entries[8]!).with(8, entries[7]!));
}
