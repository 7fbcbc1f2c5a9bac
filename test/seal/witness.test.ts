import { createPrivateKey, generateKeyPairSync, sign, type KeyObject } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import t, { type Test } from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { silentLogger } from "../../src/core/logger.ts";
import type { SignedCheckpoint } from "../../src/seal/recovery.ts";
import { Witnesses, type WitnessesOptions } from "../../src/seal/witness.ts";
import { WitnessClient } from "../../src/seal/witnesses/client.ts";
import { type CheckpointSigner, signCheckpoint } from "../../src/tlog/checkpoint.ts";
import { createCosigner } from "../../src/tlog/cosigner.ts";
import { subtreeHash } from "../../src/tlog/hash-into.ts";
import { type HashReader, leafHash } from "../../src/tlog/merkle.ts";
import {
  ED25519_TYPE,
  formatVerifierKey,
  keyId,
  parseVerifierKey,
  signNote,
} from "../../src/tlog/note.ts";
import { type Policy, openWitnessed } from "../../src/tlog/policy.ts";
import { parsePolicy } from "../../src/tlog/policy-file.ts";
import { proveConsistency, treeRoot } from "../../src/tlog/prove.ts";
import { FakeWitness } from "../support/fake-witness.ts";

const ORIGIN = "example.org/log";
const LEAVES = Buffer.concat(
  Array.from({ length: 64 }, (_, i) => leafHash(Buffer.from(`leaf ${i}`))),
);
/** Another history from leaf 20 on. */
const FORKED = Buffer.concat([LEAVES.subarray(0, 20 * 32), LEAVES.subarray(21 * 32), LEAVES]);

/** PKCS#8 DER in front of an Ed25519 seed (RFC 8410, section 7). */
function ed25519Key(seed: number): KeyObject {
  const prefix = Buffer.from("302e020100300506032b657004220420", "hex");
  return createPrivateKey({
    key: Buffer.concat([prefix, Buffer.alloc(32, seed)]),
    format: "der",
    type: "pkcs8",
  });
}

function logSigner(seed: number): CheckpointSigner {
  const privateKey = ed25519Key(seed);
  const publicKey = parseVerifierKey(
    createCosigner({ name: "x", privateKey, now: () => 0n }).verifierKey,
  ).publicKey;
  const id = keyId(ORIGIN, ED25519_TYPE, publicKey);
  return {
    name: ORIGIN,
    keyId: id,
    verifierKey: formatVerifierKey({ name: ORIGIN, keyId: id, type: ED25519_TYPE, publicKey }),
    sign: async (message) => sign(null, message, privateKey),
  };
}

const signer = logSigner(1);
const logKeys = [parseVerifierKey(signer.verifierKey)];

function readerOf(leaves: Buffer): HashReader {
  return {
    readHashes: async (subtrees) =>
      subtrees.map(({ level, index }) => subtreeHash(leaves, index * 2 ** level * 32, 2 ** level)),
  };
}

async function checkpointAt(size: number, leaves = LEAVES): Promise<SignedCheckpoint> {
  const root = await treeRoot(size, readerOf(leaves));
  return { size, root, note: await signCheckpoint({ origin: ORIGIN, size, root }, [signer]) };
}

/** `count` witnesses named w1, w2, …, and how many of them are needed. */
async function setUp(
  t: Test,
  count: number,
  quorum: number,
  options: Partial<WitnessesOptions> = {},
) {
  const fakes = await Promise.all(
    Array.from({ length: count }, (_, i) =>
      FakeWitness.start({
        name: `example.org/w${i + 1}`,
        privateKey: ed25519Key(100 + i),
        origin: ORIGIN,
        logKeys,
      }),
    ),
  );
  const policy = policyOf(fakes, quorum);
  const published: SignedCheckpoint[] = [];
  const log = {
    prove: (from: number, to: number) => proveConsistency(from, to, readerOf(LEAVES)),
    publish: async (checkpoint: SignedCheckpoint) => void published.push(checkpoint),
  };
  const make = (): Witnesses => {
    const made = new Witnesses(
      {
        origin: ORIGIN,
        logKeys,
        policy,
        // Rounds are asked for, unless a test is about the cadence.
        intervalMs: 1_000_000,
        timeoutMs: 100_000,
        gatherMs: 100_000,
        logger: silentLogger,
        ...options,
      },
      log,
    );
    t.teardown(() => made.close());
    return made;
  };
  const witnesses = make();
  t.teardown(() => Promise.all(fakes.map((fake) => fake.stop())));
  const offer = async (size: number): Promise<void> => {
    witnesses.offer(await checkpointAt(size));
    await witnesses.askAll();
  };
  /** Names of the witnesses whose cosignatures are in the newest published checkpoint. */
  const cosigners = (): string[] => {
    const { cosignatures } = openWitnessed(
      published.at(-1)!.note,
      { ...policy, quorum: null },
      logKeys,
    );
    return cosignatures.map(({ witness }) => witness.name);
  };
  return { fakes, policy, published, log, witnesses, make, offer, cosigners };
}

