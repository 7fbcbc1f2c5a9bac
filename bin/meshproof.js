#!/usr/bin/env node
// Starts meshproof with a Node that can run it. Plain JavaScript, so that an old Node gets far enough to say what is needed.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const NEEDED = [22, 18];

const version = process.versions.node.split(".").map(Number);
const isNew = version[0] > NEEDED[0] || (version[0] === NEEDED[0] && version[1] >= NEEDED[1]);

function fromRoot(path) {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}

if (isNew) {
  // Node would exit with 1, which here says that a check failed.
  process.on("uncaughtException", (error) => {
    console.error("meshproof:", error);
    process.exit(3);
  });
  // A clone runs its TypeScript as it is; the package has JavaScript only, for Node strips no types under node_modules.
  const source = existsSync(fromRoot("src/cli/index.ts"))
    ? "../src/cli/index.ts"
    : "../dist/cli/index.js";
  const { main } = await import(new URL(source, import.meta.url).href);
  // `meshproof … | head` closes our output early; that is no error.
  process.stdout.on("error", (error) => process.exit(error.code === "EPIPE" ? 0 : 3));
  const code = await main(process.argv.slice(2), process, process.env);
  // A pipe takes no more than its reader does, and what still waits for it would end with us.
  for (const stream of [process.stdout, process.stderr])
    if (stream.writableLength > 0) await new Promise((done) => stream.write("", () => done()));
  process.exit(code);
} else {
  const ours = fromRoot("node_modules/node/bin/node");
  if (process.env.MESHPROOF_REEXEC !== undefined || !existsSync(ours)) {
    console.error(
      `meshproof: expected Node ${NEEDED.join(".")} or newer, got ${process.versions.node}. In a clone, \`npm ci\` brings one along.`,
    );
    process.exit(3);
  }
  // The npm package `node`, which `npm ci` puts into a clone.
  const child = spawn(ours, process.argv.slice(1), {
    stdio: "inherit",
    env: { ...process.env, MESHPROOF_REEXEC: "1" },
  });
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"])
    process.on(signal, () => child.kill(signal));
  child.on("error", (error) => {
    console.error(`meshproof: ${ours}: ${error.message}`);
    process.exit(3);
  });
  child.on("exit", (code, signal) => {
    if (signal === null) process.exit(code);
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });
}
