import { createHash } from "node:crypto";
import fc from "fast-check";
import t from "tap";
import { sha256 } from "../../src/core/sha256.ts";
import { writeSha256 } from "../../src/core/sha256-portable.ts";

const expected = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

function portable(data: Uint8Array): string {
  const out = new Uint8Array(32);
  writeSha256(data, out);
  return Buffer.from(out).toString("hex");
}

t.test("the portable SHA-256 is SHA-256 at every length around its blocks", async (t) => {
  const wrong: number[] = [];
  for (let length = 0; length <= 300; length++) {
    const data = Buffer.alloc(length, length + 1);
    if (portable(data) !== expected(data)) wrong.push(length);
  }
  t.same(wrong, []);
  t.equal(
    portable(Buffer.from("abc")),
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    "FIPS 180-4, the example of section B.1",
  );
  const large = Buffer.alloc(1_000_000, "a");
  t.equal(portable(large), expected(large), "a million times a");
});

t.test("the portable SHA-256 hashes views at any offset", async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 500 }), fc.nat(64), (data, offset) => {
      const view = new Uint8Array(offset + data.length).subarray(offset);
      view.set(data);
      return portable(view) === expected(data);
    }),
  );
});

t.test("here SHA-256 is Node's own, in memory of its own", async (t) => {
  const [a, b] = [sha256(Buffer.from("a")), sha256(Buffer.from("b"))];
  t.equal(Buffer.from(a).toString("hex"), expected(Buffer.from("a")));
  t.equal(Buffer.from(b).toString("hex"), expected(Buffer.from("b")));
});
