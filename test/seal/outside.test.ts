import { generateKeyPairSync } from "node:crypto";
import { chmodSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { silentLogger } from "../../src/core/logger.ts";
import { AnchorFile } from "../../src/seal/anchor.ts";
import { lockDirectory } from "../../src/seal/lock.ts";
import { Sealer, type SealerOptions } from "../../src/seal/sealer.ts";
import { checkProof } from "../../src/tlog/proof.ts";
import { encodeEntry } from "../../src/tlog/entry.ts";
import { leafHash } from "../../src/tlog/merkle.ts";
import { parseVerifierKey, signNote } from "../../src/tlog/note.ts";
import { openWitnessed } from "../../src/tlog/policy.ts";
import { parsePolicy } from "../../src/tlog/policy-file.ts";
import { FakeWitness } from "../support/fake-witness.ts";
import {
  Disk,
  DiskStore,
  JournalModel,
  ORIGIN,
  type TestSigner,
  batchOf,
  kindAt,
  newSigner,
  optionsOf,
  rowHashAt,
  textAt,
} from "./fixture.ts";

/** What the log is compared with outside its directory: an anchor, witnesses, checkpoints that somebody kept. */

type Options = Partial<SealerOptions>;

/** A log at `directory` that ends with `size` records under a checkpoint, closed. */
async function grow(
  directory: string,
  signer: TestSigner,
  size: number,
  options: Options = {},
): Promise<void> {
  const sealer = await openAndRecover(directory, signer, options);
  sealer.append(batchOf(sealer.size, size - sealer.size));
  await sealer.close();
}

async function openAndRecover(
  directory: string,
  signer: TestSigner,
  options: Options = {},
): Promise<Sealer> {
  const sealer = await Sealer.open(optionsOf(directory, signer, options));
  try {
    await sealer.recover([]);
    return sealer;
  } catch (error) {
    await sealer.close();
    throw error;
  }
}

/** Directories of one test: the log, and a place outside it. */
function places(t: Test): { log: string; anchor: string; copy: string } {
  const root = t.testdir({ outside: {} });
  return {
    log: join(root, "data"),
    anchor: join(root, "outside", "checkpoint"),
    copy: join(root, "copy"),
  };
}

t.test("the anchor holds the newest published checkpoint when the log is closed", async (t) => {
  const { log, anchor } = places(t);
  const signer = newSigner();
  await grow(log, signer, 10, { anchor });
  t.equal(readFileSync(anchor, "utf8"), readFileSync(join(log, "log/checkpoint"), "utf8"));
  await grow(log, signer, 300, { anchor });
  t.match(readFileSync(anchor, "utf8"), textAt(300));
  t.notOk(existsSync(`${anchor}.tmp`));
});

t.test("an older copy of the directory is refused when the anchor has a newer one", async (t) => {
  const { log, anchor, copy } = places(t);
  const signer = newSigner();
  await grow(log, signer, 10, { anchor });
  cpSync(log, copy, { recursive: true });
  await grow(log, signer, 300, { anchor });
  const kept = readFileSync(anchor, "utf8");
  await t.rejects(openAndRecover(copy, signer, { anchor }), {
    code: "LOG_INCONSISTENT",
    message: new RegExp(
      `the anchor ${anchor} has a checkpoint of 300 records .*${copy} knows of 10: .*Restore the newest copy`,
    ),
  });
  t.equal(readFileSync(anchor, "utf8"), kept, "the anchor is left as it is");
  lockDirectory(copy).release();
  await t.rejects(
    openAndRecover(join(copy, "empty"), signer, { anchor }),
    { code: "LOG_INCONSISTENT", message: /knows of 0/ },
    "an empty directory is the oldest copy",
  );
  t.notOk(existsSync(join(copy, "empty/log/checkpoint")), "and nothing was signed");
  await (await openAndRecover(log, signer, { anchor })).close();
});

t.test("a log that forked from what the anchor holds is refused", async (t) => {
  const { log, anchor, copy } = places(t);
  const signer = newSigner();
  await grow(log, signer, 10);
  cpSync(log, copy, { recursive: true });
  await grow(log, signer, 300, { anchor });
  const other = await openAndRecover(copy, signer);
  other.append(batchOf(10, 500, (index) => rowHashAt(index + 1)));
  await other.close();
  const signed = signer.signed.length;
  await t.rejects(openAndRecover(copy, signer, { anchor }), {
    code: "LOG_INCONSISTENT",
    message: /has a checkpoint of 300 records .*, the first 300 records in .* are another tree/,
  });
  t.equal(signer.signed.length, signed, "nothing was signed on top of it");
});

t.test("an older anchor is no reason to refuse, and is brought up to date", async (t) => {
  const { log, anchor } = places(t);
  const signer = newSigner();
  await grow(log, signer, 10, { anchor });
  await grow(log, signer, 400);
  await grow(log, signer, 600, { anchor });
  t.match(readFileSync(anchor, "utf8"), textAt(600));
});

t.test("an anchor that is not this log's is refused, and never written over", async (t) => {
  const { log, anchor } = places(t);
  const signer = newSigner();
  await grow(log, signer, 10);
  for (const [what, text] of Object.entries({
    "another key": await signNote(textAt(10), [newSigner()]),
    "another origin": await signNote("other.example\n5\nAAAA\n", [newSigner("other.example")]),
    "no checkpoint": "hello\n",
    "nothing in it": "",
  })) {
    writeFileSync(anchor, text);
    await t.rejects(
      openAndRecover(log, signer, { anchor }),
      { code: "LOG_INCONSISTENT", message: /is no checkpoint of meshproof.test\/log/ },
      what,
    );
    t.equal(readFileSync(anchor, "utf8"), text);
  }
});

t.test("an anchor whose directory is not there is no first start", async (t) => {
  const { log, anchor } = places(t);
  await t.rejects(openAndRecover(log, newSigner(), { anchor: join(anchor, "x/checkpoint") }), {
    code: "CONFIG_INVALID",
    message: /processors\.seal\.anchor/,
  });
});

t.test("an anchor that cannot be written is said once, and holds nothing up", async (t) => {
  const { anchor } = places(t);
  const said: string[] = [];
  const logger = {
    ...silentLogger,
    error: (_: object, text: string) => said.push(text),
    info: (_: object, text: string) => said.push(text),
  };
  const directory = join(anchor, "..");
  const file = new AnchorFile(anchor, logger, 1);
  rmSync(directory, { recursive: true });
  for (const note of ["a\n", "b\n"]) {
    file.write(note);
    await file.close();
  }
  t.match(said, [/cannot be written/]);
  t.testdir({ outside: {} });
  file.write("c\n");
  await file.close();
  t.equal(readFileSync(anchor, "utf8"), "c\n");
  t.match(said, [/cannot be written/, /written again/]);
});

t.test("what somebody kept is compared at any time; what others signed says nothing", async (t) => {
  const { log } = places(t);
  const signer = newSigner();
  const sealer = await openAndRecover(log, signer);
  t.teardown(() => sealer.close());
  sealer.append(batchOf(0, 300));
  await sealer.checkpoint();
  const compare = async (text: string, by = signer): Promise<boolean> =>
    sealer.compare({ source: "a letter", note: await signNote(text, [by]) });
  t.equal(await compare(textAt(300)), true);
  t.equal(await compare(textAt(7)), true);
  t.equal(await compare(textAt(301), newSigner()), false);
  t.equal(await sealer.compare({ source: "a letter", note: "" }), false);
  await t.rejects(compare(textAt(301)), {
    code: "LOG_INCONSISTENT",
    message: /a letter has a checkpoint of 301 .*knows of 300/,
  });
  await t.rejects(compare(textAt(8).replace("\n8\n", "\n7\n")), {
    code: "LOG_INCONSISTENT",
    message: /another tree/,
  });
});

/** Witnesses of the log of `signer`, of whom `quorum` are needed, and the options that ask them. */
async function askedWitnesses(t: Test, signer: TestSigner, count: number, quorum: number) {
  const fakes = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      FakeWitness.start({
        name: `example.org/w${i}`,
        privateKey: generateKeyPairSync("ed25519").privateKey,
        origin: ORIGIN,
        logKeys: [parseVerifierKey(signer.verifierKey)],
      }),
    ),
  );
  t.teardown(() => Promise.all(fakes.map((fake) => fake.stop())));
  const policy = parsePolicy(
    [
      `log ${signer.verifierKey}`,
      ...fakes.map((fake, i) => `witness w${i} ${fake.cosigner.verifierKey} ${fake.url}`),
      `group g ${quorum} ${fakes.map((_, i) => `w${i}`).join(" ")}`,
      "quorum g\n",
    ].join("\n"),
  );
  return { fakes, policy, witnesses: { policy, intervalMs: 5, timeoutMs: 5_000 } };
}

