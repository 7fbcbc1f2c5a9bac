import { readFileSync } from "node:fs";
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { parseDuration } from "../config/values.ts";
import { isTokenName, ROLES } from "../core/tokens.ts";
import { DEFAULT_SEED } from "../demo/random.ts";
import { LEAF_RANGES_FORM, parseLeafRanges } from "../tlog/leaf-ranges.ts";
import { parseVerifierKey, type VerifierKey } from "../tlog/note.ts";
import { MAX_BUNDLE_RECORDS } from "../tlog/proof-bundle.ts";
import type { Context } from "./context.ts";
import { ENCODINGS } from "./explain-input.ts";
import { describeError, EXIT, exitCodeOf, type ExitCode } from "./exit.ts";
import { Output, type Streams } from "./output.ts";

/** The command line: what commands there are. Each is a module that is loaded only when it runs. */

const EXAMPLES = `
Examples:
  $ meshproof demo                                  what there is to see, in half a minute
  $ meshproof serve                                 start with all defaults: OTLP/HTTP on 127.0.0.1:4318
  $ meshproof serve --config prod.yaml              a file needs only what differs from the defaults
  $ meshproof validate --config prod.yaml           check a file without starting anything
  $ meshproof explain access.log                    what becomes of your log lines, column by column
  $ meshproof verify                                prove that no stored record was changed
  $ meshproof records --decision denied --from -1h  who was refused in the last hour, and by which policy
  $ meshproof trace 1234                            what happened around record 1234
  $ meshproof prove 1234 && meshproof verify-proof 1234.tlog-proof
                                                    evidence of one record for others, and how they check it
  $ meshproof token sender checkout-collector       a token for somebody who sends records

Exit codes: 0 fine; 1 a check failed (tampering, a bad proof); 2 usage or configuration; 3 could not run.`;

const JSON_HELP = "print the result as one line of JSON";

