import { availableParallelism, cpus } from "node:os";
import { benchDecode } from "./decode.bench.ts";
import { benchDialects } from "./dialects.bench.ts";
import { benchForward } from "./forward.bench.ts";
import { benchJournal } from "./journal.bench.ts";
import { benchPeer } from "./peer.bench.ts";
import { benchProcess } from "./process.bench.ts";
import { benchSize } from "./size.bench.ts";
import { benchVerify } from "./verify.bench.ts";

/** `npm run bench [name …]`: prints tables of medians. Absolute figures are the machine's; ratios within a table hold elsewhere too. */
const BENCHES: Readonly<Record<string, () => Promise<void>>> = {
  decode: benchDecode,
  dialects: benchDialects,
  forward: benchForward,
  journal: benchJournal,
  process: benchProcess,
  peer: benchPeer,
  size: benchSize,
  verify: benchVerify,
};

const names = process.argv.slice(2);
for (const name of names) {
  if (BENCHES[name] === undefined) {
    console.error(`expected one of ${Object.keys(BENCHES).join(", ")}, got ${name}`);
    process.exit(2);
  }
}
console.log(
  `Node ${process.version}, ${availableParallelism()} cores, ${cpus()[0]?.model ?? "unknown processor"}`,
);
for (const [name, bench] of Object.entries(BENCHES)) {
  if (names.length === 0 || names.includes(name)) await bench();
}
