import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { silentLogger } from "../src/core/logger.ts";
import { ROW_PREFIX_LENGTH } from "../src/core/rows.ts";
import { openBatchSecret, openLogId } from "../src/identity.ts";
import { internalMeta } from "../src/journal/frame.ts";
import { Journal } from "../src/journal/journal.ts";
import { controlSection } from "../src/records/own-rows.ts";
import { actualRows } from "./support/expected-rows.ts";

const BIRTH = { origin: "example.org/mesh", verifierKey: "example.org/mesh+1+k", nowNs: 5n };

async function inDirectory(
  t: Test,
  nextIndex = 0,
): Promise<{ directory: string; journal: Journal }> {
  const directory = await mkdtemp(join(tmpdir(), "meshproof-identity-"));
  await mkdir(join(directory, "state"));
  const journal = await Journal.open({
    directory: join(directory, "journal"),
    maxBytes: 2 ** 24,
    nextIndex,
    logger: silentLogger,
    onFatal: (error) => t.fail(error.message),
  });
  t.teardown(async () => {
    await journal.close();
    await rm(directory, { recursive: true });
  });
  return { directory, journal };
}

t.test("the LogId is the hash of row 0, which names origin, key and time", async (t) => {
  const { directory, journal } = await inDirectory(t);
  const logId = await openLogId(directory, journal, BIRTH);
  t.equal(journal.durableIndex, 1);
  for await (const frame of journal.frames(0)) {
    const section = frame.sections[0]!;
    const row = section.bytes.subarray(ROW_PREFIX_LENGTH);
    t.equal(createHash("sha256").update(row).digest("hex").slice(0, 16), logId);
    t.equal(Buffer.from(section.bytes.subarray(1, 17)).toString(), logId, "its own prefix says it");
    t.match(actualRows(section)[0], {
      ControlKind: "log_created",
      Timestamp: 5n,
      Detail: [
        ["origin", BIRTH.origin],
        ["verifier_key", BIRTH.verifierKey],
      ],
    });
  }
  t.equal(await openLogId(directory, journal, { ...BIRTH, nowNs: 9n }), logId, "it stays");
  t.equal(journal.nextIndex, 1, "and is sealed once");
});

t.test("a crash between row 0 and the file of the LogId loses nothing", async (t) => {
  const { directory, journal } = await inDirectory(t);
  const logId = await openLogId(directory, journal, BIRTH);
  await rm(join(directory, "state", "log-id"));
  t.equal(await openLogId(directory, journal, BIRTH), logId);
  t.equal((await readFile(join(directory, "state", "log-id"), "utf8")).trim(), logId);
});

t.test("a log whose ID is nowhere to be found is refused", async (t) => {
  const released = await inDirectory(t, 40);
  await t.rejects(openLogId(released.directory, released.journal, BIRTH), {
    code: "LOG_INCONSISTENT",
    message: /log-id: expected the 16 hex digits .* got no file/,
  });
  const damaged = await inDirectory(t);
  await writeFile(join(damaged.directory, "state", "log-id"), "nonsense\n");
  await t.rejects(openLogId(damaged.directory, damaged.journal, BIRTH), {
    code: "LOG_INCONSISTENT",
    message: /got nonsense/,
  });
  const foreign = await inDirectory(t);
  const section = {
    ...controlSection("0".repeat(16), [{ timestampNs: 1n, controlKind: "start", detail: {} }]),
    kind: 5 as const,
  };
  await foreign.journal.append({ sections: [section] }, internalMeta(1n)).durable;
  await t.rejects(openLogId(foreign.directory, foreign.journal, BIRTH), {
    code: "LOG_INCONSISTENT",
    message: /begin with the record that opens the log/,
  });
});

t.test("the secret of batch keys is made once, for its owner alone", async (t) => {
  const directory = t.testdir({});
  const secret = await openBatchSecret(directory);
  t.equal(secret.length, 32);
  t.same(await openBatchSecret(directory), secret);
  const path = join(directory, "secrets", "batch-key");
  t.equal((await stat(path)).mode & 0o777, 0o600);
  for (const text of ["", "00", `${"0".repeat(63)}x\n`]) {
    await writeFile(path, text);
    await t.rejects(openBatchSecret(directory), { code: "KEY_INVALID" });
  }
});