const isDown = (_: unknown, response: { writeHead(code: number): { end(): void } }): boolean => (
  response.writeHead(500).end(),
  true
);

async function waitFor(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 2));
}

t.test("a checkpoint is published, proved and anchored with its quorum", async (t) => {
  const { log, anchor } = places(t);
  const signer = newSigner();
  const { fakes, policy, witnesses } = await askedWitnesses(t, signer, 3, 2);
  fakes[2]!.misbehave = isDown;
  const published: string[] = [];
  const sealer = await openAndRecover(log, signer, {
    witnesses,
    anchor,
    onPublished: ({ note }) => published.push(note),
  });
  sealer.append(batchOf(0, 300));
  await sealer.checkpoint();
  t.equal(sealer.signedSize, 300);
  await waitFor(() => sealer.publishedSize === 300);
  const proof = await sealer.prove(7);
  const leaf = leafHash(encodeEntry(kindAt(7), rowHashAt(7)));
  checkProof(proof, leaf, ORIGIN, [parseVerifierKey(signer.verifierKey)]);
  t.equal(openWitnessed(proof.checkpoint, policy).cosignatures.length, 2);
  t.match(sealer.witnesses, [{ size: 300, error: null }, { size: 300 }, { error: /500/ }]);
  sealer.append(batchOf(300, 20));
  await sealer.close();
  t.equal(sealer.publishedSize, 320, "closing takes the last one to them");
  const kept = readFileSync(anchor, "utf8");
  t.equal(kept, published.at(-1));
  t.equal(openWitnessed(kept, policy).size, 320);
});

