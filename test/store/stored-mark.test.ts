import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { readStoredThrough, StoredMark } from "../../src/store/stored-mark.ts";

t.test("the mark says how far rows were stored, from the end of a server on", async (t) => {
  const directory = t.testdir({ state: {} });
  t.equal(readStoredThrough(directory), 0, "nothing said");
  const mark = new StoredMark(directory);
  mark.reached(10);
  mark.reached(1_234);
  await mark.close();
  t.equal(readStoredThrough(directory), 1_234);
  await new StoredMark(directory).close();
  t.equal(readStoredThrough(directory), 1_234, "who has stored nothing says nothing");
});

t.test("a mark that cannot be read or written says nothing and harms nothing", async (t) => {
  const directory = t.testdir({ state: {} });
  for (const text of ["", "12", "x\n", "-1\n", "99999999999999999999\n"]) {
    writeFileSync(join(directory, "state", "stored"), text);
    t.equal(readStoredThrough(directory), 0, JSON.stringify(text));
  }
  const other = t.testdir({});
  mkdirSync(other, { recursive: true });
  const mark = new StoredMark(other);
  mark.reached(5);
  await mark.close();
  t.equal(readStoredThrough(other), 0);
});
