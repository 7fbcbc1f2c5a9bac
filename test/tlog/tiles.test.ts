import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import type { Kind } from "../../src/core/kinds.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { decodeEntry, encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import {
  checkConsistency,
  checkInclusion,
  proveConsistency,
  proveInclusion,
  treeRoot,
} from "../../src/tlog/prove.ts";
import {
  type Tile,
  bundlePrefix,
  decodeBundle,
  encodeBundle,
  formatTilePath,
  parseTilePath,
  partialTiles,
  tileHashReader,
  tileWidth,
  tilesFilled,
} from "../../src/tlog/tiles.ts";

t.test("a tile's path is written as C2SP tlog-tiles says", async (t) => {
  const paths: [Parameters<typeof formatTilePath>[0], string][] = [
    [{ level: 0, index: 0, width: 256 }, "tile/0/000"],
    [{ level: 0, index: 1_234_067, width: 256 }, "tile/0/x001/x234/067"],
    [{ level: 0, index: 1_234_067, width: 7 }, "tile/0/x001/x234/067.p/7"],
    [{ level: 63, index: 999, width: 255 }, "tile/63/999.p/255"],
    [{ level: "entries", index: 1_000, width: 1 }, "tile/entries/x001/000.p/1"],
    [{ level: "entries", index: 1_000_000, width: 256 }, "tile/entries/x001/x000/000"],
    [{ level: 2, index: 123_456_789_012, width: 256 }, "tile/2/x123/x456/x789/012"],
  ];
  for (const [path, text] of paths) {
    t.equal(formatTilePath(path), text);
    t.same(parseTilePath(text), path);
  }
});

t.test("every path reads back, and nothing else is a path", async (t) => {
  const path = fc.record({
    level: fc.oneof(fc.nat(63), fc.constant("entries" as const)),
    index: fc.oneof(fc.nat(2_000_000), fc.maxSafeNat()),
    width: fc.integer({ min: 1, max: 256 }),
  });
  fc.assert(
    fc.property(path, (value) => {
      t.same(parseTilePath(formatTilePath(value)), value);
    }),
  );
  const wrong = [
    "",
    "tile/0",
    "tile/0/0",
    "tile/0/00",
    "tile/0/0000",
    "tile/0/x000/001",
    "tile/0/x001/x234/67",
    "tile/0/001/002",
    "tile/0/x001",
    "tile/00/000",
    "tile/64/000",
    "tile/-1/000",
    "tile/0/000.p/0",
    "tile/0/000.p/256",
    "tile/0/000.p/01",
    "tile/0/000.p/",
    "tile/0/000.p",
    "/tile/0/000",
    "tile/0/000/",
    "tile/0/000\n",
    "tile/0/../0/000",
    "tile/entries/٠٠٠",
    "tile/Entries/000",
    "tile/0/x999/x999/x999/x999/x999/999",
  ];
  for (const text of wrong) t.equal(parseTilePath(text), null, text);
});

t.test("a tree of 70,000 has the tiles that the standard counts out", async (t) => {
  t.same(partialTiles(70_000), [
    { level: 0, index: 273, width: 112 },
    { level: 1, index: 1, width: 17 },
    { level: 2, index: 0, width: 1 },
  ]);
  t.same(
    partialTiles(256),
    [{ level: 1, index: 0, width: 1 }],
    "256 leaves: a full tile and one of width 1 above",
  );
  t.same(partialTiles(65_536), [{ level: 2, index: 0, width: 1 }]);
  t.same(partialTiles(0), []);
  t.equal([...tilesFilled(0, 70_000)].filter((tile) => tile.level === 0).length, 273);
  t.equal([...tilesFilled(0, 70_000)].filter((tile) => tile.level === "entries").length, 273);
  t.same(
    [...tilesFilled(0, 70_000)].filter((tile) => tile.level === 1),
    [{ level: 1, index: 0, width: 256 }],
  );
  t.same([...tilesFilled(300, 511)], []);
  t.equal(tileWidth(70_000, 0, 273), 112);
  t.equal(tileWidth(70_000, 0, 272), 256);
  t.equal(tileWidth(70_000, 0, 274), 0);
  t.equal(tileWidth(2 ** 52 + 3, 0, 2 ** 44), 3, "past 32 bits");
});

