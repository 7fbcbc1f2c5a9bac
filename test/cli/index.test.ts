import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import t from "tap";
import { describeError } from "../../src/cli/exit.ts";
import { main } from "../../src/cli/index.ts";
import { Output, printable } from "../../src/cli/output.ts";
import { parseTokens } from "../../src/core/tokens.ts";

interface Run {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

async function run(...args: string[]): Promise<Run> {
  let out = "";
  let err = "";
  const streams = {
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  const code = await main(args, streams, {});
  return { code, out, err };
}

t.test(
  "an error of the operating system names the file, a defect comes with its stack",
  async (t) => {
    const missing = await readFile("/nowhere/key").catch((error: unknown) => error);
    t.equal(
      describeError(missing),
      "meshproof: ENOENT: no such file or directory, open '/nowhere/key'",
    );
    t.match(describeError(new TypeError("x is not a function")), /x is not a function\n +at /);
  },
);

t.test("help says what there is, with examples and exit codes, and exits 0", async (t) => {
  const { code, out, err } = await run("--help");
  t.same([code, err], [0, ""]);
  for (const command of [
    "serve",
    "validate",
    "explain",
    "verify",
    "records",
    "trace",
    "prove",
    "verify-proof",
    "key",
    "pseudonym",
    "schema",
    "token",
  ]) {
    t.match(out, new RegExp(`^  ${command} `, "m"));
    const help = await run(command, "--help");
    t.equal(help.code, 0);
    t.match(help.out, new RegExp(`^Usage: meshproof ${command} `));
  }
  t.match(out, /Exit codes: 0 fine; 1 a check failed/);
  const roles = (await run("token", "--help")).out.replaceAll(/\s+/g, " ");
  t.match(roles, /reader queries them and their proofs, auditor also sees who read what/);
});

t.test("the version is the package's", async (t) => {
  const { code, out } = await run("--version");
  t.equal(code, 0);
  t.match(out, /^\d+\.\d+\.\d+\n$/);
});

t.test(
  "a wrong command line exits 2 with a hint on standard error, and prints no result",
  async (t) => {
    for (const [args, hint] of [
      [["serv"], /unknown command 'serv'[\s\S]*Did you mean serve\?/],
      [["validate", "--confg", "x"], /unknown option '--confg'[\s\S]*Did you mean --config\?/],
      [["validate", "extra"], /too many arguments/],
      [["validate", "--config"], /argument missing/],
      [["token"], /missing required argument 'role'/],
      [["token", "root", "x"], /sender, reader, auditor, admin/],
      [["token", "sender", "a b"], /Expected letters, digits/],
      [[], /Usage: meshproof/],
    ] as const) {
      const { code, out, err } = await run(...args);
      t.same([code, out], [2, ""], args.join(" "));
      t.match(err, hint);
    }
  },
);

t.test("validate reads every file and says which are valid", async (t) => {
  const directory = t.testdir({
    "a.yaml": "storage: { max_size: 20GiB }",
    "b.yaml": "processors: { seal: { origin: example.org/b } }",
  });
  const files = ["a.yaml", "b.yaml"].map((name) => join(directory, name));
  const { code, out } = await run(
    "validate",
    "-c",
    files[0] as string,
    "--config",
    files[1] as string,
  );
  t.same([code, out], [0, `valid: ${files.join(", ")}\n`]);
  const json = await run("validate", "--json", "-c", files[0] as string, "-c", files[1] as string);
  t.match(JSON.parse(json.out), {
    hash: /^[0-9a-f]{64}$/,
    risks: [],
    config: {
      storage: { max_size: 20 * 2 ** 30 },
      processors: { seal: { origin: "example.org/b" } },
    },
  });
  const packaged = await run("validate");
  t.match(
    packaged.out,
    /^valid: .*config.meshproof\.yaml\n$/,
    "without --config the packaged file is used",
  );
});

t.test("a wrong configuration exits 2 with file, line and column first", async (t) => {
  const file = join(t.testdir({ "wrong.yaml": "storage:\n  max_size: big\n" }), "wrong.yaml");
  for (const command of ["serve", "validate", "explain", "verify", "key", "schema"]) {
    const { code, out, err } = await run(command, "--config", file);
    t.same([code, out], [2, ""], command);
    t.ok(err.startsWith(`${file}:2:13: storage.max_size: expected a size`), err);
  }
});

t.test("token prints a token and the line that lets its holder in", async (t) => {
  const { code, out } = await run("token", "sender", "checkout", "--json");
  t.equal(code, 0);
  const { token, line } = JSON.parse(out);
  t.same(parseTokens(line).find(token), { name: "checkout", role: "sender" });
  const people = await run("token", "reader", "grafana");
  const [, forHuman, ownLine] =
    /\n {2}(meshproof_\S+)\n[\s\S]*\n {2}(reader grafana sha256:\S+)\n$/.exec(people.out) ?? [];
  t.same(parseTokens(ownLine as string).find(forHuman as string), {
    name: "grafana",
    role: "reader",
  });
});

t.test("key makes the key once and prints its public half", async (t) => {
  const directory = t.testdir({});
  const config = join(directory, "c.yaml");
  await writeFile(
    config,
    `storage: { directory: ${JSON.stringify(join(directory, "data"))} }
service: { telemetry: { logs: { level: error } } }
processors: { seal: { origin: example.org/mesh } }
`,
  );
  const first = await run("key", "generate", "--config", config);
  t.equal(first.code, 0);
  t.match(first.out, /^example\.org\/mesh\+[0-9a-f]{8}\+[A-Za-z0-9+/]+=*\n$/);
  const second = await run("key", "--config", config, "--json");
  t.match(JSON.parse(second.out), { origin: "example.org/mesh", verifierKey: first.out.trim() });
});

t.test("schema prints SQL that can be piped into a client", async (t) => {
  const config = join(
    t.testdir({ "c.yaml": "exporters: { clickhouse: { database: audit } }" }),
    "c.yaml",
  );
  const { code, out } = await run("schema", "--config", config);
  t.equal(code, 0);
  t.match(out, /CREATE TABLE IF NOT EXISTS `audit`\.`access_records`/);
  t.match(out, /^CREATE ROLE /m);
  const json = JSON.parse((await run("schema", "--config", config, "--json")).out);
  for (const statement of [...json.tables, ...json.grants]) t.ok(out.includes(`${statement};`));
});

t.test("colour is for terminals, and not where NO_COLOR is set", async (t) => {
  const painted = (isTTY: boolean, env: Record<string, string>): string =>
    new Output({ stdout: { write() {}, isTTY }, stderr: { write() {} } }, env).paint("red", "x");
  t.equal(painted(true, {}), "\u001b[31mx\u001b[39m");
  for (const [isTTY, env] of [
    [false, {}],
    [true, { NO_COLOR: "1" }],
    [true, { TERM: "dumb" }],
  ] as const)
    t.equal(painted(isTTY, env), "x");
});

t.test("columns are aligned by what shows, not by colour codes", async (t) => {
  let out = "";
  const output = new Output(
    { stdout: { write: (text: string) => (out += text), isTTY: true }, stderr: { write() {} } },
    {},
  );
  output.columns([
    [output.paint("dim", "a"), "1"],
    ["long", "2", ""],
  ]);
  // oxlint-disable-next-line no-control-regex
  t.equal(out.replace(/\u001b\[\d+m/g, ""), "  a     1\n  long  2\n");
  t.equal(output.width, 80);
});

t.test("what others wrote cannot steer the terminal, nor read as another text", async (t) => {
  for (const [text, shown] of [
    ["plain ü 漢字 \u{1f980} a\\b", "plain ü 漢字 \u{1f980} a\\b"],
    ["\u001b[2J\u001b]0;title\u0007", "\\x1b[2J\\x1b]0;title\\x07"],
    ["a\nb\r\tc\0\b\u007f", "a\\nb\\r\\tc\\x00\\x08\\x7f"],
    ["\u009b31m\u0085", "\\x9b31m\\x85"],
    ["admin\u202egnp.exe\u2066\u200f", "admin\\u{202e}gnp.exe\\u{2066}\\u{200f}"],
    ["a\u200bb\ufeff\u2028\u2029", "a\\u{200b}b\\u{feff}\\u{2028}\\u{2029}"],
    ["\ud800x\u{e0041}", "\\u{d800}x\\u{e0041}"],
  ] as const)
    t.equal(printable(text), shown);
  for (let code = 0; code < 0xa0; code++)
    // oxlint-disable-next-line no-control-regex
    t.notMatch(printable(String.fromCharCode(code)), /[\u0000-\u001f\u007f-\u009f]/);
});

t.test("the launcher runs the command line and passes its exit code on", async (t) => {
  const launcher = fileURLToPath(new URL("../../bin/meshproof.js", import.meta.url));
  const start = async (...args: string[]): Promise<Run> => {
    const child = spawn(process.execPath, [launcher, ...args], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [out, err, [code]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    return { code: code as number, out, err };
  };
  t.match(await start("--version"), { code: 0, out: /^\d/, err: "" });
  t.match(await start("nonsense"), { code: 2, out: "", err: /unknown command/ });
});
