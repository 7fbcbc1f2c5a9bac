import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import t from "tap";
import { parse } from "yaml";
import { GENERATED } from "../docs/generate.ts";
import { DURABLE_STEPS } from "../src/core/durable-steps.ts";
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

t.test("every durable step is done in one place, and documented in its order", async (t) => {
  const source = textOf("src");
  const document = readFileSync(join(ROOT, "docs/design/crash-order.md"), "utf8");
  for (const step of DURABLE_STEPS)
    t.equal(source.match(new RegExp(`inStep(?:Now)?\\("${step}"`, "g"))?.length, 1, step);
  const tables = document
    .split(/^## /m)
    .filter((part) => /^(?:The steps|A crash behind)/.test(part));
  t.equal(tables.length, 2);
  for (const table of tables) {
    const rows = [...table.matchAll(/^\| `(\w+)` \|/gm)].map(([, step]) => step);
    t.same(rows, DURABLE_STEPS);
  }
  for (const [, file] of tables[0]!.matchAll(/`(\w+\/[\w-]+\.ts)` \|$/gm))
    t.match(readFileSync(join(ROOT, "src", file!), "utf8"), /inStep/, file!);
});

t.test("the README's exporter is the one of config/collector.yaml", async (t) => {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const [, snippet] = /^## Send from a collector$.*?^```yaml\n(.*?)^```$/ms.exec(readme)!;
  const shipped = readFileSync(join(ROOT, "config/collector.yaml"), "utf8");
  const defaults = shipped.replaceAll(/\$\{env:\w+:-(.*?)\}/g, "$1");
  const said = parse(snippet!) as Record<string, Record<string, unknown>>;
  const is = parse(defaults) as typeof said;
  t.same(said["exporters"], is["exporters"]);
  t.same(said["extensions"], is["extensions"]);
  t.same(said["service"]!["extensions"], is["service"]!["extensions"]);
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
    t.notMatch(text, /^(?:<{7}|>{7}) /m, `${document} has no marks of a merge`);
    for (const [, target] of text.matchAll(/\]\((?!https?:|#)([^)#]+)(?:#[^)]*)?\)/g)) {
      t.doesNotThrow(
        () => readFileSync(resolve(ROOT, document, "..", target!)),
        `${document} links to ${target}`,
      );
    }
  }
});

/** Files of tests, as docs/design/threat-model.md calls them. */
const ATTACK_TESTS: Readonly<Record<string, string>> = {
  attacks: "verify/attacks",
  tree: "verify/tree-check",
  checkpoints: "verify/checkpoint-check",
  verify: "verify/verify",
  proof: "verify/proof",
  cli: "cli/verify",
  sealer: "seal/sealer",
  outside: "seal/outside",
  witness: "seal/witness",
  rotation: "seal/rotation",
  recovery: "journal/recovery",
  "server-seal": "server-seal",
};

t.test("every attack of the threat model is shown by tests that exist", async (t) => {
  const text = readFileSync(join(ROOT, "docs/design/threat-model.md"), "utf8");
  const named = [...text.matchAll(/`([a-z-]+)` "([^"]+)"/g)];
  t.ok(named.length > 40, `${named.length} tests`);
  for (const [, file, name] of named) {
    const path = ATTACK_TESTS[file!];
    t.ok(path, `${file} is a file of tests`);
    // One name is made for each table.
    const made = name!.replace("access_records: ", "${table.name}: ");
    const tests = readFileSync(join(ROOT, `test/${path}.test.ts`), "utf8");
    t.ok(
      ["`", '"'].some((quote) => tests.includes(quote + made + quote)),
      `${file}: ${name}`,
    );
  }
  const found = text.slice(
    text.indexOf("## Attacks that are found"),
    text.indexOf("## What is not found"),
  );
  for (const row of found.split("\n").filter((line) => /^\| (?!---|attack )/.test(line)))
    t.match(row, /`[a-z-]+` "[^"]+"/, `a test for: ${row.slice(0, 80)}`);
});

/** Quoted too: commands, and words of the operating system. */
const NOT_OURS = /^(?:E[A-Z]+: |(?:meshproof|systemctl|chown|SELECT|BACKUP|clickhouse-backup) )/;
/** Pages that quote what the program says. */
const QUOTING = ["docs/troubleshooting.md", "docs/backup.md"];

t.test(
  "messages that documents quote are those of the program, as source or tests have them",
  async (t) => {
    // Parts of one message that stand in several literals belong together; what is filled in is not in it.
    const source = `${textOf("src")}\n${textOf("test")}`
      .replaceAll(/["`] \+\s+["`]/g, "")
      .replaceAll(/\$\{(?:[^{}]|\{[^{}]*\})*\}/g, " … ");
    const known = new Set<string>();
    for (const line of source.split("\n")) for (const three of triples(line)) known.add(three);
    let messages = 0;
    for (const document of QUOTING) {
      const rows = readFileSync(join(ROOT, document), "utf8").split("\n");
      for (const row of rows.filter((line) => line.startsWith("| "))) {
        for (const [, message] of row.matchAll(/(?<!`)`([^`]+)`/g)) {
          const said = [...triples(message!)];
          if (said.length < 2 || !message!.includes(" ") || NOT_OURS.test(message!)) continue;
          messages++;
          const found = said.filter((three) => known.has(three)).length;
          t.ok(found * 3 >= said.length * 2, `${document}: ${message}: ${found} of ${said.length}`);
        }
      }
    }
    t.ok(messages > 40, `${messages} messages`);
  },
);

/** Each three words of a text that follow one another, without numbers and what is filled in. */
function triples(text: string): Set<string> {
  const words = (text.match(/"[^" ]*"|[A-Za-z][A-Za-z'-]*|\d+|…/g) ?? []).map((word) =>
    /^["\d]/.test(word) ? "…" : word,
  );
  return new Set(
    words
      .slice(2)
      .map((word, i) => `${words[i]} ${words[i + 1]} ${word}`)
      .filter((three) => !three.includes("…")),
  );
}

t.test("error codes that documents name in brackets exist", async (t) => {
  let named = 0;
  for (const document of QUOTING) {
    const text = readFileSync(join(ROOT, document), "utf8");
    const codes = [...text.matchAll(/\(`([A-Z]+_[A-Z_]+)`\)/g)];
    named += codes.length;
    for (const [, code] of codes) t.ok(Object.hasOwn(ERRORS, code!), `${document}: ${code}`);
  }
  t.ok(named > 8, `${named} codes`);
});

t.test("documents link to headings that exist", async (t) => {
  const anchorsOf = (path: string): Set<string> => {
    const text = readFileSync(path, "utf8").replaceAll(/^```.*?^```/gms, "");
    const headings = [...text.matchAll(/^#+ (.+)$/gm)].map(([, heading]) =>
      heading!
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, "")
        .replaceAll(/\s/g, "-"),
    );
    return new Set([...headings, ...[...text.matchAll(/<a id="([^"]+)"/g)].map(([, id]) => id!)]);
  };
  for (const document of [
    "README.md",
    ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" })
      .filter((file) => file.endsWith(".md"))
      .map((file) => `docs/${file}`),
  ]) {
    const text = readFileSync(join(ROOT, document), "utf8");
    for (const [, target, anchor] of text.matchAll(/\]\((?!https?:)([^)#]*\.md)?#([^)]+)\)/g)) {
      const path =
        target === undefined ? join(ROOT, document) : resolve(ROOT, document, "..", target);
      t.ok(anchorsOf(path).has(anchor!), `${document} links to ${target ?? ""}#${anchor}`);
    }
  }
});
