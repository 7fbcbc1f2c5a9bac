import { readFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";
import { dirname, join, relative, resolve } from "node:path";

const SRC = resolve(import.meta.dirname, "../../src");
const IMPORT = /(\bfrom\s+|^\s*import\s+)"(\.[^"]+)"/gm;

/**
 * The verifier for browsers as JavaScript modules by name: `meshproof/verifier` and all that it reaches, `meshproof/tlog/note` and so on. They import
 * one another by these names, so that an import map can say where they are.
 */
export function verifierModules(): ReadonlyMap<string, string> {
  const modules = new Map<string, string>();
  const visit = (file: string): void => {
    const name = nameOf(file);
    if (modules.has(name)) return;
    const javascript = stripTypeScriptTypes(readFileSync(file, "utf8"));
    const found: string[] = [];
    modules.set(
      name,
      javascript.replace(IMPORT, (_, before: string, specifier: string) => {
        const target = join(dirname(file), specifier);
        found.push(target);
        return `${before}"${nameOf(target)}"`;
      }),
    );
    found.forEach(visit);
  };
  visit(join(SRC, "verifier.ts"));
  return modules;
}

function nameOf(file: string): string {
  return `meshproof/${relative(SRC, file).replace(/\.ts$/, "")}`;
}
