import { appendFileSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Journal } from "../../src/journal/journal.ts";
import { readJournal } from "../../src/journal/read-only.ts";
import { makeBatch, makeMeta, options, temporaryDirectory } from "./fixture.ts";

/** A journal of 40 frames of 5 rows in several segments, closed. */
async function filled(t: Test): Promise<string> {
  const directory = temporaryDirectory(t);
  const journal = await Journal.open(options({ directory, segmentBytes: 2000 }));
  for (let frame = 0; frame < 40; frame++)
    await journal.append(makeBatch(frame, [2, 3]), makeMeta(frame)).durable;
  await journal.close();
  t.ok(readdirSync(directory).filter((name) => name.endsWith(".frames")).length > 3);
  return directory;
}

async function rangesOf(directory: string, from: number, to: number): Promise<number[]> {
  const found: number[] = [];
  for await (const { firstIndex, sections } of readJournal(directory, from, to)) {
    t.same(
      sections.map(({ hashes }) => Buffer.from(hashes).toString("hex")),
      makeBatch(firstIndex / 5, [2, 3]).sections.map(({ hashes }) =>
        Buffer.from(hashes).toString("hex"),
      ),
    );
    found.push(firstIndex);
  }
  return found;
}

t.test("the frames that hold a range come in order, and no others", async (t) => {
  const directory = await filled(t);
  const all = Array.from({ length: 40 }, (_, frame) => frame * 5);
  t.same(await rangesOf(directory, 0, Infinity), all);
  for (const [from, to] of [
    [0, 1],
    [4, 5],
    [4, 6],
    [37, 122],
    [199, 200],
    [200, 300],
    [50, 50],
  ] as const) {
    const expected = all.filter((first) => first < to && first + 5 > from);
    t.same(await rangesOf(directory, from, to), from === to ? [] : expected, `${from} to ${to}`);
  }
});

t.test("a torn end ends it, and is left as it is", async (t) => {
  const directory = await filled(t);
  const last = join(
    directory,
    readdirSync(directory)
      .filter((name) => name.endsWith(".frames"))
      .sort()
      .at(-1)!,
  );
  appendFileSync(last, readFileSync(last).subarray(32, 90));
  const { size } = statSync(last);
  t.equal((await rangesOf(directory, 0, Infinity)).length, 40);
  t.equal(statSync(last).size, size);
  writeFileSync(join(directory, "0000000000000200.frames"), "torn");
  t.equal((await rangesOf(directory, 0, Infinity)).length, 40);
});

t.test("without a journal there is nothing", async (t) => {
  t.same(await rangesOf(join(temporaryDirectory(t), "none"), 0, Infinity), []);
});
