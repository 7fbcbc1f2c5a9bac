import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { ServerProcess } from "../support/server-process.ts";
import { type Checkpoint, type LogVerifierKey, openCheckpoint } from "../../src/tlog/checkpoint.ts";
import { checkConsistency, proveConsistency } from "../../src/tlog/prove.ts";
import { tileHashReader } from "../../src/tlog/tiles.ts";
import { DirectoryLogReader, type LogReader, TileCache } from "../../src/verify/log-reader.ts";

const POLL_MS = 50;
const NOTHING = { size: 0, root: new Uint8Array() } as const;

/** Asks a server for its checkpoint again and again, over its deaths, and keeps every one that it ever served, as an auditor with a good memory. */
export class ServedCheckpoints {
  readonly #notes = new Set<string>();
  readonly #server: () => ServerProcess;
  readonly #polling: Promise<void>;
  #isStopped = false;

  constructor(server: () => ServerProcess) {
    this.#server = server;
    this.#polling = this.#poll();
  }

  get count(): number {
    return this.#notes.size;
  }

  async stop(): Promise<void> {
    this.#isStopped = true;
    await this.#polling;
  }

  async #poll(): Promise<void> {
    while (!this.#isStopped) {
      try {
        const { api } = this.#server().ports;
        const response = await fetch(`http://127.0.0.1:${api}/log/checkpoint`);
        if (response.status === 200) this.#notes.add(await response.text());
      } catch {
        // It is dead, or has just died.
      }
      await setTimeout(POLL_MS);
    }
  }

  /**
   * Those that disagree: not signed by `key`, or no beginning of the one after it, by a consistency proof from the tiles in `dataDirectory`.
   * Each in a sentence.
   */
  async disagreements(dataDirectory: string, key: LogVerifierKey): Promise<string[]> {
    return disagreementsOf(
      [...this.#notes],
      key,
      new DirectoryLogReader(join(dataDirectory, "log")),
    );
  }
}

/** See ServedCheckpoints. The newest checkpoint in `log` is one of them. */
export async function disagreementsOf(
  notes: readonly string[],
  key: LogVerifierKey,
  log: LogReader,
): Promise<string[]> {
  const found: string[] = [];
  const checkpoints: Pick<Checkpoint, "size" | "root">[] = [];
  const tiles = new TileCache(log);
  for (const note of [...notes, (await log.checkpoint()) ?? ""]) {
    try {
      checkpoints.push(openCheckpoint(note, key.name, [key]));
    } catch (error) {
      found.push(`${JSON.stringify(note)}: ${(error as Error).message}`);
    }
  }
  const newest = checkpoints.reduce((a, b) => (b.size > a.size ? b : a), NOTHING);
  const reader = tileHashReader(newest.size, async (tile) => {
    const bytes = await tiles.tile(tile);
    if (bytes === null) throw new Error(`no tile ${tile.level}/${tile.index}`);
    return bytes;
  });
  // What agrees with the newest one agrees with all others that do.
  for (const { size, root } of checkpoints) {
    try {
      const proof = await proveConsistency(size, newest.size, reader);
      checkConsistency(proof, size, root, newest.size, newest.root);
    } catch (error) {
      found.push(`${size} and ${newest.size} leaves: ${(error as Error).message}`);
    }
  }
  return found;
}