function policyOf(fakes: readonly FakeWitness[], quorum: number): Policy {
  const names = fakes.map((_, i) => `w${i + 1}`);
  return parsePolicy(
    [
      `log ${signer.verifierKey}`,
      ...fakes.map((fake, i) => `witness ${names[i]} ${fake.cosigner.verifierKey} ${fake.url}`),
      `group g ${quorum} ${names.join(" ")}`,
      "quorum g\n",
    ].join("\n"),
  );
}

t.test(
  "a checkpoint is published with the cosignatures of all, and opens by the policy",
  async (t) => {
    const { published, offer, policy, witnesses, fakes } = await setUp(t, 3, 2);
    t.equal(witnesses.hasQuorum, false, "nobody was asked yet");
    await offer(5);
    t.equal(published.length, 1);
    const opened = openWitnessed(published[0]!.note, policy);
    t.equal(opened.size, 5);
    t.same(
      opened.cosignatures.map(({ witness }) => witness.name),
      ["w1", "w2", "w3"],
    );
    t.ok(opened.cosignatures.every(({ timestamp }) => timestamp > 1_700_000_000n));
    t.equal(witnesses.hasQuorum, true);
    t.match(witnesses.status(), [
      { name: "w1", size: 5, error: null, url: fakes[0]!.url },
      { name: "w2", size: 5, error: null },
      { name: "w3", verifierKey: fakes[2]!.cosigner.verifierKey, cosignedAt: BigInt },
    ]);
    await witnesses.askAll();
    t.equal(published.length, 1, "what is witnessed is not asked for again");
    t.equal(fakes[0]!.requests.length, 1);
  },
);

t.test("each later checkpoint comes with a proof from what the witness has", async (t) => {
  const { published, offer, fakes } = await setUp(t, 1, 1);
  for (const size of [1, 2, 3, 7, 8, 20, 64]) await offer(size);
  t.same(
    published.map(({ size }) => size),
    [1, 2, 3, 7, 8, 20, 64],
  );
  t.same(
    fakes[0]!.requests.map(({ body, status }) => `${body.split("\n")[0]} ${status}`),
    ["old 0 200", "old 1 200", "old 2 200", "old 3 200", "old 7 200", "old 8 200", "old 20 200"],
  );
  t.match(fakes[0]!.requests[0]!.body, /^old 0\n\nexample\.org\/log\n1\n/);
});

t.test("a log that starts again learns from 409 where its witnesses are", async (t) => {
  const { published, offer, make, fakes } = await setUp(t, 2, 2);
  await offer(5);
  const restarted = make();
  restarted.offer(await checkpointAt(5));
  await restarted.askAll();
  t.equal(published.length, 2, "also when nothing was added since");
  restarted.offer(await checkpointAt(9));
  await restarted.askAll();
  const again = make();
  again.offer(await checkpointAt(12));
  await again.askAll();
  t.equal(published.at(-1)!.size, 12);
  t.same(
    fakes[0]!.requests.map(({ status }) => status),
    [200, 409, 200, 200, 409, 200],
  );
  fakes[1]!.size = 0;
  again.offer(await checkpointAt(13));
  await again.askAll();
  t.equal(published.at(-1)!.size, 13, "a witness that lost its memory begins anew");
});

t.test("an ML-DSA-44 witness cosigns as well", async (t) => {
  const fake = await FakeWitness.start({
    name: "example.org/pq",
    privateKey: generateKeyPairSync("ml-dsa-44").privateKey,
    origin: ORIGIN,
    logKeys,
  });
  t.teardown(() => fake.stop());
  const policy = policyOf([fake], 1);
  const { published, log } = await setUp(t, 1, 1);
  const witnesses = new Witnesses({ origin: ORIGIN, logKeys, policy, logger: silentLogger }, log);
  t.teardown(() => witnesses.close());
  witnesses.offer(await checkpointAt(5));
  await witnesses.askAll();
  t.equal(openWitnessed(published[0]!.note, policy).cosignatures.length, 1);
});

