import fc from "fast-check";
import t from "tap";
import { LabelList } from "../../src/normalise/label-list.ts";
import { VALUE_TYPES } from "../../src/records/attributes.ts";
import { readRecord } from "../support/normalise.ts";

const NAME = "k8s:account=";

/** The value that is found in a list of labels, in a text between other bytes and in an OTLP array. */
function found(labels: readonly string[]): (string | undefined)[] {
  const list = new LabelList();
  const name = Buffer.from(NAME);
  const read = (bytes: Uint8Array, start: number, end: number, type: number): string | undefined =>
    list.find(bytes, start, end, type, name)
      ? Buffer.from(bytes.subarray(list.start, list.end)).toString()
      : undefined;
  const text = Buffer.from(`"${NAME}outside"${JSON.stringify(labels)}"${NAME}outside"`);
  const margin = NAME.length + 9;
  const { view } = readRecord({
    record: {
      attributes: [
        {
          key: "labels",
          value: { arrayValue: { values: labels.map((label) => ({ stringValue: label })) } },
        },
      ],
    },
  });
  const { valueStart, valueEnd } = view.attributes;
  return [
    read(text, margin, text.length - margin, VALUE_TYPES.string),
    read(view.buffer, valueStart[0]!, valueEnd[0]!, VALUE_TYPES.array),
  ];
}

t.test("a label is found by its name, in a text and in a list of values", async (t) => {
  t.strictSame(found(["k8s:app=a", `${NAME}cart`, `${NAME}second`]), ["cart", "cart"]);
  t.strictSame(found([NAME]), ["", ""]);
  t.strictSame(found([]), [undefined, undefined]);
  t.strictSame(found([`x${NAME}cart`, "k8s:account", "k8s:accounts=1"]), [undefined, undefined]);
  t.strictSame(found([`${NAME}${"n".repeat(300)}`]), ["n".repeat(300), "n".repeat(300)]);
  t.strictSame(found([`a="${NAME}forged"`]), [undefined, undefined], "nor inside another label");
  t.strictSame(found([`a=\\`, `${NAME}cart`]), ["cart", "cart"]);
});

t.test("any labels give the first that has the name", async () => {
  const label = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.stringMatching(/^[a-z=:\\"]{0,6}$/).map((end) => NAME + end),
  );
  fc.assert(
    fc.property(fc.array(label, { maxLength: 6 }), (labels) => {
      const first = labels.find((one) => one.startsWith(NAME))?.slice(NAME.length);
      const [text, list] = found(labels);
      // A text keeps its escapes.
      const escaped = first === undefined ? undefined : JSON.stringify(first).slice(1, -1);
      return list === first && text === escaped;
    }),
    { numRuns: 1000 },
  );
});
