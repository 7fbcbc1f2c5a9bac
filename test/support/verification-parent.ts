import { spawn } from "node:child_process";
import { resolve } from "node:path";

/** A process that starts the one of a verification, says its id and does nothing more: a test kills it. */
const script = resolve(import.meta.dirname, "../../src/verification/child.ts");
const child = spawn(process.execPath, [script], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
process.stdout.write(`${child.pid}\n`);
setInterval(() => {}, 1000);
