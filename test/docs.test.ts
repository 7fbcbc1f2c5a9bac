import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { GENERATED } from "../docs/generate.ts";
import { loadConfig } from "../src/config/load.ts";
import { ERRORS } from "../src/core/errors.ts";

const ROOT = resolve(import.meta.dirname, "..");

function textOf(folder: string): string {
  return readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts") && !file.endsWith("core/errors.ts"))
    .map((file) => readFileSync(join(ROOT, folder, file), "utf8"))
    .join("\n");
}

t.test("generated files are current (npm run generate)", async (t) => {
  for (const [path, generate] of Object.entries(GENERATED))
    t.equal(readFileSync(join(ROOT, path), "utf8"), generate(), path);
});

t.test("every error code is thrown somewhere and tested somewhere", async (t) => {
  const source = textOf("src");
  const tests = textOf("test");
  for (const code of Object.keys(ERRORS)) {
    t.match(source, new RegExp(`["']${code}["']`), `${code} is thrown`);
    t.match(tests, new RegExp(`\\b${code}\\b`), `${code} is tested`);
  }
});

t.test("the image's configuration is valid", async (t) => {
  const config = loadConfig(
    [join(ROOT, "config/meshproof.yaml"), join(ROOT, "docker/meshproof.yaml")],
    {},
  );
  t.equal(config.storage.directory, "/data");
  t.equal(config.receivers.otlp.protocols.http.endpoint.host, "0.0.0.0");
});

t.test("documents link to files that exist", async (t) => {
  const documents = [
    "README.md",
    "CHANGELOG.md",
    ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".md"))
      .map((file) => `docs/${file}`),
  ];
  for (const document of documents) {
    const text = readFileSync(join(ROOT, document), "utf8");
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      t.doesNotThrow(
        () => readFileSync(resolve(ROOT, document, "..", target!)),
        `${document} links to ${target}`,
      );
    }
  }
});
