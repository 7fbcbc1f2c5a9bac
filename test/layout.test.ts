import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import t from "tap";

/**
 * The rules of docs/design/layout.md, held by a test: which folder may import which, and which one file imports each heavy dependency.
 */
const ROOT = resolve(import.meta.dirname, "..");
const SRC = join(ROOT, "src");

const VOCABULARY = ["core", "records", "tlog"];
/** What each folder may import beside itself. Files directly under src join the folders and may import any. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  core: [],
  config: ["core"],
  telemetry: ["core"],
  records: ["core"],
  tlog: ["core"],
  receive: VOCABULARY,
  decode: VOCABULARY,
  normalise: VOCABULARY,
  journal: VOCABULARY,
  seal: VOCABULARY,
  correlate: VOCABULARY,
  forward: VOCABULARY,
  store: VOCABULARY,
  query: VOCABULARY,
  verify: VOCABULARY,
  demo: VOCABULARY,
  cli: [...VOCABULARY, "demo", "config", "telemetry", "seal", "store", "verify", "query"],
};

/** Folders that join others, as the files directly under src do: jobs of the server that need several stages. Only files directly under src import them. */
const JOINING: ReadonlySet<string> = new Set(["retention", "verification"]);

/** Heavy dependencies, and the one file that imports each. */
const OWNERS: Readonly<Record<string, string>> = {
  fastify: "core/http.ts",
  zod: "config/schema.ts",
  yaml: "config/load.ts",
  pino: "telemetry/logger.ts",
  "@opentelemetry/sdk-metrics": "telemetry/metrics.ts",
  "@opentelemetry/exporter-logs-otlp-http": "demo/exporters.ts",
  "@opentelemetry/exporter-logs-otlp-proto": "demo/exporters.ts",
  "@opentelemetry/exporter-trace-otlp-proto": "demo/exporters.ts",
  "@opentelemetry/resources": "demo/exporters.ts",
  "@clickhouse/client": "store/client.ts",
  "ffi-rs": "store/engine-child.ts",
  commander: "cli/index.ts",
  protobufjs: "core/otlp-status.ts",
};

interface Import {
  readonly from: string;
  readonly specifier: string;
}

const files = readdirSync(SRC, { recursive: true, encoding: "utf8" })
  .filter((file) => file.endsWith(".ts"))
  .sort();

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(\s*|^\s*import\s+)["']([^"']+)["']/gm;

function importsOf(file: string): Import[] {
  const text = readFileSync(join(SRC, file), "utf8");
  return [...text.matchAll(IMPORT)].map((match) => ({ from: file, specifier: match[1]! }));
}

const imports = files.flatMap(importsOf);

function folderOf(file: string): string {
  const [first, second] = file.split("/");
  return second === undefined ? "" : first!;
}

function targetOf({ from, specifier }: Import): string {
  return relative(SRC, resolve(SRC, dirname(from), specifier));
}

t.test("imports point one way", async (t) => {
  t.ok(imports.length > 100, "the imports are found");
  for (const one of imports.filter(({ specifier }) => specifier.startsWith("."))) {
    const folder = folderOf(one.from);
    if (folder === "" || JOINING.has(folder)) continue;
    const target = targetOf(one);
    const allowed = MAY_IMPORT[folder];
    t.ok(allowed !== undefined, `src/${folder} is a folder of the layout`);
    const targetFolder = folderOf(target);
    const joins = folder === "cli" && targetFolder === "";
    t.ok(
      joins || targetFolder === folder || allowed?.includes(targetFolder),
      `src/${one.from} may import src/${target}`,
    );
  }
});

t.test("each heavy dependency is imported by one file", async (t) => {
  for (const [name, owner] of Object.entries(OWNERS)) {
    const users = new Set(
      imports
        .filter(
          ({ specifier }) =>
            specifier === name ||
            (name.endsWith("/") && specifier.startsWith(name)) ||
            specifier.startsWith(`${name}/`),
        )
        .map(({ from }) => from),
    );
    t.same([...users], [owner], `${name} is imported by src/${owner} alone`);
  }
});

t.test("the verifier reaches no server, no client and no native code", async (t) => {
  const reached = new Set<string>();
  const visit = (file: string): void => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const one of importsOf(file)) {
      if (one.specifier.startsWith(".")) visit(targetOf(one));
      else t.match(one.specifier, /^node:/, `src/${file} imports ${one.specifier}`);
    }
  };
  const entries = files.filter((file) => folderOf(file) === "verify");
  t.ok(entries.length > 0);
  entries.forEach(visit);
});

t.test("every module loads", async (t) => {
  // Modules that do something when they are loaded: the command line and what runs as a process or thread of its own.
  const PROGRAMS = new Set([
    "cli/index.ts",
    "store/engine-child.ts",
    "seal/tile-worker.ts",
    "verification/child.ts",
  ]);
  for (const file of files.filter((one) => !PROGRAMS.has(one))) {
    t.ok(await import(join(SRC, file)), file);
  }
});

t.test("every test file stands where its subject does", async (t) => {
  const tests = readdirSync(join(ROOT, "test"), { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".test.ts"),
  );
  for (const file of tests) {
    const [folder, rest] = file.split("/");
    if (rest === undefined || folder === "interop") continue;
    const isFolder = MAY_IMPORT[folder!] !== undefined || JOINING.has(folder!);
    t.ok(isFolder, `test/${file} mirrors a folder of src`);
  }
});
