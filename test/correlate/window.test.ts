import t from "tap";
import { KEY_WORDS, SIDES, Window, type Entry, type Side } from "../../src/correlate/window.ts";
import { seeded } from "./fixture.ts";

function entry(side: Side, key: readonly number[], leafIndex: number, extra = {}): Entry {
  return {
    side,
    key: Uint32Array.from(key),
    ids: new Uint32Array(6).fill(leafIndex),
    leafIndex,
    arrivedMs: leafIndex / 2,
    receivedMs: leafIndex / 4,
    startLow: leafIndex,
    startHigh: 7,
    isExpected: false,
    subject: leafIndex % 5,
    links: 0,
    ...extra,
  };
}

function found(window: Window, side: Side, key: readonly number[]): number[] {
  const words = Uint32Array.from(key);
  const leaves: number[] = [];
  window.seek(words);
  let slot = window.first(side, words);
  for (; slot >= 0; slot = window.following(slot, words)) leaves.push(window.leafIndex(slot));
  return leaves;
}

t.test("it holds what a Map would, over many random additions and removals", async (t) => {
  for (const [seed, maxRecords, keys] of [
    [1, 50, 10],
    [2, 1000, 400],
    [3, 40_000, 30_000],
    [4, 17_000, 3],
  ] as const) {
    const random = seeded(seed);
    const window = new Window(maxRecords);
    const keyOf = (n: number): number[] => [n, 0, n % 3, 0, 0, n * 7];
    const model: { side: Side; n: number; leafIndex: number; links: number }[] = [];
    let removed = 0;
    let leafIndex = 0;
    const steps = maxRecords * 3 + 2_000;
    for (let step = 0; step < steps; step++) {
      const live = model.length - removed;
      const grows = Math.floor(step / maxRecords) % 2 === 0 ? 0.7 : 0.4;
      if (live === maxRecords || (live > 0 && random() > grows)) {
        window.removeOldest();
        removed++;
      } else {
        const n = Math.floor(random() * keys);
        const side = random() < 0.5 ? SIDES.access : SIDES.span;
        leafIndex += 1 + Math.floor(random() * 3);
        const links = random() < 0.3 ? 2 : 0;
        const one = entry(side, keyOf(n), leafIndex, { links });
        window.seek(one.key);
        window.add(one);
        model.push({ side, n, leafIndex, links });
      }
      if (step % Math.ceil(steps / 400) !== 0) continue;
      const rest = model.slice(removed);
      if (window.size !== rest.length) return t.fail(`size ${window.size} of ${rest.length}`);
      const n = rest[Math.floor(random() * rest.length)]?.n ?? 0;
      for (const side of [SIDES.access, SIDES.span]) {
        const expected = rest.filter((one) => one.n === n && one.side === side).toReversed();
        const leaves = found(window, side, keyOf(n));
        if (leaves.join() !== expected.map((one) => one.leafIndex).join())
          return t.same(leaves, expected, `seed ${seed}, step ${step}`);
        for (const one of expected) {
          const slot = window.slotOf(one.leafIndex);
          if (window.leafIndex(slot) !== one.leafIndex || window.side(slot) !== side)
            return t.fail(`leaf ${one.leafIndex} is not where it should be`);
          if (window.links(slot) !== one.links) return t.fail("links differ");
        }
      }
      const [oldest] = rest;
      const slot = window.oldest;
      if (oldest === undefined ? slot !== -1 : window.leafIndex(slot) !== oldest.leafIndex)
        return t.fail("the oldest is another");
      if (window.slotOf(leafIndex + 1) !== -1) return t.fail("a leaf that is not there was found");
    }
    t.pass(`${steps} steps with ${keys} keys in a window of ${maxRecords}`);
  }
});

t.test("a record keeps what it came with", async (t) => {
  const window = new Window(100);
  const one = entry(SIDES.span, [1, 2, 3, 4, 5, 6], 9_007_199_254_740_990, {
    startLow: 0xffff_ffff,
    startHigh: 0x1234_5678,
    arrivedMs: 1_795_000_000_000.25,
    receivedMs: 1_795_000_000_000.125,
    isExpected: true,
    subject: 77,
  });
  window.seek(one.key);
  window.add(one);
  const slot = window.oldest;
  t.equal(window.leafIndex(slot), 9_007_199_254_740_990);
  t.equal(window.startNs(slot), 0x1234_5678_ffff_ffffn);
  t.equal(window.arrivedMs(slot), 1_795_000_000_000.25);
  t.equal(window.receivedMs(slot), 1_795_000_000_000.125);
  t.equal(window.subject(slot), 77);
  t.ok(window.isExpected(slot));
  const keeping = new Window(100, true);
  keeping.seek(one.key);
  keeping.add({ ...one, ids: Uint32Array.of(11, 12, 13, 0xffff_ffff, 15, 16) });
  t.same([...keeping.traceId(keeping.oldest)], [11, 12, 13, 0xffff_ffff]);
  t.ok(window.isBlind(slot));
  for (let i = 0; i < 300; i++) window.countLink(slot);
  t.equal(window.links(slot), 255, "the count stops");
  t.notOk(window.isBlind(slot));
});

t.test("keys that differ in one bit are not the same", async (t) => {
  const window = new Window(1000);
  const zero = new Uint32Array(KEY_WORDS);
  window.seek(zero);
  window.add(entry(SIDES.access, [...zero], 1));
  for (let word = 0; word < KEY_WORDS; word++) {
    for (let bit = 0; bit < 32; bit++) {
      const key = [...zero];
      key[word] = 2 ** bit;
      if (found(window, SIDES.access, key).length > 0) return t.fail(`word ${word}, bit ${bit}`);
    }
  }
  t.same(found(window, SIDES.access, [...zero]), [1]);
  t.same(found(window, SIDES.span, [...zero]), [], "nor is the other side");
});
