import { copyFileSync, existsSync, linkSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { extendPeriods, keyChange, verifierKeysOf } from "../../src/seal/key-periods.ts";
import { openMlDsaSigner } from "../../src/seal/ml-dsa.ts";
import { makeKeyPem } from "../../src/seal/keys.ts";
import { openSigner, openSigners } from "../../src/seal/open-signer.ts";
import { finishRotation, startRotation } from "../../src/seal/rotation.ts";
import { Sealer } from "../../src/seal/sealer.ts";
import { openCheckpoint } from "../../src/tlog/checkpoint.ts";
import { parseNote, parseVerifierKey } from "../../src/tlog/note.ts";
import {
  Disk,
  DiskStore,
  JournalModel,
  ORIGIN,
  type TestSigner,
  newSigner,
  optionsOf,
} from "./fixture.ts";

/** One log whose key is replaced: by the old key, by both, by the new one. */
class Log {
  readonly disk = new Disk();
  readonly journal = new JournalModel();
  readonly #directory: string;

  constructor(t: Test) {
    this.#directory = t.testdir();
  }

  /** Runs it with these keys, the newest last, and adds `count` records under a checkpoint. Returns the checkpoint. */
  async run(
    signers: readonly TestSigner[],
    count: number,
    { stopAt = Infinity, records = {} as Readonly<Record<string, number>> } = {},
  ): Promise<string> {
    const options = optionsOf(this.#directory, signers.at(-1)!, {
      otherSigners: signers.slice(0, -1),
      store: new DiskStore(this.disk, stopAt),
      onDurable: (through) => this.journal.release(through),
    });
    const sealer = await Sealer.open(options);
    try {
      for (const [key, index] of Object.entries(records)) sealer.announced(key, index);
      await sealer.recover(this.journal.frames(sealer.replayFrom));
      sealer.append(this.journal.append(count));
      await sealer.checkpoint();
    } finally {
      await sealer.close();
    }
    return this.disk.published!;
  }
}

const signedBy = (note: string): number[] => parseNote(note).signatures.map(({ keyId }) => keyId);
const opens = (note: string, ...signers: TestSigner[]): boolean => {
  try {
    openCheckpoint(
      note,
      ORIGIN,
      signers.map(({ verifierKey }) => parseVerifierKey(verifierKey)),
    );
    return true;
  } catch {
    return false;
  }
};

t.test("the old key signs, then both, then the new one, and each checkpoint says so", async (t) => {
  const log = new Log(t);
  const [old, next] = [newSigner(), newSigner()];
  const before = await log.run([old], 10);
  const during = await log.run([old, next], 10, { records: { [next.verifierKey]: 10 } });
  const after = await log.run([next], 10);
  t.same([before, during, after].map(signedBy), [
    [old.keyId],
    [old.keyId, next.keyId],
    [next.keyId],
  ]);
  t.ok(opens(during, old) && opens(during, next), "who knows one of them opens it");
  t.notOk(opens(after, old));
  t.same(log.disk.state!.keys, [
    { verifierKey: old.verifierKey, from: 10, through: 20, record: null },
    { verifierKey: next.verifierKey, from: 20, through: null, record: 10 },
  ]);
  const keys = verifierKeysOf(log.disk.state!.keys);
  for (const note of [before, during, after]) t.ok(openCheckpoint(note, ORIGIN, keys));
  const late = await new Log(t).run([old], 21);
  t.throws(
    () => openCheckpoint(late, ORIGIN, keys),
    { code: "NOTE_INVALID" },
    "what the old key signs later does not count",
  );
});

t.test(
  "without the old key beside it a new one is foreign, and a replaced one stays so",
  async (t) => {
    const log = new Log(t);
    const [old, next] = [newSigner(), newSigner()];
    await log.run([old], 10);
    await t.rejects(log.run([next], 10), { code: "KEY_INVALID", message: /key rotate/ });
    await log.run([old, next], 10);
    await log.run([next], 10);
    await t.rejects(log.run([old, next], 10), {
      code: "KEY_INVALID",
      message: /was replaced when the log had 20 records/,
    });
    await t.rejects(log.run([old], 10), { code: "KEY_INVALID" });
    const third = newSigner();
    t.equal(signedBy(await log.run([next, third], 5)).length, 2, "and a rotation may follow");
  },
);

