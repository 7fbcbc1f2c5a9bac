import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";

/** What the system says of its time synchronisation, without being asked a question that could hang. */
export interface NtpState {
  /**
   * synchronized: its daemon says so; disciplined: its daemon has lately written down how fast the clock goes, which it does while it follows a source;
   * unsynchronized: the daemon runs and has had no answer for long, or never; unknown: nothing says it.
   */
  readonly state: "synchronized" | "disciplined" | "unsynchronized" | "unknown";
  /** Who said it; empty where nobody did. */
  readonly source: "systemd-timesyncd" | "chrony" | "ntpd" | "";
  /** When it was said, in milliseconds since the epoch; null where it never was. */
  readonly atMs: number | null;
}

/** timesyncd asks every 34 minutes at the latest, chrony and ntpd write each hour. */
const FRESH_MS = 3 * 3_600_000;
const NOTHING: NtpState = { state: "unknown", source: "", atMs: null };

const TIMESYNCD = "run/systemd/timesync";
/** Where distributions have the files in which a daemon notes the clock's rate. */
const DRIFT_FILES = [
  ["chrony", "var/lib/chrony/drift"],
  ["chrony", "var/lib/chrony/chrony.drift"],
  ["ntpd", "var/lib/ntp/drift"],
  ["ntpd", "var/lib/ntp/ntp.drift"],
  ["ntpd", "var/lib/ntpsec/ntp.drift"],
] as const;

/**
 * Looks at the files that time daemons leave on Linux. Below `root` for tests.
 * Source: systemd-timesyncd.service(8), "Files": `synchronized` is touched at each synchronisation; chrony.conf(5), driftfile; ntp.conf(5), driftfile.
 */
export async function readNtpState(nowMs: number, root = "/"): Promise<NtpState> {
  const isFresh = (atMs: number): boolean => nowMs - atMs <= FRESH_MS;
  for (const [source, path] of DRIFT_FILES) {
    const atMs = await changedMs(join(root, path));
    if (atMs !== null && isFresh(atMs)) return { state: "disciplined", source, atMs };
  }
  if ((await changedMs(join(root, TIMESYNCD))) === null) return NOTHING;
  const atMs = await changedMs(join(root, TIMESYNCD, "synchronized"));
  const state = atMs !== null && isFresh(atMs) ? "synchronized" : "unsynchronized";
  return { state, source: "systemd-timesyncd", atMs };
}

/** The clock that the kernel counts with (`tsc`, `kvm-clock`); empty where nothing tells it. */
export async function readClockSource(root = "/"): Promise<string> {
  const path = "sys/devices/system/clocksource/clocksource0/current_clocksource";
  return readFile(join(root, path), "utf8").then(
    (text) => text.trim().slice(0, 64),
    () => "",
  );
}

async function changedMs(path: string): Promise<number | null> {
  return stat(path).then(
    ({ mtimeMs }) => mtimeMs,
    () => null, // not there, or not for us to see: nothing says anything
  );
}

/** The state of time synchronisation as it was a minute ago at most, once `refresh` has been called each minute. Never waits. */
export class NtpWatch {
  readonly #root: string | undefined;
  #state = NOTHING;
  #isReading = false;

  constructor(root?: string) {
    this.#root = root;
  }

  get state(): NtpState {
    return this.#state;
  }

  /** Looks again, unless the last look has not ended yet. */
  async refresh(nowMs: number): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    this.#state = await readNtpState(nowMs, this.#root);
    this.#isReading = false;
  }
}
