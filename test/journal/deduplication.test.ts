import fc from "fast-check";
import t from "tap";
import { DeduplicationWindow } from "../../src/journal/deduplication.ts";
import { keyOf } from "./fixture.ts";

const fine = { rejected: 0, message: "" };

t.test(
  "a batch sent again while the first is in flight waits and gets the same answer, later ones at once",
  async (t) => {
    const window = new DeduplicationWindow({ maxKeys: 10 });
    t.strictSame(window.claim(keyOf(1)), { state: "new" });
    const [second, third] = [window.claim(keyOf(1)), window.claim(keyOf(1))];
    if (second.state !== "in_flight" || third.state !== "in_flight")
      throw t.fail("expected to wait");
    t.strictSame(window.claim(keyOf(2)), { state: "new" }, "another batch does not wait");
    const answer = { rejected: 3, message: "3 records have no time" };
    window.settle(keyOf(1), answer);
    t.strictSame(await Promise.all([second.result, third.result]), [answer, answer]);
    t.strictSame(window.claim(keyOf(1)), { state: "done", answer });
  },
);

t.test(
  "a batch that was refused is forgotten: those who wait get the reason, the next one begins anew",
  async (t) => {
    const window = new DeduplicationWindow({ maxKeys: 10 });
    window.claim(keyOf(1));
    const waiting = window.claim(keyOf(1));
    window.claim(keyOf(2));
    window.claim(keyOf(3));
    window.claim(keyOf(3)); // waits, then hangs up
    window.abandon(keyOf(3), new Error("nobody hears this one"));
    window.abandon(keyOf(1), new Error("full"));
    window.abandon(keyOf(2), new Error("nobody waits for this one"));
    if (waiting.state !== "in_flight") throw t.fail("expected to wait");
    await t.rejects(waiting.result, { message: "full" });
    t.strictSame(window.claim(keyOf(1)), { state: "new" });
    t.throws(
      () => window.settle(keyOf(9), fine),
      { code: "ERR_ASSERTION" },
      "nobody settles what was not claimed",
    );
    t.throws(() => window.abandon(keyOf(9), new Error()), { code: "ERR_ASSERTION" });
  },
);

t.test(
  "a key is known up to the end of the window, counted from when it was received, and not after",
  async (t) => {
    let now = 1_000;
    const window = new DeduplicationWindow({ windowMs: 100, maxKeys: 1_000, clock: () => now });
    window.restore(keyOf(1), 899, fine);
    window.restore(keyOf(2), 900, { rejected: 1, message: "restored" });
    t.equal(window.size, 1, "what is too old is not restored");
    t.strictSame(window.claim(keyOf(2)), {
      state: "done",
      answer: { rejected: 1, message: "restored" },
    });
    for (let number = 10; number < 500; number++) {
      window.claim(keyOf(number));
      window.settle(keyOf(number), fine);
    }
    now = 1_100;
    t.equal(window.claim(keyOf(499)).state, "done");
    now = 1_101;
    t.equal(window.claim(keyOf(499)).state, "new", "also before its place in the ring was freed");
    window.settle(keyOf(499), { rejected: 2, message: "again" });
    for (let number = 1_000; number < 1_100; number++) window.claim(keyOf(number));
    t.equal(window.size, 1, "old keys go a few at a time");
    t.strictSame(
      window.claim(keyOf(499)),
      { state: "done", answer: { rejected: 2, message: "again" } },
      "the older entry of the same key took nothing with it",
    );
  },
);

t.test("it never holds more than its bound, and the oldest go first", async (t) => {
  const window = new DeduplicationWindow({ maxKeys: 101 });
  for (let number = 0; number < 1_000; number++) {
    window.claim(keyOf(number));
    window.settle(keyOf(number), {
      rejected: number,
      message: number % 2 === 0 ? "" : `${number}`,
    });
    t.equal(window.size, Math.min(101, number + 1));
  }
  for (let number = 899; number < 1_000; number++) {
    t.strictSame(window.claim(keyOf(number)), {
      state: "done",
      answer: { rejected: number, message: number % 2 === 0 ? "" : `${number}` },
    });
  }
  for (let number = 0; number < 899; number++) t.equal(window.claim(keyOf(number)).state, "new");
});

t.test("it agrees with a plain list of keys and times, for any order of calls", async () => {
  // Keys share their first bytes in groups of four, so that they collide in the table.
  const keyFor = (number: number) =>
    Buffer.alloc(32, 0)
      .fill(number >> 2, 0, 4)
      .fill(number, 28, 32);
  const call = fc.record({
    number: fc.integer({ min: 0, max: 40 }),
    waitMs: fc.integer({ min: 0, max: 4 }),
  });
  fc.assert(
    fc.property(
      fc.array(call, { maxLength: 200 }),
      fc.integer({ min: 1, max: 12 }),
      (calls, maxKeys) => {
        let now = 0;
        const window = new DeduplicationWindow({ windowMs: 40, maxKeys, clock: () => now });
        const model: { number: number; time: number; serial: number }[] = [];
        for (const [serial, { number, waitMs }] of calls.entries()) {
          now += waitMs;
          const known = model
            .slice(-maxKeys)
            .findLast((entry) => entry.number === number && entry.time >= now - 40);
          const claim = window.claim(keyFor(number));
          if (known !== undefined) {
            if (claim.state !== "done" || claim.answer.rejected !== known.serial) return false;
          } else {
            if (claim.state !== "new") return false;
            window.settle(keyFor(number), { rejected: serial, message: "" });
            model.push({ number, time: now, serial });
          }
        }
        return true;
      },
    ),
    { numRuns: 300 },
  );
});