t.test("a rotation that is given up leaves the new key behind", async (t) => {
  const log = new Log(t);
  const [old, next] = [newSigner(), newSigner()];
  await log.run([old], 10);
  await log.run([old, next], 10);
  t.same(signedBy(await log.run([old], 10)), [old.keyId]);
  t.match(log.disk.state!.keys, [
    { through: null },
    { verifierKey: next.verifierKey, through: 20 },
  ]);
});

t.test("a crash at any operation of a rotation leaves a log that goes on", async (t) => {
  for (let stopAt = 0; ; stopAt++) {
    const log = new Log(t);
    const [old, next] = [newSigner(), newSigner()];
    await log.run([old], 10);
    const completed = await log.run([old, next], 300, { stopAt }).then(
      () => true,
      () => false,
    );
    log.disk.unsynced.clear();
    const note = await log.run([old, next], 5);
    if (signedBy(note).length !== 2) t.fail(`stopped at ${stopAt}: ${note}`);
    const [first, second] = log.disk.state!.keys;
    if (first!.through !== null || second!.verifierKey !== next.verifierKey || second!.from <= 10)
      t.fail(`stopped at ${stopAt}: ${JSON.stringify(log.disk.state!.keys)}`);
    await log.run([next], 5, { stopAt: stopAt % 7 }).catch(() => {});
    log.disk.unsynced.clear();
    if (!opens(await log.run([next], 5), next)) t.fail(`stopped at ${stopAt}: not finished`);
    const through = log.disk.state!.keys[0]!.through!;
    if (!(through >= second!.from)) t.fail(`stopped at ${stopAt}: ${through}`);
    if (completed && stopAt > 20) return;
  }
});

t.test("a list of keys that does not have who signed is a changed file", async (t) => {
  const log = new Log(t);
  const [signer, other] = [newSigner(), newSigner()];
  await log.run([signer], 10);
  const state = log.disk.state!;
  const period = state.keys[0]!;
  for (const keys of [
    [{ ...period, verifierKey: other.verifierKey }],
    [{ ...period, through: 10 }],
  ]) {
    log.disk.state = { ...state, keys };
    await t.rejects(log.run([signer], 1), { code: "LOG_INCONSISTENT", message: /list of keys/ });
  }
  log.disk.state = { ...state, keys: [] };
  await log.run([signer], 1);
  t.match(log.disk.state.keys, [], "one from before there was a list is completed");
  t.match(log.disk.state!.keys, [{ verifierKey: signer.verifierKey, from: 0, through: null }]);
});

t.test("periods follow from who signs", async (t) => {
  const none = new Map<string, number>();
  t.same(keyChange([], ["a"]), { added: [], retired: [], kept: [] });
  const one = extendPeriods([], ["a"], { size: 5, previousSize: 0 }, none);
  t.same(one, [{ verifierKey: "a", from: 5, through: null, record: null }]);
  t.same(extendPeriods(one, ["a"], { size: 9, previousSize: 5 }, none), one, "nothing changes");
  t.same(keyChange(one, ["b", "a"]), { added: ["b"], retired: [], kept: ["a"] });
  t.same(keyChange(one, ["b"]), { added: ["b"], retired: ["a"], kept: [] });
});

t.test(
  "an ML-DSA-44 key signs behind the Ed25519 key, and either opens the checkpoint",
  async (t) => {
    const file = join(t.testdir(), "secrets/ml-dsa.pem");
    const open = () => openMlDsaSigner(file, ORIGIN);
    const mlDsa = await open().catch(() => null);
    if (mlDsa === null) return t.comment("this Node has no ML-DSA-44");
    t.equal(statSync(file).mode & 0o777, 0o600);
    t.equal((await open()).verifierKey, mlDsa.verifierKey);
    writeFileSync(file, makeKeyPem());
    await t.rejects(open(), {
      code: "KEY_INVALID",
      message: /expected an ML-DSA-44 key, got ed25519/,
    });
    const log = new Log(t);
    const signer = newSigner();
    await log.run([signer], 10);
    const note = await log.run([{ ...mlDsa, signed: [] }, signer], 10);
    t.same(signedBy(note), [signer.keyId, mlDsa.keyId]);
    for (const { verifierKey } of [signer, mlDsa])
      t.equal(openCheckpoint(note, ORIGIN, [parseVerifierKey(verifierKey)]).size, 20);
  },
);

