// Appends to the journal in argv[2] from several loops at once until it is killed; says on stdout what was acknowledged and released.
import { writeSync } from "node:fs";
import { Journal } from "../../src/journal/journal.ts";
import { makeBatch, options, seeded } from "./fixture.ts";

const LOOPS = 8;
const [directory, firstSeed] = [process.argv[2]!, Number(process.argv[3])];
const random = seeded(firstSeed);
const journal = await Journal.open(options({ directory, segmentBytes: 200_000 }));
let seed = firstSeed;

async function appendForEver(): Promise<never> {
  for (;;) {
    const mine = seed++;
    const batch = makeBatch(
      mine,
      [1 + Math.floor(random() * 20), 3],
      20 + Math.floor(random() * 500),
    );
    const { placed, durable } = journal.append(batch, {
      signal: "logs",
      key: null,
      receivedAtNs: 0n,
      rejected: 0,
      message: `seed ${mine}`,
      sender: "",
      cut: 0,
    });
    await durable;
    writeSync(1, `acknowledged ${placed.firstIndex} ${mine}\n`);
    if (mine % 40 === 0) {
      const below = Math.max(0, placed.firstIndex - 300);
      writeSync(1, `released ${below}\n`);
      await journal.release(below);
    }
  }
}

await Promise.all(Array.from({ length: LOOPS }, appendForEver));
