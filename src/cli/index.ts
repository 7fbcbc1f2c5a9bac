import { readFileSync } from "node:fs";
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { isTokenName, ROLES } from "../core/tokens.ts";
import type { Context } from "./context.ts";
import { describeError, EXIT, exitCodeOf, type ExitCode } from "./exit.ts";
import { Output, type Streams } from "./output.ts";

/** The command line: what commands there are. Each is a module that is loaded only when it runs. */

const EXAMPLES = `
Examples:
  $ meshproof serve                                 start with all defaults: OTLP/HTTP on 127.0.0.1:4318
  $ meshproof serve --config prod.yaml              a file needs only what differs from the defaults
  $ meshproof validate --config prod.yaml           check a file without starting anything
  $ meshproof verify                                prove that no stored record was changed
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
      new Option("-c, --config <file>", "configuration file; repeatable, later files win")
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

  withConfig(program.command("validate"))
    .description("check the configuration without starting anything")
    .option("--json", "print the whole configuration as it would be used, without secrets")
    .action(async (options) =>
      finish(await (await import("./validate.ts")).validate(options, context)),
    );

  withConfig(program.command("verify"))
    .description("prove that no stored record was changed, deleted or added")
    .option("--json", JSON_HELP)
    .option(
      "--key <verifier key>",
      "the key to trust; without it, that of the key file beside the log",
    )
    .option("--log-only", "check entries, tiles and checkpoint, but no rows")
    .addHelpText(
      "after",
      `
Recomputes the hash of every row as it stands in ClickHouse, compares it with its sealed entry, the entries with every tile,
and the tree with the newest signed checkpoint. Works beside a running server and without one.
Give --key a verifier key that you noted elsewhere: then nobody who can write here can deceive you.
Exit code 0: nothing was changed; 1: something was, and the faults say what.`,
    )
    .action(async (options) =>
      finish(await (await import("./verify.ts")).verify(options, context)),
    );

  withConfig(program.command("key"))
    .description("print the verifier key of the log; makes the key before the first start")
    .option("--json", JSON_HELP)
    .addHelpText(
      "after",
      `
The verifier key is what others need to check the log's checkpoints and proofs: <origin>+<id>+<base64>. It is public.
The private key stays in the file of processors.seal.signer.path: back that file up, it cannot be made again.`,
    )
    .action(async (options) => finish(await (await import("./key.ts")).key(options, context)));

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

  program
    .command("token")
    .description("make a bearer token and the line for the tokens file")
    .addArgument(
      new Argument(
        "<role>",
        "sender sends records, reader queries them, auditor also reads proofs and the log, admin may do everything",
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

function packageVersion(): string {
  const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(text) as { version: string }).version;
}