/** A directory with a key and, unless said otherwise, a list that says that it signs. */
async function keyIn(t: Test) {
  const directory = t.testdir();
  const options = { config: { type: "file" }, origin: ORIGIN, directory, logger: silentLogger };
  const { verifierKey } = await openSigner(options);
  const file = join(directory, "secrets/log-key.pem");
  return {
    options,
    file,
    verifierKey,
    keys: [{ verifierKey, from: 1, through: null, record: null }],
  };
}

t.test(
  "rotating files puts the new key in the place of the old, and finishing deletes that",
  async (t) => {
    const { options, file, verifierKey, keys } = await keyIn(t);
    const pem = readFileSync(file, "utf8");
    t.equal((await openSigners(options)).retiring, null);
    await t.rejects(startRotation(file, ORIGIN, []), {
      code: "KEY_INVALID",
      message: /nothing yet/,
    });
    await t.rejects(finishRotation(file, ORIGIN, keys), {
      code: "KEY_INVALID",
      message: /no rotation/,
    });
    const { old, current } = await startRotation(file, ORIGIN, keys);
    t.equal(old, verifierKey);
    t.equal(readFileSync(`${file}.retiring`, "utf8"), pem);
    for (const path of [file, `${file}.retiring`]) t.equal(statSync(path).mode & 0o777, 0o600);
    t.match(await openSigners(options), {
      signer: { verifierKey: current },
      retiring: { verifierKey: old },
    });
    await t.rejects(startRotation(file, ORIGIN, keys), {
      code: "KEY_INVALID",
      message: /nothing yet/,
    });
    await t.rejects(finishRotation(file, ORIGIN, keys), {
      code: "KEY_INVALID",
      message: /start the server once/,
    });
    const both = [...keys, { verifierKey: current, from: 2, through: null, record: 1 }];
    await t.rejects(
      startRotation(file, ORIGIN, both),
      { code: "KEY_INVALID", message: /is being replaced already/ },
      "one rotation at a time",
    );
    t.same(await finishRotation(file, ORIGIN, both), { retired: old, current });
    t.notOk(existsSync(`${file}.retiring`));
    t.match(await openSigners(options), { signer: { verifierKey: current }, retiring: null });
  },
);

t.test(
  "a rotation that was cut off in the middle counts as none, and can be begun again",
  async (t) => {
    const { options, file, verifierKey, keys } = await keyIn(t);
    linkSync(file, `${file}.retiring`);
    t.match(await openSigners(options), { signer: { verifierKey }, retiring: null });
    const { old, current } = await startRotation(file, ORIGIN, keys);
    t.equal(old, verifierKey);
    t.not(current, verifierKey);
  },
);

t.test(
  "a section for the old key goes before what lies beside the new one, and makes no key",
  async (t) => {
    const { options, file, verifierKey } = await keyIn(t);
    const old = `${file}.2026`;
    const retiring = { type: "file", path: old };
    await t.rejects(openSigners({ ...options, retiring }), {
      code: "KEY_INVALID",
      message: /2026/,
    });
    t.notOk(existsSync(old));
    copyFileSync(file, old);
    writeFileSync(file, makeKeyPem());
    t.match((await openSigners({ ...options, retiring })).retiring, { verifierKey });
  },
);

t.test("a key in a token needs a library, labels, a PIN and the package", async (t) => {
  const directory = t.testdir({ pin: "1234\nmore" });
  const open = (config: Record<string, string>) =>
    openSigner({
      config: { type: "pkcs11", path: "", ...config },
      origin: ORIGIN,
      directory,
      logger: silentLogger,
    });
  const whole = { library: join(directory, "none.so"), token: "mesh", key: "log", pin: "1234" };
  const wrong: [Record<string, string>, RegExp][] = [
    [{}, /signer\.library/],
    [{ ...whole, token: "" }, /signer\.token/],
    [{ ...whole, key: "" }, /signer\.key/],
    [{ ...whole, pin: "" }, /signer\.pin_file/],
    [{ ...whole, pin_file: "pin" }, /signer\.pin_file/],
    [{ ...whole, pin: "", pin_file: join(directory, "absent") }, /signer\.pin_file: .*ENOENT/],
    [{ ...whole, path: "key.pem" }, /signer\.path: expected no such key/],
  ];
  for (const [config, message] of wrong)
    await t.rejects(open(config), { code: "CONFIG_INVALID", message }, String(message));
  // Whether the package is installed here or not, a library that is not there opens no key.
  await t.rejects(open({ ...whole, pin: "", pin_file: join(directory, "pin") }), {
    message: /needs the package pkcs11js|expected a PKCS#11 library/,
  });
});
