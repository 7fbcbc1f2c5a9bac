import { registerHooks } from "node:module";

/**
 * Puts a disk in memory under the modules of the durable path, for this process alone: whatever they import as node:fs, node:fs/promises and
 * node:worker_threads is what stands beside this file. Production code knows nothing of it.
 */

/** Modules that keep something on disk. The lock of the directory stays real: it is no file that a crash could leave half. */
const HOOKED =
  /\/src\/(?:journal\/\w+|seal\/(?!lock\b)[\w-]+|store\/(?:quarantine|stored-mark)|verify\/log-reader)\.ts/;
const STAND_INS: Readonly<Record<string, string>> = {
  "node:fs": "./node-fs.ts",
  "node:fs/promises": "./node-fs-promises.ts",
  "node:worker_threads": "./node-worker-threads.ts",
};

/** From here on; what was imported before keeps the real one. */
export function putDiskUnderneath(): void {
  registerHooks({
    resolve(specifier, context, next) {
      const standIn = STAND_INS[specifier];
      const importer = context.parentURL;
      if (standIn === undefined || importer === undefined || !HOOKED.test(importer))
        return next(specifier, context);
      const { search } = new URL(importer);
      const file =
        specifier === "node:worker_threads" && search !== "" ? "./inside-worker.ts" : standIn;
      return {
        url: new URL(`${file}${file === standIn ? "" : search}`, import.meta.url).href,
        shortCircuit: true,
      };
    },
  });
}
