import fc from "fast-check";
import { once } from "node:events";
import {
  constants,
  createZstdCompress,
  deflateRawSync,
  deflateSync,
  gzipSync,
  zstdCompressSync,
} from "node:zlib";
import t from "tap";
import { MeshproofError } from "../../src/core/errors.ts";
import { Admission } from "../../src/receive/admission.ts";
import { inflate, parseCoding } from "../../src/receive/inflate.ts";
import type { Coding } from "../../src/receive/inflate.ts";
import { zstdFrames } from "../../src/receive/zstd.ts";

const LIMIT = 4 * 1024 * 1024;
const COMPRESSORS = {
  gzip: gzipSync,
  deflate: deflateSync,
  zstd: zstdCompressSync,
} satisfies Partial<Record<Coding, (body: Buffer) => Buffer>>;
const CODINGS = Object.keys(COMPRESSORS) as (keyof typeof COMPRESSORS)[];
const SKIPPABLE = Buffer.from("502a4d1804000000aabbccdd", "hex");

/** Text like telemetry, of which compressors keep a tenth. */
const text = (length: number) =>
  Buffer.from(
    Array.from(
      { length: Math.ceil(length / 18) },
      (_, i) => `attribute.${i % 50}=value ${i} `,
    ).join(""),
  ).subarray(0, length);

async function inflated(
  coding: keyof typeof COMPRESSORS,
  wire: Buffer,
  limit = LIMIT,
): Promise<Buffer> {
  const reservation = new Admission({ maxBytes: 1, timeoutMs: 0 }).open();
  reservation.resize(wire.length);
  return inflate(coding, wire, reservation, limit);
}

/** A zstd frame as a stream writes it: it does not know the length of its content. */
async function streamed(body: Buffer): Promise<Buffer> {
  const stream = createZstdCompress({ params: { [constants.ZSTD_c_checksumFlag]: 1 } });
  const parts: Buffer[] = [];
  stream.on("data", (part: Buffer) => parts.push(part));
  for (let at = 0; at < body.length; at += 10_000)
    if (!stream.write(body.subarray(at, at + 10_000))) await once(stream, "drain");
  stream.end();
  await once(stream, "end");
  return Buffer.concat(parts);
}

t.test(
  "what was compressed is inflated, small and large, with the output alone left reserved",
  async (t) => {
    for (const coding of CODINGS) {
      for (const length of [1, 1000, 262_144, 262_145, LIMIT]) {
        const body = text(length);
        const wire = COMPRESSORS[coding](body);
        const reservation = new Admission({ maxBytes: 1, timeoutMs: 0 }).open();
        reservation.resize(wire.length);
        t.ok((await inflate(coding, wire, reservation, LIMIT)).equals(body), `${coding} ${length}`);
        t.ok(
          reservation.bytes >= length &&
            reservation.bytes <= (coding === "deflate" ? LIMIT : 2 * length + 200),
          `${reservation.bytes} reserved`,
        );
      }
    }
  },
);

t.test("bodies of several members or frames are inflated whole", async (t) => {
  const [one, two] = [text(5000), text(300_000)];
  const both = Buffer.concat([one, two]);
  t.strictSame(await inflated("gzip", Buffer.concat([gzipSync(one), gzipSync(two)])), both);
  t.strictSame(
    await inflated("gzip", Buffer.concat([gzipSync(two), gzipSync(one)])),
    Buffer.concat([two, one]),
    "where ISIZE is that of the smaller",
  );
  t.strictSame(
    await inflated("zstd", Buffer.concat([zstdCompressSync(one), zstdCompressSync(two)])),
    both,
  );
  t.strictSame(
    await inflated(
      "zstd",
      Buffer.concat([SKIPPABLE, await streamed(one), SKIPPABLE, zstdCompressSync(two), SKIPPABLE]),
    ),
    both,
  );
  t.equal((await inflated("zstd", SKIPPABLE)).length, 0);
  t.equal((await inflated("zstd", zstdCompressSync(""))).length, 0);
});

t.test(
  "the headers of zstd frames tell where each ends and how long its content is at most",
  async (t) => {
    for (const length of [0, 1, 255, 256, 65_535, 65_791, 65_792, 300_000]) {
      const body = text(length);
      const known = zstdCompressSync(body);
      t.match(
        zstdFrames(known),
        [{ start: 0, end: known.length, maxContentBytes: length, exact: true }],
        `${length} known`,
      );
      const unknown = await streamed(body);
      const frames = zstdFrames(unknown); // Node's stream writes an empty frame behind some
      const most = frames.reduce((sum, frame) => sum + frame.maxContentBytes, 0);
      t.equal(frames.at(-1)?.end, unknown.length);
      t.ok(most >= length && most < length + 2 * 131_072, `${length} unknown: at most ${most}`);
      t.strictSame(await inflated("zstd", unknown), body);
    }
  },
);

