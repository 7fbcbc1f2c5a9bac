import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { verifierModules } from "./modules.ts";

/** Writes docs/examples/verify-proof.html with the verifier in it, as one file that needs no server: `node docs/examples/build.ts verify-proof.html`. */

const IMPORT_MAP = /(<script type="importmap">)[^]*?(<\/script>)/;

/** The page with every module in its import map as a data: URL. */
export function buildPage(): string {
  const imports = Object.fromEntries(
    [...verifierModules()].map(([name, javascript]) => [
      name,
      `data:text/javascript;base64,${Buffer.from(javascript).toString("base64")}`,
    ]),
  );
  const page = readFileSync(join(import.meta.dirname, "verify-proof.html"), "utf8");
  return page.replace(IMPORT_MAP, (_, start: string, end: string) => {
    return `${start}${JSON.stringify({ imports }, null, 1)}${end}`;
  });
}

const [, program, target] = process.argv;
if (program === import.meta.filename) writeFileSync(target ?? "verify-proof.html", buildPage());
