import fc from "fast-check";
import t from "tap";
import { decodeBase64, encodeBase64 } from "../../src/tlog/spelling.ts";

t.test("base64 is Node's base64, and reads back", async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const text = encodeBase64(bytes);
      return (
        text === Buffer.from(bytes).toString("base64") &&
        Buffer.compare(decodeBase64(text)!, bytes) === 0
      );
    }),
  );
});

t.test("a text is base64 only when it is the one spelling of what it says", async () => {
  const digit = fc.constantFrom(..."ABCDwxyz0189+/=-_ \n\u00e9".split(""));
  fc.assert(
    fc.property(fc.array(digit, { maxLength: 12 }), (digits) => {
      const text = digits.join("");
      const theirs = Buffer.from(text, "base64");
      const isCanonical = theirs.toString("base64") === text;
      return (decodeBase64(text) !== null) === isCanonical;
    }),
    { numRuns: 5_000 },
  );
});

t.test("every pair of last digits is taken or refused as Node's spelling says", async (t) => {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  const wrong: string[] = [];
  for (const a of digits)
    for (const b of digits)
      for (const text of [`AB${a}${b}`, `A${a}${b}=`, `${a}${b}==`, `ABC=${a}${b}==`]) {
        const isCanonical = Buffer.from(text, "base64").toString("base64") === text;
        if ((decodeBase64(text) !== null) !== isCanonical) wrong.push(text);
      }
  t.same(wrong, []);
});