t.test("bundles read back whole, and cut ones are refused", async (t) => {
  const entries = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 20 });
  fc.assert(
    fc.property(entries, fc.nat(20), fc.nat(), (list, width, cut) => {
      const bytes = encodeBundle(list);
      t.same(decodeBundle(bytes, list.length).map(Buffer.from), list.map(Buffer.from));
      if (width <= list.length)
        t.same(Buffer.from(bundlePrefix(bytes, width)), encodeBundle(list.slice(0, width)));
      else t.throws(() => bundlePrefix(bytes, width), { code: "LOG_INCONSISTENT" });
      t.throws(() => decodeBundle(bytes, list.length + 1), { code: "LOG_INCONSISTENT" });
      if (bytes.length > 0)
        t.throws(() => decodeBundle(bytes.subarray(0, cut % bytes.length), list.length), {
          code: "LOG_INCONSISTENT",
        });
    }),
  );
  t.equal(encodeBundle([Buffer.alloc(65_535)]).length, 65_537);
  t.throws(() => encodeBundle([Buffer.alloc(65_536)]), { code: "PROOF_RANGE" });
  t.throws(() => bundlePrefix(Buffer.of(0, 3, 1, 2), 1), { code: "LOG_INCONSISTENT" });
});

t.test("an entry holds version, kind and row hash, and no other bytes are one", async (t) => {
  const rowHash = createHash("sha256").update("row").digest();
  const entry = encodeEntry(3, rowHash);
  t.equal(Buffer.from(entry).toString("hex"), `0103${rowHash.toString("hex")}`);
  t.same(decodeEntry(entry), { kind: 3, rowHash });
  t.throws(() => decodeEntry(entry.subarray(1)), { code: "LOG_INCONSISTENT" });
  t.throws(() => decodeEntry(Buffer.concat([entry, Buffer.of(0)])), { code: "LOG_INCONSISTENT" });
  t.throws(() => decodeEntry(Buffer.alloc(34)), { code: "LOG_INCONSISTENT" });
});

/** Leaf hash number `i` of a synthetic tree: no entry behind it, so that large trees are quick to make. */
function leafAt(i: number): Buffer {
  const leaf = Buffer.alloc(32, 0x5a);
  leaf.writeDoubleBE(i);
  return leaf;
}

/** A tree with all its tiles kept, partial ones of the sizes in `keep` too. */
class MemoryTree {
  readonly tiles = new Map<string, Buffer>();
  readonly builder: TreeBuilder;

  constructor(
    builder?: (onTile: (level: number, index: number, hashes: Buffer) => void) => TreeBuilder,
  ) {
    const onTile = (level: number, index: number, hashes: Buffer): void => {
      this.tiles.set(formatTilePath({ level, index, width: 256 }), Buffer.from(hashes));
    };
    this.builder = builder === undefined ? new TreeBuilder(onTile) : builder(onTile);
  }

  growTo(size: number): void {
    while (this.builder.size < size) this.builder.append(leafAt(this.builder.size), 0);
  }

  keepPartials(): void {
    for (const { tile, hashes } of this.builder.partials())
      this.tiles.set(formatTilePath(tile), Buffer.from(hashes));
  }

  readonly read = async (tile: Tile): Promise<Uint8Array> => {
    const bytes = this.tiles.get(formatTilePath(tile));
    if (bytes === undefined) throw new Error(`no ${formatTilePath(tile)}`);
    return bytes;
  };
}

const EDGES = [0, 1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537, 65_536 + 256, 70_000];

t.test(
  "a builder loaded from the tiles of any size goes on as if it had never stopped",
  async (t) => {
    const tree = new MemoryTree();
    const roots = new Map<number, Buffer>();
    for (const size of EDGES) {
      tree.growTo(size);
      tree.keepPartials();
      roots.set(size, Buffer.from(tree.builder.root()));
    }
    for (const size of EDGES) {
      const loaded = new MemoryTree();
      const builder = await TreeBuilder.load(size, tree.read, (level, index, hashes) =>
        loaded.tiles.set(formatTilePath({ level, index, width: 256 }), Buffer.from(hashes)),
      );
      t.same(Buffer.from(builder.root()), roots.get(size), `root at ${size}`);
      while (builder.size < 70_000) builder.append(leafAt(builder.size), 0);
      t.same(Buffer.from(builder.root()), roots.get(70_000), `root at 70000 from ${size}`);
      for (const [path, bytes] of loaded.tiles)
        if (!bytes.equals(tree.tiles.get(path)!)) t.fail(`${path} from ${size}`);
      t.equal(
        loaded.tiles.size,
        [...tilesFilled(size, 70_000)].filter(({ level }) => level !== "entries").length,
        `each full tile once from ${size}`,
      );
    }
  },
);

