import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { TABLES } from "../../src/records/columns.ts";
import { TreeBuilder } from "../../src/tlog/builder.ts";
import { formatCheckpoint } from "../../src/tlog/checkpoint.ts";
import { keyId, signNote, type NoteSigner, type VerifierKey } from "../../src/tlog/note.ts";
import { formatTilePath, type TilePath } from "../../src/tlog/tiles.ts";
import type { LogReader } from "../../src/verify/log-reader.ts";
import { rowOf } from "./rows.ts";
import { sha256 } from "./strangers-verifier.ts";

/** A log of real rows in memory. Leaf hashes are computed as the documents say, not by the code under test. */

export const ORIGIN = "meshproof.test/records";

/** A key that signs as `origin`. */
export function newKey(origin = ORIGIN): { signer: NoteSigner; key: VerifierKey } {
  const pair = generateKeyPairSync("ed25519");
  const publicKey = Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url");
  const id = keyId(origin, 1, publicKey);
  const signer: NoteSigner = {
    name: origin,
    keyId: id,
    sign: async (message) => sign(null, message, pair.privateKey),
  };
  return { signer, key: { name: origin, keyId: id, type: 1, publicKey } };
}

/** A witness that cosigns at `seconds` since the epoch. Source: C2SP tlog-cosignature, "cosignature/v1". */
export function newWitness(
  name: string,
  seconds: bigint,
): { signer: NoteSigner; key: VerifierKey } {
  const pair = generateKeyPairSync("ed25519");
  const publicKey = Buffer.from(pair.publicKey.export({ format: "jwk" }).x!, "base64url");
  const id = keyId(name, 4, publicKey);
  const signer: NoteSigner = {
    name,
    keyId: id,
    async sign(message) {
      const time = Buffer.alloc(8);
      time.writeBigUInt64BE(seconds);
      const signed = Buffer.concat([Buffer.from(`cosignature/v1\ntime ${seconds}\n`), message]);
      return Buffer.concat([time, sign(null, signed, pair.privateKey)]);
    },
  };
  return { signer, key: { name, keyId: id, type: 4, publicKey } };
}

/** Record `index`: the kinds take turns. */
export function rowAt(index: number): Uint8Array {
  const tables = Object.values(TABLES);
  const salt = createHash("sha256").update(`salt ${index}`).digest().subarray(0, 16);
  return rowOf(tables[index % tables.length]!, { Salt: salt, Timestamp: BigInt(index) });
}

export class RecordLog implements LogReader {
  readonly tiles = new Map<string, Uint8Array>();
  readonly #builder: TreeBuilder;
  readonly #signer: NoteSigner;
  note: string | null = null;

  constructor(signer: NoteSigner) {
    this.#signer = signer;
    this.#builder = new TreeBuilder((level, index, hashes) => {
      this.put({ level, index, width: 256 }, hashes);
    });
  }

  get size(): number {
    return this.#builder.size;
  }

  /** Seals these rows and signs the tree. */
  async seal(...rows: readonly Uint8Array[]): Promise<void> {
    for (const row of rows) this.#append(row);
    for (const { tile, hashes } of this.#builder.partials()) this.put(tile, hashes);
    const checkpoint = { origin: this.#signer.name, size: this.size, root: this.#builder.root() };
    this.note = await signNote(formatCheckpoint(checkpoint), [this.#signer]);
  }

  /** Seals records until there are `size`. */
  async growTo(size: number): Promise<void> {
    while (this.size < size) this.#append(rowAt(this.size));
    await this.seal();
  }

  #append(row: Uint8Array): void {
    this.#builder.append(sha256(Buffer.from([0, 1, row[1]!]), sha256(row)), 0);
  }

  put(path: TilePath, bytes: Uint8Array): void {
    this.tiles.set(formatTilePath(path), Uint8Array.from(bytes));
  }

  async checkpoint(): Promise<string | null> {
    return this.note;
  }

  async tile(path: TilePath): Promise<Uint8Array | null> {
    return this.tiles.get(formatTilePath(path)) ?? null;
  }
}
