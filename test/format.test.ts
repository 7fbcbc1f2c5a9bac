import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t, { type Test } from "tap";
import { COLUMN_TYPES } from "../src/records/columns.ts";

/**
 * docs/design/format.md, read by a program that was written from it and shares nothing with the code that made it. test/docs.test.ts holds that the
 * document is current; `npm run interop -- format` sets the same program against a running server.
 */

const DOCUMENT = resolve(import.meta.dirname, "../docs/design/format.md");
const PROGRAM = resolve(import.meta.dirname, "interop/format/formatcheck.py");
const hasPython = spawnSync("python3", ["--version"], { timeout: 60_000 }).status === 0;
const skip = !hasPython && "needs python3";
const text = readFileSync(DOCUMENT, "utf8");

function check(
  t: Test,
  document: string,
): { status: number | null; stdout: string; stderr: string } {
  const file = join(t.testdir({}), "format.md");
  writeFileSync(file, document);
  return spawnSync("python3", [PROGRAM, "document", file], { encoding: "utf8", timeout: 60_000 });
}

t.test("a decoder written from the document reads the document's bytes", { skip }, async (t) => {
  const { status, stdout } = check(t, text);
  t.equal(status, 0);
  t.strictSame(JSON.parse(stdout), { records: 6, kinds: [1, 2, 3, 4, 5, 6], proof: 4 });
});

t.test("and refuses them when one is another", { skip }, async (t) => {
  for (const [what, from, to, said] of [
    ["a column", /\| 18 \| `00 32/, "| 18 | `01 32", /row 0: the bytes of Timestamp/],
    ["an offset", /\| 38 \| `02/, "| 39 | `02", /row 0: Detail at 39/],
    ["a row", /row {7}0106/, "row       0206", /version 2/],
    ["a row hash", /row hash {2}7/, "row hash  8", /row 0: the hash/],
    ["an entry", /entry {5}0106/, "entry     0106f", /non-hexadecimal|entry/],
    ["a leaf hash", /leaf {6}8/, "leaf      9", /row 0: the leaf hash/],
    ["the bundle", /bundle {4}00220106/, "bundle    00220107", /the bundle/],
    ["the root", /^zw6b/m, "zw6c", /signature does not verify/],
    ["the signature", /HWG7TTBD/, "HWG7TTBE", /signature does not verify/],
    ["the proof", /^qNuv/m, "qNuw", /does not lead to the root/],
  ] as const) {
    const changed = text.replace(from, to);
    t.not(changed, text, `${what} is there to be changed`);
    const { status, stderr } = check(t, changed);
    t.equal(status, 1, what);
    t.match(stderr, said);
  }
});

t.test("every type of a column has its encoding in the document", async (t) => {
  for (const type of COLUMN_TYPES) t.ok(text.includes(`\n| ${type} | `), type);
});
