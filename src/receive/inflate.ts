import {
  constants,
  gunzip,
  gunzipSync,
  inflate as unzlib,
  inflateSync as unzlibSync,
  zstdDecompress,
  zstdDecompressSync,
} from "node:zlib";
import type { ZlibOptions, ZstdOptions } from "node:zlib";
import { MeshproofError } from "../core/errors.ts";
import type { Reservation } from "./admission.ts";
import { tooLarge } from "./body.ts";
import { zstdFrames } from "./zstd.ts";

export type Coding = "identity" | "gzip" | "zstd" | "deflate";

/** What Accept-Encoding says beside a 415. `deflate` is a zlib stream (RFC 9110, section 8.4.1.2). */
export const ACCEPTED_CODINGS = "gzip, zstd, deflate, identity";

/** Names of codings in requests. The Collector's exporter says `zlib` for `compression: zlib`; `x-gzip` is RFC 9110, section 8.4.1.3. */
const CODINGS: ReadonlyMap<string, Coding> = new Map([
  ["", "identity"],
  ["identity", "identity"],
  ["gzip", "gzip"],
  ["x-gzip", "gzip"],
  ["zstd", "zstd"],
  ["deflate", "deflate"],
  ["zlib", "deflate"],
]);

/** How many times larger a body usually gets: telemetry of 25 attributes a record shrinks 7 to 11 times by gzip. */
export const USUAL_RATIO = 8;
/** The first guess where a body does not say its length, high enough to be the last. */
const BLIND_RATIO = 2 * USUAL_RATIO;
/** Deflate cannot do better than this (zlib, "Maximum Compression Factor"): an ISIZE beyond it is not believed. */
const MAX_DEFLATE_RATIO = 1032;
/** Each wrong guess is followed by one so many times larger; all of them together cost a third more than the last. */
const GUESS_GROWTH = 4;
/** Up to this size we inflate where we are, above on a thread: the hop costs about 90 µs of CPU, inflating this much 0.2 ms (measured). */
const SYNC_BYTES = 256 * 1024;
/** 64 MiB: what a frame may claim as its window. libzstd's own limit is 128 MiB; ordinary levels use up to 8 MiB. */
const MAX_ZSTD_WINDOW_LOG = 26;

type Inflater = {
  readonly now: (bytes: Buffer, options: object) => Buffer;
  readonly threaded: (
    bytes: Buffer,
    options: object,
    done: (error: Error | null, out: Buffer) => void,
  ) => void;
};

const INFLATERS = {
  gzip: { now: gunzipSync, threaded: gunzip },
  deflate: { now: unzlibSync, threaded: unzlib },
  zstd: { now: zstdDecompressSync, threaded: zstdDecompress },
} satisfies Record<Exclude<Coding, "identity">, Inflater>;

/** The coding that a Content-Encoding header names. Throws: UNSUPPORTED_MEDIA_TYPE. */
export function parseCoding(header: string | undefined): Coding {
  const coding = header === undefined ? "identity" : CODINGS.get(header.trim().toLowerCase());
  if (coding === undefined)
    throw new MeshproofError(
      "UNSUPPORTED_MEDIA_TYPE",
      `Content-Encoding: expected one of ${ACCEPTED_CODINGS}, got ${JSON.stringify(header)}`,
    );
  return coding;
}

/**
 * The inflated body. Room for the output is reserved beside that for `wire` before it is made, and no call of zlib may
 * make more than what is reserved; at the end `wire` is let go and the output alone stays reserved.
 * Throws: BAD_ENCODING when the bytes do not inflate, or end early; BODY_TOO_LARGE; OVERLOADED.
 */
export async function inflate(
  coding: Exclude<Coding, "identity">,
  wire: Buffer,
  reservation: Reservation,
  maxBytes: number,
): Promise<Buffer> {
  if (coding === "zstd") return inflateZstd(wire, reservation, maxBytes);
  const guess = coding === "gzip" ? gzipGuess(wire) : wire.length * BLIND_RATIO;
  for (let bound = Math.min(guess, maxBytes); ; bound = Math.min(bound * GUESS_GROWTH, maxBytes)) {
    await reservation.resize(wire.length + bound);
    const body = await inflateWithin(coding, wire, bound);
    if (body !== undefined) {
      void reservation.resize(bound); // shrinks: never waits
      return body;
    }
    if (bound === maxBytes) throw tooLarge(maxBytes, "more after inflating");
  }
}

/** ISIZE, the length of the last member modulo 2^32 (RFC 1952, section 2.3.1), where it can be true. Only a guess: several members are longer together. */
function gzipGuess(wire: Buffer): number {
  const size = wire.length < 18 ? 0 : wire.readUInt32LE(wire.length - 4);
  return size > 0 && size <= wire.length * MAX_DEFLATE_RATIO
    ? Math.max(size, wire.length)
    : wire.length * BLIND_RATIO;
}

/** Node inflates the first of several zstd frames and is silent about the rest, so each is inflated on its own. */
async function inflateZstd(
  wire: Buffer,
  reservation: Reservation,
  maxBytes: number,
): Promise<Buffer> {
  const frames = zstdFrames(wire);
  let bound = 0;
  for (const frame of frames) bound += frame.maxContentBytes;
  if (bound > maxBytes && frames.every((frame) => frame.exact))
    throw tooLarge(maxBytes, `${bound} after inflating`);
  bound = Math.min(bound, maxBytes);
  await reservation.resize(wire.length + bound);
  const parts: Buffer[] = [];
  let left = bound;
  for (const { start, end, maxContentBytes } of frames) {
    const part = await inflateWithin(
      "zstd",
      wire.subarray(start, end),
      Math.min(maxContentBytes, left),
    );
    if (part === undefined && maxContentBytes <= left)
      throw new MeshproofError(
        "BAD_ENCODING",
        `Content-Encoding: zstd, byte ${start}: expected a frame of ${maxContentBytes} bytes, as its headers say, got more`,
      );
    if (part === undefined) throw tooLarge(maxBytes, "more after inflating");
    left -= part.length;
    parts.push(part);
  }
  void reservation.resize(bound); // shrinks: never waits
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** The output, or undefined when it is longer than `bound`. One chunk of the right size spares zlib from joining many. */
async function inflateWithin(
  coding: Exclude<Coding, "identity">,
  bytes: Buffer,
  bound: number,
): Promise<Buffer | undefined> {
  const options = {
    maxOutputLength: Math.max(bound, 1),
    chunkSize: Math.max(bound + 1, constants.Z_MIN_CHUNK), // one more, so that the end is seen without a second chunk
    ...(coding === "zstd"
      ? { params: { [constants.ZSTD_d_windowLogMax]: MAX_ZSTD_WINDOW_LOG } }
      : {}),
    ...(coding === "deflate" ? { rejectGarbageAfterEnd: true } : {}),
  } satisfies ZlibOptions | (ZstdOptions & { rejectGarbageAfterEnd?: boolean });
  const inflater: Inflater = INFLATERS[coding];
  try {
    if (bound <= SYNC_BYTES) return inflater.now(bytes, options);
    return await new Promise((resolve, reject) => {
      inflater.threaded(bytes, options, (error, out) =>
        error === null ? resolve(out) : reject(error),
      );
    });
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_BUFFER_TOO_LARGE") return undefined;
    throw new MeshproofError(
      "BAD_ENCODING",
      `Content-Encoding: expected a complete ${coding} stream of ${bytes.length} bytes: ${message}`,
      { cause },
    );
  }
}