t.test(
  "what ends early at any byte, goes on after its end, or is another format, is BAD_ENCODING",
  async (t) => {
    const body = text(900);
    for (const coding of CODINGS) {
      const wire = COMPRESSORS[coding](body);
      for (let end = 1; end < wire.length; end++) {
        const error = await inflated(coding, wire.subarray(0, end)).catch(
          (thrown: unknown) => thrown,
        );
        if (!(error instanceof MeshproofError && error.code === "BAD_ENCODING"))
          t.fail(`${coding} cut at ${end}: ${String(error)}`);
      }
      await t.rejects(
        inflated(coding, Buffer.concat([wire, Buffer.from("garbage!")])),
        { code: "BAD_ENCODING" },
        `${coding} with garbage behind`,
      );
      await t.rejects(inflated(coding, body), { code: "BAD_ENCODING" }, `${coding} of plain text`);
      for (const other of CODINGS)
        if (other !== coding)
          await t.rejects(
            inflated(coding, COMPRESSORS[other](body)),
            { code: "BAD_ENCODING" },
            `${coding} of ${other}`,
          );
    }
    await t.rejects(
      inflated("deflate", deflateRawSync(body)),
      { code: "BAD_ENCODING" },
      "deflate without the zlib header",
    );
    await t.rejects(inflated("gzip", Buffer.concat([gzipSync(body), Buffer.from("x")])), {
      code: "BAD_ENCODING",
    });
  },
);

t.test("zstd headers that lie are refused without work", async (t) => {
  const wire = zstdCompressSync(text(1000)); // single segment, two bytes of content size
  const shorter = Buffer.from(wire);
  shorter.writeUInt16LE(10, 5);
  await t.rejects(inflated("zstd", shorter), { code: "BAD_ENCODING" }, "content longer than said");
  const longer = Buffer.from(wire);
  longer.writeUInt16LE(2000, 5);
  await t.rejects(inflated("zstd", longer), { code: "BAD_ENCODING" }, "content shorter than said");
  const huge = Buffer.concat([
    Buffer.from("28b52ffdc0", "hex"),
    Buffer.from([27 << 3]),
    Buffer.alloc(8, 0xff),
    Buffer.from("010000", "hex"),
  ]);
  await t.rejects(inflated("zstd", huge), { code: "BODY_TOO_LARGE" }, "2^64 - 1 bytes of content");
  const window = Buffer.concat([
    Buffer.from("28b52ffd00", "hex"),
    Buffer.from([21 << 3]),
    Buffer.from("03000061", "hex"),
  ]);
  await t.rejects(inflated("zstd", window), { code: "BAD_ENCODING" }, "a window of 2 GiB");
  await t.rejects(
    inflated("zstd", Buffer.concat(Array.from({ length: 1025 }, () => zstdCompressSync("")))),
    { code: "BAD_ENCODING" },
    "more frames than anybody sends",
  );
  const reserved = Buffer.from("28b52ffd2001070000", "hex");
  await t.rejects(inflated("zstd", reserved), { code: "BAD_ENCODING" }, "a reserved block type");
});

t.test(
  "damaged bytes are refused or inflate within the limit; no other error comes out",
  async () => {
    const body = text(2000);
    const wires = CODINGS.map((coding) => [coding, COMPRESSORS[coding](body)] as const);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...wires),
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        async ([coding, wire], damage) => {
          const bytes = Buffer.from(wire);
          for (const [at, value] of damage) bytes[at % bytes.length] = value;
          const out = await inflated(coding, bytes, 3000).catch((error: unknown) => error);
          return out instanceof MeshproofError
            ? ["BAD_ENCODING", "BODY_TOO_LARGE"].includes(out.code)
            : Buffer.isBuffer(out) && out.length <= 3000;
        },
      ),
      { numRuns: 400 },
    );
  },
);

t.test("no room for the output is OVERLOADED, before it is made", async (t) => {
  const admission = new Admission({ maxBytes: 1000, timeoutMs: 1 });
  admission.open().resize(500);
  const reservation = admission.open();
  const wire = gzipSync(text(5000));
  reservation.resize(10);
  await t.rejects(inflate("gzip", wire, reservation, LIMIT), { code: "OVERLOADED" });
  t.equal(reservation.bytes, 10);
});

t.test("an unknown coding is refused with what is known", async (t) => {
  for (const header of ["br", "gzip, gzip", "snappy", "lz4", "*"])
    t.throws(() => parseCoding(header), {
      code: "UNSUPPORTED_MEDIA_TYPE",
      message: /gzip, zstd, deflate, identity/,
    });
});
