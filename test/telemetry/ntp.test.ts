import { utimesSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { NtpWatch, readClockSource, readNtpState } from "../../src/telemetry/ntp.ts";

const NOW = 1_800_000_000_000;
const HOUR = 3_600_000;

t.test("where nothing says it, it is unknown", async (t) => {
  const root = t.testdir({ var: { lib: { ntp: {} } } });
  t.same(await readNtpState(NOW, root), { state: "unknown", source: "", atMs: null });
  t.equal(await readClockSource(root), "");
});

t.test("systemd-timesyncd says when it synchronised last", async (t) => {
  const root = t.testdir({ run: { systemd: { timesync: {} } } });
  const said = { source: "systemd-timesyncd", atMs: null } as const;
  t.same(await readNtpState(NOW, root), { ...said, state: "unsynchronized" }, "never");
  const file = join(
    t.testdir({ run: { systemd: { timesync: { synchronized: "" } } } }),
    "run/systemd/timesync/synchronized",
  );
  for (const [ageMs, state] of [
    [HOUR, "synchronized"],
    [4 * HOUR, "unsynchronized"],
  ] as const) {
    utimesSync(file, (NOW - ageMs) / 1000, (NOW - ageMs) / 1000);
    t.same(await readNtpState(NOW, root), { ...said, state, atMs: NOW - ageMs });
  }
});

t.test("chrony and ntpd leave the clock's rate in a file while they follow a source", async (t) => {
  const sys = {
    devices: { system: { clocksource: { clocksource0: { current_clocksource: "kvm-clock\n" } } } },
  };
  for (const [source, folder, name] of [
    ["chrony", "chrony", "drift"],
    ["chrony", "chrony", "chrony.drift"],
    ["ntpd", "ntp", "ntp.drift"],
    ["ntpd", "ntpsec", "ntp.drift"],
  ] as const) {
    const root = t.testdir({ var: { lib: { [folder]: { [name]: "-12.3 0.1\n" } } }, sys });
    const file = join(root, "var/lib", folder, name);
    utimesSync(file, (NOW - HOUR) / 1000, (NOW - HOUR) / 1000);
    const expected = { state: "disciplined", source, atMs: NOW - HOUR };
    t.same(await readNtpState(NOW, root), expected);
    t.match(
      await readNtpState(NOW + 5 * HOUR, root),
      { state: "unknown" },
      "an old file says nothing",
    );
    t.equal(await readClockSource(root), "kvm-clock");
    const watch = new NtpWatch(root);
    t.match(watch.state, { state: "unknown" });
    await Promise.all([watch.refresh(NOW), watch.refresh(0)]);
    t.same(watch.state, expected);
  }
});
