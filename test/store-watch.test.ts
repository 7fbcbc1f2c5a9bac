import t from "tap";
import { StoreWatch } from "../src/store-watch.ts";

function setUp() {
  const state = { now: 0, underWayMs: 0 };
  const watch = new StoreWatch({
    alarmMs: 5_000,
    stallMs: 15_000,
    underWayMs: () => state.underWayMs,
    now: () => state.now,
  });
  return { state, watch };
}

t.test("a store that refuses is failing after a while, until it takes rows again", async (t) => {
  const { state, watch } = setUp();
  t.same([watch.isFailing, watch.detail], [false, "answers"]);
  state.now = 100_000;
  watch.attempted(true);
  t.notOk(watch.isFailing, "a hiccup is not worth an alarm");
  state.now += 4_999;
  watch.attempted(true);
  t.notOk(watch.isFailing);
  state.now += 1;
  t.same([watch.isFailing, watch.detail], [true, "has failed for 5 s"]);
  watch.attempted(false);
  t.same([watch.isFailing, watch.detail], [false, "answers"]);
});

t.test("a store that takes a batch and never answers is failing too", async (t) => {
  const { state, watch } = setUp();
  state.underWayMs = 14_999;
  t.notOk(watch.isFailing, "a slow one may take seconds");
  state.underWayMs = 15_000;
  t.same([watch.isFailing, watch.detail], [true, "rows have been on their way for 15 s"]);
  state.underWayMs = 0;
  t.notOk(watch.isFailing);
});
