import t from "tap";
import {
  type ClockJump,
  type ClockReading,
  ClockWatch,
  readClock,
} from "../../src/telemetry/clock.ts";

/** A machine whose clocks do as they are told, and its watch with a bound of 500 ms. */
function machine({ hasUptime = true } = {}) {
  const clock = { wallMs: 1_800_000_000_000, monotonicMs: 5_000, bootMs: 90_000, uncertaintyMs: 0 };
  const jumps: ClockJump[] = [];
  const watch = new ClockWatch({
    maxJumpMs: 500,
    onJump: (jump) => jumps.push(jump),
    read: (): ClockReading => ({ ...clock, bootMs: hasUptime ? clock.bootMs : null }),
  });
  /** Time goes on; the wall clock goes `wallMs` further than that. */
  const pass = (ms: number, wallMs = 0): void => {
    clock.monotonicMs += ms;
    clock.bootMs += ms;
    clock.wallMs += ms + wallMs;
    watch.sample();
  };
  return { clock, jumps, watch, pass };
}

t.test("a step above the bound is a jump, once, either way, with what was and is", async (t) => {
  const { clock, jumps, watch, pass } = machine();
  pass(1000);
  pass(1000, 500);
  t.same(jumps, [], "the bound itself is none");
  pass(1000, -500);
  pass(1000, 3_600_000);
  const forward = { direction: "forward", afterMs: clock.wallMs } as const;
  t.match(jumps, [forward]);
  t.ok(Math.abs(jumps[0]!.byMs - 3_600_000) < 2);
  t.equal(jumps[0]!.afterMs - jumps[0]!.beforeMs, jumps[0]!.byMs);
  pass(1000);
  t.equal(jumps.length, 1);
  pass(1000, -7_200_000);
  t.match(jumps[1], { direction: "backward", afterMs: clock.wallMs });
  t.ok(Math.abs(jumps[1]!.byMs - 7_200_000) < 2);
  t.match(watch.state(), { jumps: 2, offsetMs: -3_600_000, elapsedMs: 6000, suspendedMs: 0 });
  t.ok(Math.abs(watch.state().driftMs) < 2);
});

t.test("a clock that is slewed has drifted, not jumped, whatever it comes to", async (t) => {
  const { jumps, watch, pass } = machine();
  for (let second = 0; second < 4 * 3600; second++) pass(1000, 0.5);
  t.same(jumps, []);
  t.match(watch.state(), { driftMs: 7200, offsetMs: 7200, jumps: 0 });
});

t.test("small steps add up: a clock that is crept away is found", async (t) => {
  const { jumps, pass } = machine();
  for (let second = 0; second < 60; second++) pass(1000, -100);
  t.ok(jumps.length >= 9, `${jumps.length}`);
  t.ok(jumps.every(({ direction }) => direction === "backward"));
});

t.test("sleep is no jump where the uptime tells of it, and one where nothing does", async (t) => {
  for (const hasUptime of [true, false]) {
    const { clock, jumps, watch, pass } = machine({ hasUptime });
    pass(1000);
    clock.bootMs += 60_000;
    pass(1000, 60_000);
    pass(1000);
    t.equal(jumps.length, hasUptime ? 0 : 1);
    t.equal(watch.state().suspendedMs, hasUptime ? 60_000 : 0);
  }
  const { clock, jumps, pass } = machine();
  clock.bootMs += 60_000;
  pass(1000, 0);
  t.match(jumps, [{ direction: "backward", byMs: 60_000 }], "and a clock that slept with it lags");
});

t.test("a reading that was interrupted says nothing", async (t) => {
  const { clock, jumps, pass } = machine();
  clock.uncertaintyMs = 251;
  pass(1000, 5000);
  t.same(jumps, []);
  clock.uncertaintyMs = 250;
  pass(1000);
  t.equal(jumps.length, 1, "the next one does");
});

t.test("the clocks of this machine are read", async (t) => {
  const [first, second] = [readClock(), readClock()];
  t.ok(Math.abs(first.wallMs - Date.now()) < 60_000);
  t.ok(second.monotonicMs >= first.monotonicMs && first.uncertaintyMs >= 0);
  t.equal(typeof first.bootMs, process.platform === "linux" ? "number" : "object");
  const jumps: ClockJump[] = [];
  const watch = new ClockWatch({ maxJumpMs: 500, onJump: (jump) => jumps.push(jump) });
  watch.start();
  watch.sample();
  watch.stop();
  t.same(jumps, []);
  t.ok(watch.state().elapsedMs >= 0);
});
