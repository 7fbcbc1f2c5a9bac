import t from "tap";
import { parseLeafRanges } from "../../src/tlog/leaf-ranges.ts";

t.test("leaf indexes are named alone and as ranges, in any order", async (t) => {
  t.same(parseLeafRanges("7", 10), [7]);
  t.same(parseLeafRanges("0-3", 10), [0, 1, 2, 3]);
  t.same(parseLeafRanges("9,2-4,3-5,9", 10), [2, 3, 4, 5, 9]);
  t.same(parseLeafRanges("9007199254740991", 1), [Number.MAX_SAFE_INTEGER]);
});

t.test("other forms and more than the bound are refused", async (t) => {
  for (const text of [
    "",
    ",",
    "1,",
    "a",
    "-1",
    "1-",
    "1-2-3",
    "3-2",
    "01",
    "1.5",
    " 1",
    "1e3",
    "9007199254740992",
  ])
    t.equal(parseLeafRanges(text, 10), null, JSON.stringify(text));
  t.equal(parseLeafRanges("0-9", 10)?.length, 10);
  t.equal(parseLeafRanges("0-10", 10), null);
  t.equal(parseLeafRanges("0-9,10", 10), null);
  t.equal(parseLeafRanges("0-9007199254740991", 10), null);
});
