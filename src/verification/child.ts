import { verifyDirectory } from "../cli/verify.ts";
import type { VerificationAnswer, VerificationTask } from "./process.ts";

/**
 * The process of one scheduled verification, started by process.ts: it gets its task, sends its answer and ends. It runs the code of
 * `meshproof verify`, ends with its parent, however that came, and changes nothing but the state file of incremental runs.
 */

/** A quarter of what the command takes at once: memory counts for more than speed here. */
const WINDOW_LEAVES = 262_144;
const STORE_SETTINGS = {
  max_threads: 1,
  // When this process is ended, so is what ClickHouse does for it.
  cancel_http_readonly_queries_on_client_close: 1,
};

process.on("disconnect", end);
if (!process.connected) end();
// A terminal signals the whole group: the parent ends this process when it stops.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});
process.once("message", (task) => void run(task as VerificationTask));

async function run({ config, key, state, isFull }: VerificationTask): Promise<void> {
  let answer: VerificationAnswer;
  try {
    const run = { windowLeaves: WINDOW_LEAVES, settings: STORE_SETTINGS };
    answer = { report: await verifyDirectory(config, { key, ...(isFull ? {} : { state }) }, run) };
  } catch (error) {
    answer = { error: (error as Error).message };
  }
  process.send!(answer, end);
}

function end(): void {
  process.kill(process.pid, "SIGKILL");
}
