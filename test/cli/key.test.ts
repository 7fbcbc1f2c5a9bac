import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";
import { main } from "../../src/cli/index.ts";
import { readFormerKeys, signedLog } from "../../src/cli/own-log.ts";
import { formatState, type SealState } from "../../src/seal/state.ts";
import { formatVerifierKey, parseVerifierKey, signNote } from "../../src/tlog/note.ts";
import { newSigner, textAt } from "../seal/fixture.ts";

/** A configuration with a data directory of its own, and `meshproof` with it. */
function place(t: Test, signer = "") {
  const directory = t.testdir({
    "test.yaml": `processors: { seal: { origin: key.test/log${signer} } }\nstorage: { directory: ${JSON.stringify(join(t.testdirName, "data"))} }\n`,
  });
  const run = async (...args: string[]) => {
    const [out, err]: string[][] = [[], []];
    const streams = {
      stdout: { write: (text: string) => out!.push(text) },
      stderr: { write: (text: string) => err!.push(text) },
    };
    const code = await main([...args, "--config", join(directory, "test.yaml")], streams, {});
    return { code, out: out!.join(""), err: err!.join("") };
  };
  const data = join(directory, "data");
  return { run, data, file: join(data, "secrets/log-key.pem") };
}

function writeState(data: string, state: Partial<SealState>): void {
  mkdirSync(join(data, "state"), { recursive: true });
  const whole = {
    checkpoint: "",
    durableThrough: 0,
    checkpointSizes: [],
    prunedThrough: 0,
    keys: [],
    ...state,
  };
  writeFileSync(join(data, "state/checkpoint.json"), formatState(whole));
}

t.test("generate makes a key once; key shows its public half alone", async (t) => {
  const { run, file } = place(t);
  const made = await run("key", "generate");
  t.equal(made.code, 0);
  t.match(made.out, /^key\.test\/log\+[0-9a-f]{8}\+\S+\n$/);
  t.match(made.err, /Keep a copy/);
  const pem = readFileSync(file, "utf8");
  t.match(await run("key", "generate"), { code: 3, out: "", err: /there is a key already/ });
  t.equal(readFileSync(file, "utf8"), pem);
  t.match(await run("key"), { code: 0, out: made.out, err: "" });
  t.match(await run("key", "show"), { code: 0, out: made.out });
  t.match(JSON.parse((await run("key", "--json")).out), {
    origin: "key.test/log",
    verifierKey: made.out.trim(),
    retiring: null,
    keys: [],
  });
  t.match(await run("key", "burn"), { code: 2, err: /too many arguments|unknown command/ });
});

t.test("show and rotate make no key: where there is none they say so", async (t) => {
  const { run, data, file } = place(t);
  for (const command of [[], ["show"], ["show", "--json"], ["rotate"], ["rotate", "--finish"]]) {
    const none = { code: 3, out: "", err: /there is no key yet; meshproof key generate/ };
    t.match(await run("key", ...command), none, command.join(" "));
  }
  t.notOk(existsSync(data));
  writeState(data, {});
  for (const command of ["show", "rotate"])
    t.match(await run("key", command), { code: 3, out: "", err: /restore it/ }, command);
  t.notOk(existsSync(file));
});

t.test("keys are for their owner alone, from the first moment and after a rotation", async (t) => {
  const { run, data, file } = place(t);
  const verifierKey = (await run("key", "generate")).out.trim();
  writeState(data, { keys: [{ verifierKey, from: 1, through: null, record: null }] });
  t.match((await run("key")).err, "", "nothing to complain of");
  t.equal((await run("key", "rotate")).code, 0);
  for (const path of [file, `${file}.retiring`]) t.equal(statSync(path).mode & 0o777, 0o600, path);
  t.equal(statSync(dirname(file)).mode & 0o777, 0o700);
});

t.test("generate makes no second key for a log that is signed", async (t) => {
  const { run, data, file } = place(t);
  writeState(data, {});
  t.match(await run("key", "generate"), { code: 3, err: /restore it/ });
  t.notOk(existsSync(file));
});

t.test(
  "rotate says what to do, and finish waits for a checkpoint with both signatures",
  async (t) => {
    const { run, data, file } = place(t);
    const old = (await run("key", "generate")).out.trim();
    t.match(await run("key", "rotate"), { code: 3, err: /has signed nothing yet/ });
    const period = { verifierKey: old, from: 1, through: null, record: null };
    writeState(data, { keys: [period] });
    const rotated = await run("key", "rotate");
    t.match(rotated, { code: 0, out: /1\. Restart the server[\s\S]*--finish/ });
    const next = (await run("key")).out.trim();
    t.ok(rotated.out.includes(next) && rotated.out.includes(old));
    t.match((await run("key")).err, `It is replacing ${old}`);
    t.match(await run("key", "rotate", "--finish"), { code: 3, err: /start the server once/ });
    writeState(data, { keys: [period, { verifierKey: next, from: 9, through: null, record: 8 }] });
    t.match((await run("key")).err, /from 9 records on; record 8 names it/);
    t.match(JSON.parse((await run("key", "rotate", "--finish", "--json")).out), {
      origin: "key.test/log",
      retired: old,
      verifierKey: next,
    });
    t.notOk(existsSync(`${file}.retiring`));
  },
);

t.test("a key in a token is made and replaced by its own tools", async (t) => {
  const { run } = place(t, ", signer: { type: pkcs11 }");
  for (const command of ["generate", "rotate"])
    t.match(await run("key", command), { code: 2, err: /processors\.seal\.retiring_signer/ });
});

t.test("former keys vouch for what they signed, and a trusted one is none of them", async (t) => {
  const [first, second, third] = [newSigner(), newSigner(), newSigner()];
  const trusted = (signer: typeof first) => [parseVerifierKey(signer.verifierKey)];
  const data = t.testdir();
  const former = async (signer: typeof first): Promise<[string, number | undefined][]> =>
    (await readFormerKeys(data, trusted(signer))).map((key) => [
      formatVerifierKey(key),
      key.through,
    ]);
  t.same(await former(first), [], "no state, no former keys");
  const period = { from: 1, through: 50, record: null };
  writeState(data, {
    keys: [
      { ...period, verifierKey: first.verifierKey },
      { ...period, verifierKey: second.verifierKey, from: 40, through: null },
      { ...period, verifierKey: third.verifierKey, from: 90, through: null },
    ],
  });
  t.same(
    await former(third),
    [
      [first.verifierKey, 50],
      [second.verifierKey, 89],
    ],
    "one that still signs counts up to where the trusted one signs beside it",
  );
  t.same(await former(newSigner()), [], "a key that the log does not know has no predecessors");
  writeFileSync(join(data, "state/checkpoint.json"), "{");
  t.same(await former(third), [], "nor has any in a file that was changed");
});

t.test(
  "the newest signed checkpoint counts, and what is published when it is no older",
  async (t) => {
    const signer = newSigner();
    const [small, large] = (await Promise.all(
      [5, 9].map((size) => signNote(textAt(size), [signer])),
    )) as [string, string];
    const data = t.testdir();
    const newest = (published: string | null): Promise<string | null> =>
      signedLog({ checkpoint: async () => published, tile: async () => null }, data).checkpoint();
    t.equal(await newest(small), small, "without a commit record");
    t.equal(await newest(null), null);
    writeState(data, { checkpoint: large });
    t.equal(await newest(small), large);
    t.equal(await newest(null), large);
    t.equal(await newest("broken"), "broken", "what is wrong with it is for verify to say");
    writeState(data, { checkpoint: small });
    t.equal(await newest(large), large);
  },
);
