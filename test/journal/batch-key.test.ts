import { randomBytes } from "node:crypto";
import t from "tap";
import { BATCH_SECRET_BYTES, batchKey } from "../../src/journal/batch-key.ts";

const secret = randomBytes(BATCH_SECRET_BYTES);
const body = randomBytes(5_000);
const request = { signal: "logs", sender: { name: "a", auth: "token" }, body } as const;
const keyOf = (change: object, under: Uint8Array = secret): string =>
  Buffer.from(batchKey(under, { ...request, ...change })).toString("hex");

t.test("the same batch has the same key, of 32 bytes", async (t) => {
  t.equal(keyOf({}), keyOf({ body: Buffer.from(body) }));
  t.equal(keyOf({}).length, 64);
  t.equal(keyOf({ body: body.subarray(0, 0) }), keyOf({ body: Buffer.alloc(0) }));
});

t.test("whatever differs makes another key", async (t) => {
  const keys = new Set([keyOf({})]);
  const others = [
    keyOf({ signal: "traces" }),
    keyOf({ sender: { name: "b", auth: "token" } }),
    keyOf({ sender: { name: "a", auth: "mtls" } }),
    keyOf({ sender: { name: 'a","token', auth: "token" } }),
    keyOf({ body: Buffer.concat([body, Buffer.alloc(1)]) }),
    keyOf({ body: body.subarray(1) }),
    keyOf({}, randomBytes(BATCH_SECRET_BYTES)),
  ];
  for (let bit = 0; bit < body.length * 8; bit += 37) {
    const changed = Buffer.from(body);
    changed[bit >> 3]! ^= 1 << (bit & 7);
    others.push(keyOf({ body: changed }));
  }
  for (const key of others) keys.add(key);
  t.equal(keys.size, 1 + others.length);
});
