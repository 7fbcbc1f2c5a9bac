import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { runCommand } from "../../support/command.ts";
import { ServerProcess } from "../../support/server-process.ts";
import type { LaneContext } from "../lane.ts";
import { type Encoding, runProgram, type SdkProgram } from "./programs.ts";
import { assertStoredOnce } from "./records.ts";

const TLS = resolve(import.meta.dirname, "../../fixtures/tls");
const RECORDS = 200;

/** A token and TLS as docs/security.md has them, given to the programs by OTEL_EXPORTER_OTLP_HEADERS and _CERTIFICATE. */
export async function checkSecurity(
  context: LaneContext,
  programs: readonly SdkProgram[],
): Promise<void> {
  const directory = join(context.directory, "secured");
  mkdirSync(directory);
  const { token, line } = JSON.parse(
    (await runCommand("token", "sender", "checkout", "--json")).stdout,
  ) as { token: string; line: string };
  const tokens = join(directory, "tokens");
  writeFileSync(tokens, `${line}\n`);
  const server = await ServerProcess.start(
    directory,
    `receivers:
  otlp:
    protocols:
      http:
        tls: { cert_file: ${JSON.stringify(join(TLS, "server.pem"))}, key_file: ${JSON.stringify(join(TLS, "server-key.pem"))} }
extensions:
  tokens: { file: ${JSON.stringify(tokens)} }
`,
  );
  const endpoint = `https://localhost:${server.ports.otlp}`;
  const certificate = { OTEL_EXPORTER_OTLP_CERTIFICATE: join(TLS, "ca.pem") };
  const header = (value: string): Record<string, string> => ({
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${value}`,
  });
  const checkOne = async (program: SdkProgram, encoding: Encoding): Promise<void> => {
    const name = `${program.name} ${encoding}`;
    const run = (what: string, environment: Record<string, string>) =>
      runProgram(context, program, {
        encoding,
        service: `${name} ${what}`,
        records: RECORDS,
        endpoint,
        environment,
      });
    await context.check(
      `${name}: with our CA and a token its records are stored, and say that the token's holder sent them`,
      async () => {
        const manifest = await run("secured", { ...certificate, ...header(token) });
        assert.deepEqual(await assertStoredOnce(server, `${name} secured`, manifest), {
          logs: RECORDS,
          traces: RECORDS,
        });
        for (const table of ["otel_logs", "otel_traces"])
          assert.deepEqual(
            await server.query(
              `SELECT DISTINCT Sender, SenderAuth FROM ${table} WHERE ServiceName = '${name} secured'`,
            ),
            [{ Sender: "checkout", SenderAuth: "token" }],
          );
      },
    );
    for (const [what, environment, told] of [
      ["with a wrong token", { ...certificate, ...header("wrong") }, /401|Unauthorized/],
      ["without a token", certificate, /401|Unauthorized/],
      ["without our CA", header(token), /certificate/i],
    ] as const)
      await context.check(`${name}: ${what} nothing is stored, and the SDK says why`, async () => {
        const manifest = await run(what, environment);
        assert.ok(manifest.exports.length > 0);
        for (const { error } of manifest.exports) assert.notEqual(error, null);
        const said = manifest.diagnostics.find((line) => told.test(line));
        assert.ok(said, manifest.diagnostics.join("\n"));
        assert.deepEqual(await assertStoredOnce(server, `${name} ${what}`, manifest), {
          logs: 0,
          traces: 0,
        });
        return said.replaceAll(/\s+/g, " ").slice(0, 160);
      });
  };
  try {
    // All at once: without our CA the Python SDK tries until its patience is over.
    await Promise.all(
      programs.flatMap((program) =>
        program.encodings.map((encoding) => checkOne(program, encoding)),
      ),
    );
  } finally {
    await server.kill();
  }
}
