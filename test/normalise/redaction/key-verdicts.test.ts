import fc from "fast-check";
import t from "tap";
import { KeyVerdicts, UNKNOWN } from "../../../src/normalise/redaction/key-verdicts.ts";
import { NameTable, RULE } from "../../../src/normalise/redaction/name-table.ts";

const key = fc.oneof(
  fc.string({ minLength: 0, maxLength: 110 }),
  fc.stringMatching(/^[ab]{3,6}(\.[ab]{1,3}){0,3}$/),
);

t.test("a key has the verdict that was kept for it last, or none", async () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(key, fc.nat(9)), { maxLength: 60 }), (kept) => {
      const verdicts = new KeyVerdicts();
      const model = new Map<string, number>();
      for (const [text, verdict] of kept) {
        const bytes = Buffer.from(`.${text}.`);
        const [start, end] = [1, bytes.length - 1];
        verdicts.keep(bytes, start, end, verdict);
        model.set(text, verdict);
        const isKept = end - start >= 4 && end - start <= 96;
        if (verdicts.find(bytes, start, end) !== (isKept ? verdict : UNKNOWN)) return false;
      }
      return [...model].every(([text, verdict]) => {
        const bytes = Buffer.from(text);
        return [verdict, UNKNOWN].includes(verdicts.find(bytes, 0, bytes.length));
      });
    }),
    { numRuns: 1000 },
  );
});

t.test("a name that is added counts for keys that were looked at before", async (t) => {
  const names = new NameTable();
  const find = (text: string): number => names.findInKey(Buffer.from(text), 0, text.length);
  names.add("token", RULE.key, 0);
  t.same([find("db.secret"), find("db.token"), find("db.token")], [-1, 0, 0]);
  names.add("secret", RULE.key, 1);
  t.same([find("db.secret"), find("db.token")], [1, 0]);
});
