import t from "tap";
import { RowBuffer, viewOf } from "../../src/records/row-buffer.ts";

const source = Uint8Array.from({ length: 20_000 }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
const FILLER = 0xee;

/** What `write` puts behind `before` bytes of a buffer full of FILLER, and whether anything else changed. */
function written(before: number, write: (out: RowBuffer) => void): Buffer {
  const out = new RowBuffer(32_768);
  out.bytes.fill(FILLER);
  out.position = before;
  write(out);
  const around = [out.bytes.subarray(0, before), out.bytes.subarray(out.position)];
  if (around.some((part) => part.some((byte) => byte !== FILLER))) return Buffer.from("spilled");
  return Buffer.from(out.bytes.subarray(before, out.position));
}

t.test(
  "a text copied by words is the text copied by bytes, whatever its length and place",
  async (t) => {
    const lengths = [...Array(72).keys(), 126, 127, 128, 129, 255, 256, 16_383, 16_384, 16_385];
    for (const length of lengths) {
      for (let offset = 0; offset < 4; offset++) {
        const before = (length + offset * 3) % 5;
        const expected = written(before, (out) => out.writeText(source, offset, offset + length));
        const actual = written(before, (out) => {
          out.writeTextOf(viewOf(source), offset, offset + length);
        });
        if (!actual.equals(expected)) t.fail(`length ${length} from ${offset} at ${before}`);
      }
    }
  },
);

t.test(
  "texts go to the memory that the buffer has now: after it grew, was taken, or was reset",
  async (t) => {
    const out = new RowBuffer(16);
    const view = viewOf(source);
    out.ensure(11);
    out.writeTextOf(view, 0, 10);
    out.ensure(1_000_000);
    out.writeTextOf(view, 5, 105);
    const expected = Buffer.concat([
      Buffer.of(10),
      source.subarray(0, 10),
      Buffer.of(100),
      source.subarray(5, 105),
    ]);
    t.same(Buffer.from(out.bytes.subarray(0, out.position)), expected);
    for (const clear of [() => out.take(), () => out.reset()]) {
      clear();
      out.ensure(11);
      out.writeTextOf(view, 0, 10);
      t.same(
        Buffer.from(out.bytes.subarray(0, out.position)),
        Buffer.concat([Buffer.of(10), source.subarray(0, 10)]),
      );
    }
  },
);

t.test("a view of a part of an array is of that part", async (t) => {
  const actual = written(0, (out) => out.writeTextOf(viewOf(source.subarray(100, 200)), 3, 8));
  t.same(actual, Buffer.concat([Buffer.of(5), source.subarray(103, 108)]));
});

t.test("numbers are little-endian and take their own bytes alone", async (t) => {
  t.equal(written(3, (out) => out.writeUint16(0xfffe_1234)).toString("hex"), "3412");
  t.equal(written(1, (out) => out.writeUint32(0xdead_beef)).toString("hex"), "efbeadde");
  t.equal(written(0, (out) => out.writeEight(-1, 0x7fff_ffff)).toString("hex"), "ffffffffffffff7f");
});