t.test("without a quorum sealing goes on, and partial tiles do not pile up", async (t) => {
  const signer = newSigner();
  const { fakes, witnesses } = await askedWitnesses(t, signer, 1, 1);
  fakes[0]!.misbehave = isDown;
  const disk = new Disk();
  const journal = new JournalModel();
  const options = { witnesses, store: new DiskStore(disk) };
  const directory = t.testdir();
  const sealer = await openAndRecover(directory, signer, {
    ...options,
    onDurable: (through) => journal.release(through),
  });
  for (let i = 0; i < 40; i++) {
    sealer.append(journal.append(64));
    await sealer.checkpoint();
    await waitFor(() => disk.unsynced.size === 0);
  }
  t.equal(sealer.publishedSize, 0);
  t.equal(sealer.signedSize, 2_560);
  const partial = [...disk.files.keys()].filter((path) => path.includes(".p/"));
  t.ok(partial.length < 40, `${partial.length} partial files`);
  await sealer.close();
  t.equal(sealer.publishedSize, 0, "closing does not wait for who is away");
  t.same(journal.frames(0), [], "the journal is let go of");

  fakes[0]!.misbehave = null;
  const again = await openAndRecover(directory, signer, options);
  await waitFor(() => again.publishedSize === 2_560);
  t.equal(fakes[0]!.size, 2_560, "what waited is taken to them at the next start");
  await again.close();
});

t.test("a log that is behind a witness, or beside it, is refused", async (t) => {
  const { log, copy } = places(t);
  const signer = newSigner();
  const { fakes, witnesses } = await askedWitnesses(t, signer, 2, 1);
  await grow(log, signer, 10, { witnesses });
  cpSync(log, copy, { recursive: true });
  const sealer = await openAndRecover(log, signer, { witnesses });
  await waitFor(() => sealer.publishedSize === 10);
  sealer.append(batchOf(10, 90));
  await sealer.close();
  fakes[0]!.misbehave = isDown;
  await t.rejects(openAndRecover(copy, signer, { witnesses }), {
    code: "LOG_INCONSISTENT",
    message: /witness w1 has a checkpoint of 100 records .* knows of 10/,
  });
  fakes[1]!.misbehave = isDown;
  const unseen = await openAndRecover(copy, signer, { witnesses });
  t.pass("witnesses that are away hold up no start");
  unseen.append(batchOf(10, 190, (index) => rowHashAt(index + 1)));
  await unseen.close();
  fakes[1]!.misbehave = null;
  await t.rejects(openAndRecover(copy, signer, { witnesses }), {
    code: "LOG_INCONSISTENT",
    message: /witness w1 has a checkpoint of 100 records .*another tree/,
  });
});

t.test(
  "a checkpoint that a full disk kept from being published is, when there is room",
  async (t) => {
    const signer = newSigner();
    const store = new DiskStore(new Disk());
    const { publish } = store;
    const sealer = await openAndRecover(t.testdir(), signer, { store, checkpointIntervalMs: 5 });
    t.teardown(() => sealer.close());
    store.publish = async () => {
      throw Object.assign(new Error("ENOSPC: write"), { code: "ENOSPC", syscall: "write" });
    };
    sealer.append(batchOf(0, 5));
    await t.rejects(sealer.checkpoint(), { code: "STORAGE_FULL" });
    t.equal(sealer.signedSize, 5);
    store.publish = publish;
    await waitFor(() => sealer.publishedSize === 5);
    t.equal(signer.signed.length, 1, "and not signed again");
  },
);

t.test(
  "a file that cannot be read is not taken for a missing one",
  { skip: process.getuid?.() === 0 && "root reads all" },
  async (t) => {
    const { log, anchor } = places(t);
    const signer = newSigner();
    await grow(log, signer, 10, { anchor });
    chmodSync(anchor, 0);
    await t.rejects(openAndRecover(log, signer, { anchor }), { code: "CONFIG_INVALID" });
  },
);