/** What a witness may do wrong, and how the log names it. */
const MISBEHAVIOUR: Readonly<
  Record<string, [(request: IncomingMessage, response: ServerResponse) => void, RegExp]>
> = {
  "answers with garbage": [(_, r) => r.end("\u0000\u0001garbage"), /signed note/],
  "answers with invalid UTF-8": [(_, r) => r.end(Buffer.of(0xff, 0xfe, 0x0a)), /UTF-8/],
  "answers with nothing": [(_, r) => r.end(), /at least one signature/],
  "answers in HTML": [(_, r) => r.end("<html>welcome</html>\n"), /signature line/],
  "refuses the origin": [
    (_, r) => r.writeHead(404).end("?"),
    /answered 404 \(it does not know this/,
  ],
  "refuses the key": [(_, r) => r.writeHead(403).end(), /answered 403/],
  "refuses the proof": [(_, r) => r.writeHead(422).end(), /answered 422/],
  "refuses the request": [(_, r) => r.writeHead(400).end(), /answered 400/],
  "limits the rate": [(_, r) => r.writeHead(429).end("slow down"), /answered 429: "slow down"/],
  "is out of order": [(_, r) => r.writeHead(500).end("x".repeat(100_000)), /at most 65536 bytes/],
  redirects: [
    (_, r) => r.writeHead(307, { location: "http://127.0.0.1:9/add-checkpoint" }).end(),
    /answered 307/,
  ],
  "has a conflict without a size": [
    (_, r) => r.writeHead(409, { "content-type": "text/x.tlog.size" }).end("many\n"),
    /expected a tree size/,
  ],
  "has a conflict of another media type": [
    (_, r) => r.writeHead(409, { "content-type": "text/html" }).end("3\n"),
    /expected a tree size in text\/x\.tlog\.size/,
  ],
  "names a size past 2^53": [
    (_, r) => r.writeHead(409, { "content-type": "text/x.tlog.size" }).end("9007199254740993\n"),
    /expected a tree size/,
  ],
  "names another size each time": [
    (() => {
      let size = 1;
      return (_: IncomingMessage, r: ServerResponse) =>
        r.writeHead(409, { "content-type": "text/x.tlog.size" }).end(`${size++}\n`);
    })(),
    /another tree size in each of 3 answers/,
  ],
  "claims a tree that the log does not have": [
    (_, r) => r.writeHead(409, { "content-type": "text/x.tlog.size" }).end("1000\n"),
    /it says that it cosigned 1000 records of this log, which has 5/,
  ],
  "sends without end": [
    (_, r) => {
      const more = (): void => {
        while (r.write("x".repeat(16_384)));
        r.once("drain", more);
      };
      more();
    },
    /at most 65536 bytes, got more/,
  ],
  "hangs up": [(request) => request.socket.destroy(), /fetch failed/],
  "hangs up in the middle": [
    (request, r) => {
      r.writeHead(200, { "content-length": "100" }).write("— ");
      setImmediate(() => request.socket.destroy());
    },
    /terminated/,
  ],
  "never answers": [() => undefined, /before the round was over/],
  "never finishes": [(_, r) => void r.write("— example"), /before the round was over/],
};

for (const [what, [act, named]] of Object.entries(MISBEHAVIOUR)) {
  t.test(`a witness that ${what} harms nobody`, async (t) => {
    const { published, offer, fakes, cosigners, witnesses } = await setUp(t, 3, 2, {
      gatherMs: what.startsWith("never") ? 1_000 : 100_000,
    });
    fakes[0]!.misbehave = (request, response) => {
      act(request, response);
      return true;
    };
    await offer(5);
    t.equal(published.length, 1);
    t.same(cosigners(), ["w2", "w3"]);
    t.match(witnesses.status()[0], { name: "w1", error: named, cosignedAt: null });
    fakes[0]!.misbehave = null;
    await offer(6);
    t.same(cosigners(), ["w1", "w2", "w3"], "and may come back");
    t.equal(witnesses.status()[0]!.error, null);
  });
}

t.test(
  "a cosignature counts when it verifies, is of this checkpoint and of this time",
  async (t) => {
    const { published, offer, fakes, witnesses } = await setUp(t, 1, 1);
    const fake = fakes[0]!;
    const privateKey = ed25519Key(100);
    const nowS = BigInt(Math.floor(Date.now() / 1000));
    const { name } = fake.cosigner;
    const { note } = await checkpointAt(5);
    const text = note.slice(0, note.lastIndexOf("\n\n") + 1);
    const other = (await checkpointAt(6)).note;
    const linesOf = async (cosigner: CheckpointSigner, signed = text): Promise<string> => {
      const whole = await signNote(signed, [cosigner]);
      return whole.slice(whole.lastIndexOf("\n\n") + 2);
    };
    const at = (timestamp: bigint): Promise<string> =>
      linesOf(createCosigner({ name, privateKey, now: () => timestamp }));
    const good = await at(nowS);
    const stranger = await linesOf(
      createCosigner({ name: "example.org/stranger", privateKey: ed25519Key(7), now: () => nowS }),
    );
    const forged = await linesOf({
      ...fake.cosigner,
      sign: async () =>
        Buffer.concat([Buffer.alloc(4), Buffer.of(0x68, 0, 0, 0), Buffer.alloc(64)]),
    });
    const cases: Record<string, [string, RegExp]> = {
      "a signature of another checkpoint": [
        await linesOf(fake.cosigner, other.slice(0, other.lastIndexOf("\n\n") + 1)),
        /does not verify/,
      ],
      "a forged one": [forged, /does not verify/],
      "a forged one behind a good one": [good + forged, /does not verify/],
      "one by a stranger alone": [stranger, /expected a signature by example\.org\/w1/],
      "no timestamp": [await at(0n), /expected a timestamp/],
      "a timestamp in the future": [await at(nowS + 4_000n), /within 300 s of our clock/],
      "a timestamp in the past": [
        await at(nowS - 4_000n),
        /within 300 s of our clock, got one -4\d{3} s ahead/,
      ],
      "another text in front": [`x\n\n${good}`, /signature lines alone/],
    };
    for (const [what, [answer, named]] of Object.entries(cases)) {
      fake.misbehave = (_, response) => {
        response.end(answer);
        return true;
      };
      await offer(5);
      t.equal(published.length, 0, what);
      t.match(witnesses.status()[0]!.error, named, what);
    }
    fake.misbehave = (_, response) => {
      response.end(stranger + good);
      return true;
    };
    await offer(5);
    t.equal(published.length, 1);
    t.notMatch(published[0]!.note, /stranger/, "lines of unknown keys are left out");
  },
);

t.test("the quorum does not wait for the slow", async (t) => {
  const { published, offer, fakes, cosigners, witnesses } = await setUp(t, 3, 2, { gatherMs: 50 });
  fakes[1]!.misbehave = () => true;
  await offer(5);
  t.same(cosigners(), ["w1", "w3"]);
  t.equal(published.length, 1);
  t.match(witnesses.status()[1]!.error, /before the round was over/);
});

t.test("nor does a round without a quorum, longer than one request may take", async (t) => {
  const { published, offer, fakes, witnesses } = await setUp(t, 1, 1, { timeoutMs: 50 });
  fakes[0]!.misbehave = () => true;
  await offer(5);
  fakes[0]!.misbehave = (_, response) => response.write("— example") || true;
  await offer(6);
  t.equal(published.length, 0);
  t.match(witnesses.status()[0]!.error, /no answer within 50 ms/);
});

t.test("without a quorum nothing is published, however long it takes", async (t) => {
  let steady = 0;
  const { published, offer, fakes, witnesses } = await setUp(t, 3, 2, {
    clock: { wall: Date.now, steady: () => steady },
  });
  for (const fake of fakes.slice(1)) fake.misbehave = (_, r) => (r.writeHead(500).end(), true);
  await offer(5);
  steady += 1e9;
  await offer(6);
  t.equal(published.length, 0);
  t.equal(witnesses.hasQuorum, false);
  fakes[2]!.misbehave = null;
  await witnesses.askAll();
  t.same(
    published.map(({ size }) => size),
    [6],
    "the newest, once there is one",
  );
});

t.test(
  "failing open publishes what there is, says so once, and again when it is over",
  async (t) => {
    let steady = 0;
    const reports: [boolean, string][] = [];
    const { published, offer, fakes, cosigners, witnesses } = await setUp(t, 3, 2, {
      clock: { wall: Date.now, steady: () => steady },
      failOpenAfterMs: 60_000,
      onFailOpen: (isOpen, message) => reports.push([isOpen, message]),
    });
    const down = (_: IncomingMessage, r: ServerResponse): boolean => (r.writeHead(500).end(), true);
    await offer(5);
    for (const fake of fakes.slice(1)) fake.misbehave = down;
    steady += 59_999;
    await offer(6);
    t.equal(published.length, 1, "not yet");
    steady += 1;
    await offer(7);
    await offer(7);
    await offer(8);
    t.same(
      published.map(({ size }) => size),
      [5, 7, 8],
      "each size once",
    );
    t.same(cosigners(), ["w1"], "the cosignatures that there are go with it");
    t.equal(witnesses.hasQuorum, false);
    t.match(reports, [[true, /of 7 records is published without a quorum.*w2, w3/]]);
    fakes[1]!.misbehave = null;
    await offer(8);
    t.same(cosigners(), ["w1", "w2"], "the same size again, with its quorum");
    t.match(reports, [
      [true, /7/],
      [false, /8 records has a quorum/],
    ]);
    fakes[1]!.misbehave = down;
    await offer(9);
    t.equal(published.at(-1)!.size, 8, "the time begins anew");
  },
);

t.test("a witness that has what this log has lost proves it", async (t) => {
  const conflicts: [string, SignedCheckpoint][] = [];
  const { published, offer, fakes, make, witnesses } = await setUp(t, 2, 2, {
    onConflict: (message, evidence) => conflicts.push([message, evidence]),
  });
  t.equal(await witnesses.newestSeen(), null);
  await offer(9);
  const restored = make();
  t.match(await restored.newestSeen(), { checkpoint: { size: 9 } });
  restored.offer(await checkpointAt(7));
  await restored.askAll();
  await restored.askAll();
  t.equal(published.length, 1, "the older copy is not published");
  t.equal(conflicts.length, 2, "each witness, once");
  t.match(
    conflicts[0]![0],
    /has a checkpoint of 9 records that this log's key signed, the log has 7/,
  );
  t.equal(openWitnessed(conflicts[0]![1].note, policyOf(fakes, 1)).size, 9);
});

t.test("a fork is proved by the witness that saw the other side", async (t) => {
  const conflicts: string[] = [];
  const { published, fakes, make } = await setUp(t, 1, 1, {
    onConflict: (message) => conflicts.push(message),
  });
  const forked = make();
  forked.offer(await checkpointAt(30, FORKED));
  await forked.askAll();
  t.equal(fakes[0]!.size, 30);
  const witnesses = make();
  witnesses.offer(await checkpointAt(30));
  await witnesses.askAll();
  t.match(conflicts, [/another tree of 30 records that this log's key signed: the log was forked/]);
  witnesses.offer(await checkpointAt(31));
  await witnesses.askAll();
  t.equal(published.length, 1, "nothing of the second history is published");
  t.match(witnesses.status()[0]!.error, /422/);
});

t.test("a witness's word alone is no proof of a conflict", async (t) => {
  const conflicts: string[] = [];
  const { offer, fakes, witnesses } = await setUp(t, 1, 1, {
    onConflict: (message) => conflicts.push(message),
  });
  const foreign = logSigner(2);
  const root = await treeRoot(50, readerOf(LEAVES));
  const note = await signCheckpoint({ origin: ORIGIN, size: 50, root }, [foreign]);
  fakes[0]!.misbehave = (request, response) => {
    if (request.method === "GET") response.end(note);
    else response.writeHead(409, { "content-type": "text/x.tlog.size" }).end("50\n");
    return true;
  };
  await offer(5);
  t.same(conflicts, []);
  t.match(witnesses.status()[0]!.error, /says that it cosigned 50/);
  t.equal(await witnesses.newestSeen(), null, "nor is a checkpoint of another key");
});

t.test("a checkpoint that could not be published is published by the next round", async (t) => {
  const { published, offer, log, witnesses } = await setUp(t, 1, 1);
  const { publish } = log;
  log.publish = async () => {
    throw new MeshproofError("STORAGE_FULL", "no room");
  };
  await offer(5);
  t.equal(published.length, 0);
  log.publish = publish;
  await witnesses.askAll();
  t.equal(published.length, 1);
});

t.test("a proof that the log cannot make is an error of that round", async (t) => {
  const { published, offer, log, witnesses } = await setUp(t, 1, 1);
  await offer(5);
  const { prove } = log;
  log.prove = async () => {
    throw new MeshproofError("LOG_INCONSISTENT", "a tile is missing");
  };
  await offer(6);
  t.match(witnesses.status()[0]!.error, /a tile is missing/);
  log.prove = prove;
  await witnesses.askAll();
  t.equal(published.at(-1)!.size, 6);
});

t.test("rounds come by themselves, and take the newest of what was offered", async (t) => {
  const { witnesses, log, fakes } = await setUp(t, 1, 1, { intervalMs: 5 });
  const published = (size: number): Promise<void> =>
    new Promise((resolve) => {
      log.publish = async (checkpoint) => {
        if (checkpoint.size === size) resolve();
      };
    });
  const first = published(3);
  witnesses.offer(await checkpointAt(3));
  await first;
  const next = published(9);
  for (const size of [5, 6, 7, 8, 9]) witnesses.offer(await checkpointAt(size));
  await next;
  t.equal(fakes[0]!.size, 9);
});

t.test("closing ends a round that hangs, and no other begins", async (t) => {
  const { published, fakes, witnesses } = await setUp(t, 2, 2);
  let asked = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  for (const fake of fakes)
    fake.misbehave = () => {
      if (++asked === 2) resolve();
      return true;
    };
  witnesses.offer(await checkpointAt(5));
  await promise;
  await witnesses.close();
  await witnesses.askAll();
  witnesses.offer(await checkpointAt(6));
  t.equal(asked, 2);
  t.equal(published.length, 0);
  t.ok(
    witnesses.status().every(({ error }) => error === null),
    "being ended is nobody's fault",
  );
});

t.test("a client rejects with one code, whatever its witness did", async (t) => {
  const { fakes, policy } = await setUp(t, 1, 1);
  const client = new WitnessClient(policy.witnesses[0]!, {
    origin: ORIGIN,
    logKeys,
    timeoutMs: 1_000,
    now: Date.now,
    onConflict: () => t.fail("there is none"),
  });
  const { signal } = new AbortController();
  const prove = async () => [];
  await client.cosign(await checkpointAt(3), prove, signal);
  t.equal(client.size, 3);
  const refused = { code: "WITNESS_FAILED", retryable: true };
  await t.rejects(client.cosign(await checkpointAt(5), prove, signal), refused, "an empty proof");
  t.equal(client.size, 3);
  fakes[0]!.misbehave = (_, response) => (response.writeHead(503).end(), true);
  await t.rejects(client.latest(signal), refused);
  await fakes[0]!.stop();
  await t.rejects(client.cosign(await checkpointAt(5), prove, signal), refused);
  await t.rejects(client.latest(AbortSignal.abort()), refused);
});

t.test("a policy that cannot be served is refused at once", async (t) => {
  const { fakes, log } = await setUp(t, 1, 1);
  const vkey = fakes[0]!.cosigner.verifierKey;
  const make = (text: string) => () =>
    new Witnesses(
      { origin: ORIGIN, logKeys, policy: parsePolicy(text), logger: silentLogger },
      log,
    );
  for (const url of [
    "",
    " ftp://example.org",
    " https://user:pw@example.org",
    " https://x.example/?a",
    " https://x.example/#a",
    " example.org",
  ])
    t.throws(
      make(`witness w ${vkey}${url}\nquorum w\n`),
      { code: "POLICY_INVALID", message: /witness w/ },
      url,
    );
  t.throws(make("quorum none\n"), { code: "POLICY_INVALID", message: /at least one witness/ });
  t.throws(
    make(`log ${logSigner(2).verifierKey}\nwitness w ${vkey} ${fakes[0]!.url}\nquorum w\n`),
    {
      code: "POLICY_INVALID",
      message: /among its logs/,
    },
  );
  const prefixed = make(`witness w ${vkey} ${fakes[0]!.url}/a/b//\nquorum w\n`)();
  t.teardown(() => prefixed.close());
  prefixed.offer(await checkpointAt(5));
  await prefixed.askAll();
  t.equal(fakes[0]!.requests[0]!.path, "/a/b/add-checkpoint", "the URL is a prefix");
  t.match(prefixed.status(), [{ error: /404/ }]);
});
