import assert from "node:assert/strict";
import type { ServerProcess } from "../../support/server-process.ts";
import { waitForCount } from "../../support/stored-rows.ts";
import type { LaneContext } from "../lane.ts";
import { counter } from "./metrics.ts";
import { type Encoding, runProgram, type SdkProgram } from "./programs.ts";
import { assertStoredOnce, failuresOf } from "./records.ts";
import { Relay } from "./relay.ts";

const RECORDS = 100;
const REJECTED = "meshproof_receiver_rejected_records";

/** A log that is nested too deep among others: what the program is told, and what becomes of the others. Returns how many meshproof has to refuse. */
export async function checkPartialSuccess(
  context: LaneContext,
  server: ServerProcess,
  program: SdkProgram,
): Promise<number> {
  let rejected = 0;
  for (const encoding of program.encodings) {
    const service = `${program.name} ${encoding} deep`;
    if (program.refusesDeep.includes(encoding)) {
      await checkOwnRefusal(context, server, program, encoding, service);
      continue;
    }
    rejected++;
    await context.check(
      `${service}: the log alone is refused by partial success, ${
        program.partialSuccess === null
          ? "which the SDK passes over in silence"
          : "which the SDK logs"
      }`,
      async () => {
        const relay = await Relay.start(() => server.ports.otlp);
        const before = await counter(server, REJECTED);
        try {
          const endpoint = relay.url;
          const options = { encoding, service, records: RECORDS, deep: true, endpoint };
          const manifest = await runProgram(context, program, options);
          const answers = relay.relayed.filter(({ body }) => body.length > 2);
          assert.deepEqual(
            answers.map(({ path, status }) => [path, status]),
            [["/v1/logs", 200]],
            "one partial success",
          );
          assert.deepEqual(failuresOf(manifest), [], "to the SDK it is a success");
          const told = manifest.diagnostics.filter((line) =>
            (program.partialSuccess ?? /partial|reject|nested/i).test(line),
          );
          assert.equal(told.length, program.partialSuccess === null ? 0 : 1, told.join("\n"));
          assert.deepEqual(await assertStoredOnce(server, service, manifest), {
            logs: RECORDS,
            traces: RECORDS,
          });
          assert.equal((await counter(server, REJECTED)) - before, 1);
          return (
            told[0] ?? `the SDK said nothing; meshproof answered ${answers[0]!.body.length} bytes`
          );
        } finally {
          await relay.goAway();
        }
      },
    );
  }
  return rejected;
}

/** The Python SDK's protobuf encoder gives up sooner than we do. */
async function checkOwnRefusal(
  context: LaneContext,
  server: ServerProcess,
  program: SdkProgram,
  encoding: Encoding,
  service: string,
): Promise<void> {
  await context.check(
    `${service}: the SDK's own encoder refuses the log, and with it the batch that it is in; meshproof never sees it`,
    async () => {
      const endpoint = `http://127.0.0.1:${server.ports.otlp}`;
      const options = { encoding, service, records: RECORDS, deep: true, endpoint };
      const manifest = await runProgram(context, program, options);
      // The logs of half a program: RECORDS are one batch, with the access logs among them.
      assert.deepEqual(failuresOf(manifest), [`${1 + RECORDS * 1.05} logs: FAILURE`]);
      const told = manifest.diagnostics.find((line) => line.startsWith("error Failed to encode"));
      assert.ok(told, manifest.diagnostics.join("\n"));
      const stored = await assertStoredOnce(server, service, manifest);
      assert.deepEqual(stored, { logs: 0, traces: RECORDS });
      return told;
    },
  );
}

/** A finding is one for each sender and minute, and is sealed when the minute is over or the server starts again. */
export async function checkFindings(
  { check }: LaneContext,
  server: ServerProcess,
  rejected: number,
): Promise<void> {
  await check("what was refused is counted in sealed findings that say why", async () => {
    const statement =
      "SELECT sum(toUInt32(Detail['count'])) FROM findings WHERE FindingKind = 'rejected_record'";
    assert.equal(await waitForCount(server, statement, rejected), rejected);
    const [finding] = await server.query<{ Message: string; Detail: Record<string, string> }>(
      "SELECT Message, Detail FROM findings WHERE FindingKind = 'rejected_record' LIMIT 1",
    );
    assert.match(JSON.stringify(finding), /nested at most 100 deep/);
    return finding!.Message;
  });
}