/** Runs one command. Never throws: whatever goes wrong is said on standard error and becomes an exit code. */
export async function main(
  args: readonly string[],
  streams: Streams,
  env: Context["env"],
): Promise<ExitCode> {
  const output = new Output(streams, env);
  const context: Context = { output, env };
  let exitCode: ExitCode = EXIT.ok;
  const program = buildProgram(streams, context, (code) => (exitCode = code));
  try {
    await program.parseAsync(args, { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    output.note(describeError(error));
    return exitCodeOf(error);
  }
}

function buildProgram(
  streams: Streams,
  context: Context,
  finish: (code: ExitCode) => void,
): Command {
  const program = new Command("meshproof")
    .description(
      "Tamper-evident access logs for service meshes: OTLP in, sealed rows in ClickHouse.",
    )
    .version(packageVersion(), "-V, --version", "print the version")
    .helpOption("-h, --help", "show help; also for one command: meshproof COMMAND --help")
    .helpCommand(false)
    .addHelpText("after", EXAMPLES)
    .showHelpAfterError("(meshproof --help shows what there is)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void streams.stdout.write(text),
      writeErr: (text) => void streams.stderr.write(text),
      outputError: (text, write) => write(text.replace(/^error: /, "meshproof: ")),
      getOutHelpWidth: () => context.output.width,
      getErrHelpWidth: () => context.output.width,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    });
  const withConfig = (command: Command): Command =>
    command.addOption(
      new Option(
        "-c, --config <file>",
        "configuration file, or file:PATH, env:NAME, yaml:TEXT; repeatable, later ones win",
      )
        .default([], "the one that ships with meshproof")
        .argParser((file: string, files: readonly string[]) => [...files, file]),
    );

  withConfig(program.command("serve"))
    .description("receive, seal and store records until stopped")
    .option("--json", "print ports and verifier key as one line of JSON when ready")
    .addHelpText(
      "after",
      `
Listens for OTLP/HTTP, seals every record into a Merkle log and stores it in ClickHouse (its own, unless configured).
When everything is ready it says what listens where; the same stands in ports.json of the data directory.
SIGTERM or Ctrl-C drains what is in flight and stops; a second one ends at once (nothing acknowledged is lost by that either).`,
    )
    .action(async (options) => finish(await (await import("./serve.ts")).serve(options, context)));

  program
    .command("demo")
    .description("play the traffic of a small shop's mesh, and show what meshproof makes of it")
    .option(
      "--directory <directory>",
      "keep everything there, in a new or empty directory; without it, a temporary one",
    )
    .addOption(
      new Option("--seed <number>", "the same seed plays the same traffic")
        .default(DEFAULT_SEED)
        .argParser(parseSeed),
    )
    .option("--keep", "go on serving until Ctrl-C, and keep the directory")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
Starts a whole server on free ports, sends it some thousand requests as proxies and applications would (OTLP, by the exporters
of OpenTelemetry's SDK), and tells what came of them: who was denied what by which policy, the trace around it, a proxy that kept
no record, the proof of a record, and how a row that was changed in ClickHouse is found. Takes half a minute.
Exit code 0: all of it held; 1: something did not, and the story says what; 3: it was stopped before the end.`,
    )
    .action(async (options) => finish(await (await import("./demo.ts")).demo(options, context)));

  withConfig(program.command("validate"))
    .description("check the configuration without starting anything")
    .option("--json", "print the whole configuration as it would be used, without secrets")
    .action(async (options) =>
      finish(await (await import("./validate.ts")).validate(options, context)),
    );

  withConfig(program.command("explain"))
    .description(
      "show what becomes of sample log lines: dialect, columns, and where each came from",
    )
    .argument("[file]", "lines, JSON or OTLP/JSON; - or nothing reads standard input", "-")
    .addOption(
      new Option("--encoding <encoding>", "what the input is")
        .choices(ENCODINGS)
        .default("auto", "auto: each line as it looks"),
    )
    .addOption(
      new Option(
        "--resource <key=value>",
        "an attribute that a collector adds to the resource; repeatable",
      )
        .default({}, "none")
        .argParser(parseAttribute),
    )
    .addOption(
      new Option(
        "--attribute <key=value>",
        "an attribute that a collector adds to each record; repeatable",
      )
        .default({}, "none")
        .argParser(parseAttribute),
    )
    .option("--strict", "exit code 1 also when one record is of no dialect, or read in part alone")
    .option("--json", "print each record as one line of JSON, values whole")
    .addHelpText(
      "after",
      `
Takes log lines as the proxy writes them, JSON lines, OTLP/JSON export requests (as a Collector's file exporter writes them) and single LogRecords. A line that
is no OTLP becomes the body of a record, as a Collector's filelog receiver sends it. Uses the formats and the redaction of the configuration; needs no server.
FROM says where a column's value stood: line, a field of the line; body, a member of the body; attribute, resource; record, a field of the record
itself such as timeUnixNano. "part of": not all of it; "by": it follows from that; dialect: no value of the record made it so.
LogAttributes are what no column took. What no dialect claims becomes a log; what it looks like, and a format to begin with, is said then.
Exit code 0: a dialect claimed a record; 1: none claimed any, or with --strict not all were claimed and read in full; 2: the
input is not what --encoding says, or the configuration is wrong; 3: the input cannot be read.

Examples:
  $ kubectl logs deploy/orders -c istio-proxy | meshproof explain
  $ meshproof explain access.log --config formats.yaml --strict
  $ meshproof explain --resource k8s.namespace.name=shop --attribute log.file.path=/var/log/pods/x.log sample.json`,
    )
    .action(async (file, options) =>
      finish(await (await import("./explain.ts")).explain(file, options, context)),
    );

  withConfig(program.command("verify"))
    .description("prove that no stored record was changed, deleted or added")
    .option("--json", JSON_HELP)
    .option(
      "--key <verifier key>",
      "the key to trust; without it, that of the key file beside the log",
    )
    .option("--log-only", "check entries, tiles and checkpoint, but no rows")
    .option("--distrust-store", "hash rows here, not in ClickHouse: slower, and trusts it less")
    .option("--from <leaf index>", "records from this one on alone", parseLeafIndex)
    .option("--to <leaf index>", "records before this one alone", parseLeafIndex)
    .option("--incremental", "only what is new since the last time, and that the log continues it")
    .option(
      "--state <file>",
      "where to remember how far that was; without it, in the data directory",
    )
    .option(
      "--expect-checkpoint <file>",
      "a checkpoint that you kept: the log has to continue it; repeatable",
      (file: string, files: readonly string[] | undefined) => [...(files ?? []), file],
    )
    .option(
      "--max-age <duration>",
      "a newest checkpoint or record that is older is a failed check: 5m, 1h",
      parseAge,
    )
    .addHelpText(
      "after",
      `
Recomputes the hash of every row as it stands in ClickHouse, compares it with its sealed entry, the entries with every tile,
and the tree with the newest signed checkpoint. Works beside a running server and without one, and changes nothing.
Give --key a verifier key, and --expect-checkpoint a checkpoint, that you noted elsewhere: then nobody who can write here can deceive you.
A range is widened to whole bundles of 256 records.
A server that runs seals a record each minute: with --max-age one that stands still, or a log whose end was cut off, is found too.
Exit code 0: nothing was changed; 1: something was, and the faults say what, or what is there is too old.

Examples:
  $ meshproof verify
  $ meshproof verify --incremental --max-age 5m
  $ meshproof verify --incremental --state /mnt/audit/mesh.verified
  $ cp data/log/checkpoint /mnt/audit/ && meshproof verify --expect-checkpoint /mnt/audit/checkpoint`,
    )
    .action(async (options) =>
      finish(await (await import("./verify.ts")).verify(options, context)),
    );

  const withApi = (command: Command): Command =>
    withConfig(command)
      .option(
        "--api <url>",
        "the API to ask; without it, that of the server on this data directory",
      )
      .option("--token-file <file>", "file with a bearer token; without it, MESHPROOF_TOKEN")
      .option("--ca <file>", "PEM file of the authorities to trust instead of the usual ones")
      .option("--client-cert <file>", "PEM file of a client certificate, if the server wants one")
      .option("--client-key <file>", "PEM file of its key")
      .option("--json", JSON_HELP);

  withApi(
    program
      .command("records")
      .description("list access records of a running server: who did what, and who was refused")
      .option(
        "--principal <name>",
        "who asked: an end user or the peer's identity; NAME* for a prefix",
      )
      .addOption(
        new Option("--decision <decision>", "what the mesh decided").choices([
          "allowed",
          "denied",
          "failed",
          "unknown",
        ]),
      )
      .option("--path <path>", "path without query; PATH* for a prefix")
      .option("--service <name>", "service that was reached")
      .option("--policy <name>", "policy that decided")
      .option("--trace <trace id>", "records of one trace")
      .option("--from <time>", "requests from this time on: -15m, -1h, -7d, 2026-09-21T14:00:00Z")
      .option("--to <time>", "requests before this time")
      .option("--limit <count>", "how many at most", parseCount, 50)
      .option("--all", "every one there is"),
  )
    .addHelpText(
      "after",
      `
All that is given has to hold. The newest come first; times are UTC. Long values lose their middle: --json has them whole, and every column.
WHO is the end user, if there is one, and the workload behind the connection as namespace/name; one of another trust domain is named with it.
LEAF is the record's place in the log, which meshproof trace and meshproof prove take. Reading is itself recorded.

Examples:
  $ meshproof records --decision denied --from -1h
  $ meshproof records --principal spiffe://cluster.local/ns/shop/sa/guest --path '/admin/*'
  $ meshproof records --api https://mesh.example:8320 --token-file ./token --json | jq '.records[].Policy'`,
    )
    .action(async (options) =>
      finish(await (await import("./records.ts")).records(options, context)),
    );

  withApi(program.command("trace"))
    .description("show one trace as a tree: its spans, and what the mesh decided at each")
    .argument("<trace>", "a trace ID, or the leaf index of a record whose trace is meant")
    .addHelpText(
      "after",
      `
Spans stand under the span that called them; ◆ marks an access record, under the span that it is linked to, with the rule of the link and how sure it is.
START counts from the first span. What has no parent, no link or a finding on it is marked as such. Wide terminals also show when each was active.

Examples:
  $ meshproof trace 4bf92f3577b34da6a3ce929d0e0e4736
  $ meshproof trace 1234 --json`,
    )
    .action(async (id, options) =>
      finish(await (await import("./trace.ts")).trace(id, options, context)),
    );

  withApi(
    program
      .command("erase")
      .description("erase records for good; the log keeps their hashes and says who had it done")
      .option("--records <leaf indexes>", "records by their place in the log: '12 100-199'")
      .option("--principal <name>", "access records of this end user, actor or peer")
      .requiredOption("--reason <text>", "why; it is sealed and stays, so name no person in it")
      .option("--yes", "do it; without this the rows are counted and nothing is erased")
      .option("--no-wait", "return when it is sealed, not when the rows are gone"),
  )
    .addHelpText(
      "after",
      `
First a control record is sealed that names the rows by leaf index and hash, who asked and why; then the rows are deleted and the parts that held them
removed from the disk. All other proofs stay valid, and meshproof verify counts the rows as erased. Where tokens are configured, this takes one of the role admin.

Examples:
  $ meshproof erase --principal jane@example.com --reason "request 4711"
  $ meshproof erase --records "1206 1210-1250" --reason "request 4711" --yes`,
    )
    .action(async (options) => finish(await (await import("./erase.ts")).erase(options, context)));

  withConfig(program.command("prove"))
    .description("write proofs of records that others can check without this machine")
    .argument(
      "[leaf index...]",
      "records by their place in the log, alone or as ranges: 1200-1299",
      parseLeaves,
    )
    .addOption(
      new Option("--trace <trace id>", "all records of this trace").argParser(parseTraceId),
    )
    .option("-o, --output <directory>", "where the files go; - prints one proof", ".")
    .option("--bundle <file>", "write one file with all proofs, instead of one each; - prints it")
    .option("--json", JSON_HELP)
    .option(
      "--key <verifier key>",
      "the key to trust; without it, that of the key file beside the log",
    )
    .addHelpText(
      "after",
      `
Writes <leaf index>.tlog-proof for each record: the record itself, its place in the Merkle tree and the signed checkpoint.
With --bundle all are in one file, under one checkpoint and with each hash once: for up to 100,000 records.
Each proof is checked before it is written, so a row that is no longer what was sealed is reported instead.
Works beside a running server and without one. The files hold the records: give them only to those who may read these.
Exit code 0: all written; 1: a stored row was changed or is gone; 3: a record is not sealed yet.

Examples:
  $ meshproof prove 1234 --output evidence/
  $ meshproof prove --trace 4bf92f3577b34da6a3ce929d0e0e4736
  $ meshproof prove 1200-1299 1305 --bundle incident.proof-bundle
  $ meshproof prove 1234 --output - | meshproof verify-proof -`,
    )
    .action(async (indexes, options) =>
      finish(await (await import("./prove.ts")).prove(indexes ?? [], options, context)),
    );

  withConfig(program.command("verify-proof"))
    .description("check proofs of records, offline, and show the records in them")
    .argument("<file...>", "proofs (.tlog-proof) and bundles of them; - reads standard input")
    .addOption(
      new Option("--key <verifier key>", "the key to trust; repeatable")
        .default([], "that of the log on this machine")
        .argParser(parseKey),
    )
    .option("--origin <name>", "the log that it has to be; without it, any whose key is given")
    .option(
      "--policy <file>",
      "logs and witnesses to trust, and which of these have to have cosigned (C2SP tlog-policy)",
    )
    .addOption(
      new Option(
        "--extract <leaf index>",
        "print the proof of one record of a bundle, as a .tlog-proof",
      ).argParser(parseLeafIndex),
    )
    .option("--all", "show empty columns too, and long values whole")
    .option("--json", "print each record as one line of JSON")
    .addHelpText(
      "after",
      `
Needs the files and the log's verifier key, nothing else: no server, no network, no trust in whoever sent the files.
Nothing of a record is shown before it has been led to the signature. Take the key from the log's owner, not from whom the proof came.
Exit code 0: every proof holds; 1: one does not; 2: no key, or a policy that is none; 3: a file cannot be read.

Examples:
  $ meshproof verify-proof 1234.tlog-proof
  $ meshproof verify-proof --policy policy.txt incident.proof-bundle
  $ meshproof verify-proof --key example.org/mesh+1a2b3c4d+AVx… *.tlog-proof`,
    )
    .action(async (files, options) =>
      finish(await (await import("./verify-proof.ts")).verifyProof(files, options, context)),
    );

  const key = program
    .command("key")
    .description("the key that signs the log: show its public half, make it, replace it")
    .helpCommand(false)
    .addHelpText(
      "after",
      `
Without a further word it shows the verifier key. docs/keys.md tells of backups, rotation and HSMs.`,
    );
  withConfig(key.command("show", { isDefault: true }))
    .description("print the verifier key of the log")
    .option("--json", "print it with all keys that ever signed, as one line of JSON")
    .addHelpText(
      "after",
      `
The verifier key is what others need to check the log's checkpoints and proofs: <origin>+<id>+<base64>. It is public.
The private key stays in the file of processors.seal.signer.path: back that file up, it cannot be made again.`,
    )
    .action(async (options) => finish(await (await import("./key.ts")).showKey(options, context)));
  withConfig(key.command("generate"))
    .description("make the key of a new log, and print its verifier key")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
The first start does the same; this is for those who want to spread the verifier key before. A key that is there is left alone.`,
    )
    .action(async (options) =>
      finish(await (await import("./key.ts")).generateKey(options, context)),
    );
  withConfig(key.command("rotate"))
    .description("replace the key: both sign for a while, then the new one alone")
    .option("--finish", "take the old key away: it is deleted, and signs no more after a restart")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
The new key takes the place of the old one, which stays beside it as <file>.retiring. From the next start on each checkpoint has
both signatures, and a record in the log, under the old key, names the new one. When all who verify know the new key, --finish.
Proofs and checkpoints that the old key alone has signed stay valid, for the log as it was then.

Examples:
  $ meshproof key rotate && systemctl restart meshproof
  $ meshproof key rotate --finish && systemctl restart meshproof`,
    )
    .action(async (options) =>
      finish(await (await import("./key.ts")).rotateKey(options, context)),
    );

  withConfig(program.command("schema"))
    .description("print the SQL that makes the tables and roles in a ClickHouse of your own")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
Run it as an administrator, grant the roles to users, then set exporters.clickhouse.create_schema to false:
  $ meshproof schema --config prod.yaml | clickhouse-client --multiquery`,
    )
    .action(async (options) =>
      finish(await (await import("./schema.ts")).schema(options, context)),
    );

  withConfig(program.command("pseudonym"))
    .description("print what records have in the place of a value, to search for it")
    .argument("[value]", "the value; without it, standard input, which no shell remembers")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
For configurations with processors.normalise.redact.mode: pseudonym.
  $ printf alice@shop.example | meshproof pseudonym
  [hmac:6f1d…]`,
    )
    .action(async (value, options) =>
      finish(await (await import("./pseudonym.ts")).printPseudonym(value, options, context)),
    );

  program
    .command("token")
    .description("make a bearer token and the line for the tokens file")
    .addArgument(
      new Argument(
        "<role>",
        "sender sends records, reader queries them and their proofs, auditor also sees who read what, admin may do everything",
      ).choices(ROLES),
    )
    .argument("<name>", "who holds it; records say which sender they came from", (name: string) => {
      if (isTokenName(name)) return name;
      throw new InvalidArgumentError("Expected letters, digits and . _ @ / -");
    })
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
The file of extensions.tokens.file holds hashes only, one line a token:
  $ meshproof token sender checkout-collector
  $ echo 'sender checkout-collector sha256:…' >> tokens`,
    )
    .action(async (role, name, options) =>
      finish(await (await import("./token.ts")).token(role, name, options, context)),
    );

  return program;
}

function parseAttribute(
  text: string,
  before: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const equals = text.indexOf("=");
  if (equals < 1) throw new InvalidArgumentError("Expected key=value.");
  return Object.fromEntries([
    ...Object.entries(before),
    [text.slice(0, equals), text.slice(equals + 1)],
  ]);
}

function parseLeafIndex(text: string): number {
  const index = Number(text);
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(index)) return index;
  throw new InvalidArgumentError("Expected a leaf index: a whole number from 0 on.");
}

function parseLeaves(text: string, before: number[] | undefined): number[] {
  const indexes = parseLeafRanges(text, MAX_BUNDLE_RECORDS);
  if (indexes === null)
    throw new InvalidArgumentError(
      `Expected a leaf index or several: ${LEAF_RANGES_FORM}, at most ${MAX_BUNDLE_RECORDS} of them.`,
    );
  const all = before ?? [];
  for (const index of indexes) all.push(index);
  return all;
}

function parseAge(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new InvalidArgumentError("Expected a duration such as 90s, 5m or 1h30m.");
}

function parseSeed(text: string): number {
  const seed = Number(text);
  if (/^\d{1,10}$/.test(text) && seed < 2 ** 32) return seed;
  throw new InvalidArgumentError("Expected a whole number from 0 to 4294967295.");
}

function parseCount(text: string): number {
  const count = Number(text);
  if (/^\d{1,9}$/.test(text) && count > 0) return count;
  throw new InvalidArgumentError("Expected a whole number from 1 on.");
}

function parseTraceId(text: string): string {
  if (/^[0-9a-f]{32}$/i.test(text)) return text.toLowerCase();
  throw new InvalidArgumentError("Expected a trace ID: 32 hex digits.");
}

function parseKey(text: string, before: readonly VerifierKey[]): readonly VerifierKey[] {
  try {
    return [...before, parseVerifierKey(text)];
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