t.test("proofs read from tiles check, at the edges of tiles and levels", async (t) => {
  const tree = new MemoryTree();
  const roots = new Map<number, Uint8Array>();
  for (const size of EDGES) {
    tree.growTo(size);
    tree.keepPartials();
    roots.set(size, tree.builder.root());
  }
  for (const size of EDGES.slice(1)) {
    const reads: string[] = [];
    const reader = tileHashReader(size, async (tile) => {
      reads.push(formatTilePath(tile));
      return tree.read(tile);
    });
    t.same(Buffer.from(await treeRoot(size, reader)), Buffer.from(roots.get(size)!));
    for (const index of EDGES.filter((edge) => edge < size)) {
      reads.length = 0;
      const proof = await proveInclusion(index, size, reader);
      checkInclusion(proof, index, size, leafAt(index), roots.get(size)!);
      t.equal(new Set(reads).size, reads.length, "each tile is read once");
    }
    for (const earlier of EDGES.filter((edge) => edge > 0 && edge <= size)) {
      const proof = await proveConsistency(earlier, size, reader);
      checkConsistency(proof, earlier, roots.get(earlier)!, size, roots.get(size)!);
    }
  }
});

t.test("a reader refuses tiles of a wrong length and subtrees beyond the tree", async (t) => {
  const reader = tileHashReader(300, async () => Buffer.alloc(31));
  await t.rejects(reader.readHashes([{ level: 0, index: 5 }]), { code: "PROOF_INVALID" });
  await t.rejects(reader.readHashes([{ level: 0, index: 300 }]), { code: "PROOF_RANGE" });
  await t.rejects(reader.readHashes([{ level: 8, index: 1 }]), { code: "PROOF_RANGE" });
});

t.test("tiles past the millionth have their place", async (t) => {
  // The right edge of a tree of 256 * 1,234,567 + 5 leaves, made up; what grows on it must land in tile x001/x234/567.
  const size = 256 * 1_234_567 + 5;
  const filled: string[] = [];
  const builder = await TreeBuilder.load(
    size,
    async (tile) =>
      Buffer.concat(Array.from({ length: tile.width }, (_, i) => leafAt(tile.level * 1_000 + i))),
    (level, index) => filled.push(formatTilePath({ level, index, width: 256 })),
  );
  while (builder.size < 256 * 1_234_568) builder.append(leafAt(builder.size), 0);
  t.same(filled, ["tile/0/x001/x234/567"]);
  t.same(
    builder.partials().map(({ tile }) => tile),
    partialTiles(256 * 1_234_568),
  );
});

t.test(
  "a log of 70,000 entries has the files that golang.org/x/mod/sumdb/tlog makes of it",
  async (t) => {
    const SIZE = 70_000;
    const files = new Map<string, Uint8Array>();
    const builder = new TreeBuilder((level, index, hashes) =>
      files.set(formatTilePath({ level, index, width: 256 }), Buffer.from(hashes)),
    );
    let entries: Uint8Array[] = [];
    for (let i = 0; i < SIZE; i++) {
      const rowHash = createHash("sha256").update(`row ${i}`).digest();
      const entry = encodeEntry(((i % 6) + 1) as Kind, rowHash);
      entries.push(entry);
      builder.append(Buffer.from(leafHash(entry)), 0);
      if (entries.length < 256 && i < SIZE - 1) continue;
      const path = { level: "entries" as const, index: Math.floor(i / 256), width: entries.length };
      files.set(formatTilePath(path), encodeBundle(entries));
      entries = [];
    }
    for (const { tile, hashes } of builder.partials()) files.set(formatTilePath(tile), hashes);
    const digest = createHash("sha256");
    for (const path of [...files.keys()].sort())
      digest.update(`${path} ${createHash("sha256").update(files.get(path)!).digest("hex")}\n`);
    // Computed once with golang.org/x/mod v0.31.0: NewTiles(8, 0, 70000), ReadTileData and TreeHash over the same entries.
    t.equal(files.size, 551);
    t.equal(
      Buffer.from(builder.root()).toString("base64"),
      "b5pTlrRp127XmWd0RDs7JImxGIPyvVEdG/aakcpXQZs=",
    );
    t.equal(
      digest.digest("hex"),
      "d1dd4b04423db240e8b6c9925ad1cc7783856430bd9255a7b5b1a602a8ee8516",
    );
  },
);

t.test("no bytes make the bundle parser fail in another way", async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), (bytes, width) => {
      for (const parse of [decodeBundle, bundlePrefix]) {
        try {
          parse(bytes, width);
        } catch (error) {
          if ((error as { code?: string }).code !== "LOG_INCONSISTENT") return false;
        }
      }
      return true;
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: "binary", maxLength: 60 }), (path) => {
      const parsed = parseTilePath(path);
      return parsed === null || formatTilePath(parsed) === path;
    }),
  );
});
