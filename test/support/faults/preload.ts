import fs from "node:fs";

/**
 * Makes calls of node:fs fail in a whole server: `node --import` of this file, with MESHPROOF_TEST_FAULTS naming a file. While that file holds
 * "CODE call …" these calls fail with that code; without it all is well. Loaded in the server and in its threads, never by production code.
 */

const control = process.env["MESHPROOF_TEST_FAULTS"];

/** Writes to the journal, its fsyncs, files of the log. */
export type FaultyCall = "writev" | "fdatasync" | "tile";

function fault(call: FaultyCall, syscall: string): Error | null {
  if (control === undefined) return null;
  let text: string;
  try {
    text = fs.readFileSync(control, "utf8");
  } catch {
    return null;
  }
  const [code, ...calls] = text.trim().split(" ");
  if (code === undefined || !calls.includes(call)) return null;
  return Object.assign(new Error(`${code}: injected, ${syscall}`), { code, syscall });
}

const { writev, fdatasync, openSync } = fs;
type Done = (error: Error | null) => void;

Object.assign(fs, {
  writev(...args: Parameters<typeof writev>) {
    const error = fault("writev", "write");
    if (error === null) writev(...args);
    else setImmediate(args.at(-1) as unknown as Done, error);
  },
  fdatasync(fd: number, done: Done) {
    const error = fault("fdatasync", "fdatasync");
    if (error === null) fdatasync(fd, done);
    else setImmediate(done, error);
  },
  openSync(...args: Parameters<typeof openSync>) {
    const error = args[1] === "wx" ? fault("tile", "open") : null;
    if (error !== null) throw error;
    return openSync(...args);
  },
});
