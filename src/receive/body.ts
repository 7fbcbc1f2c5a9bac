import type { IncomingMessage, ServerResponse } from "node:http";
import { watchBody } from "../core/connections.ts";
import { MeshproofError } from "../core/errors.ts";
import type { Reservation } from "./admission.ts";

/** What a body is given room for before the first byte has come. More is reserved as bytes arrive, so that a sender that stalls holds little. */
export const FIRST_RESERVATION_BYTES = 4 * 1024 * 1024;
/** The same for a body that does not say its length. */
const FIRST_CHUNKED_BYTES = 64 * 1024;
/** A body of which nothing comes for so long is given up. */
const STALL_MS = 10_000;

/** The Content-Length of a request; 0 without a body, undefined for chunked coding. Throws: BODY_TOO_LARGE. */
export function declaredLength(request: IncomingMessage, maxBytes: number): number | undefined {
  if (request.headers["transfer-encoding"] !== undefined) return undefined;
  const length = Number(request.headers["content-length"] ?? 0); // the parser has checked that these are digits
  if (length > maxBytes) throw tooLarge(maxBytes, `Content-Length: ${length}`);
  return length;
}

/** Below this, memory may be shared with other buffers (Buffer.poolSize), and is not worth freeing by hand. */
const FREE_BYTES = 8 * 1024;
const POOL_BYTES = 64 * 1024;

/**
 * Frees the memory of a buffer now, unless others may share it; every view of it is empty from then on.
 * Left to the garbage collector, bodies make it collect the whole heap each 32 MB: measured, with bodies of 1.5 MB
 * two thirds of the receiver's CPU time.
 */
export function freeBuffer(buffer: Buffer): void {
  const memory = buffer.buffer as ArrayBuffer;
  const isOwn = memory.byteLength > POOL_BYTES || buffer.length === memory.byteLength;
  if (isOwn && memory.byteLength >= FREE_BYTES) memory.transfer(0);
}

export function tooLarge(maxBytes: number, got: string): MeshproofError {
  return new MeshproofError(
    "BODY_TOO_LARGE",
    `expected a body of at most ${maxBytes} bytes, as sent and inflated, got ${got}`,
  );
}

/**
 * The body of a request, copied into one buffer that grows no faster than the reservation; undefined when the sender
 * goes away before it is complete: then there is nobody to answer.
 * Nothing is read from the socket while the reservation waits for room.
 * Throws: BODY_TOO_LARGE, OVERLOADED; UNAVAILABLE when the sender is too slow; BAD_REQUEST when the chunked coding is broken.
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  reservation: Reservation,
  maxBytes: number,
  stallMs = STALL_MS,
): Promise<Buffer | undefined> {
  const declared = declaredLength(request, maxBytes);
  if (declared === 0) return Buffer.alloc(0);
  const first = Math.min(declared ?? FIRST_CHUNKED_BYTES, FIRST_RESERVATION_BYTES, maxBytes);
  if (reservation.bytes < first) await reservation.resize(first);

  return new Promise((resolve, reject) => {
    let buffer = Buffer.allocUnsafeSlow(first);
    let length = 0;

    const stalled = () =>
      fail(
        new MeshproofError(
          "UNAVAILABLE",
          `expected the body without pauses beyond ${stallMs / 1000} s, got ${length} of ${declared ?? "an unknown number of"} bytes`,
        ),
      );
    const timer = setTimeout(stalled, stallMs);
    const stopWatching = watchBody(request, response, fail);
    request.on("data", onData).once("end", onEnd).once("close", onClose).on("error", onClose);
    if (request.destroyed) onClose(); // went away while it waited for room

    function onData(chunk: Buffer): void {
      timer.refresh();
      const needed = length + chunk.length;
      if (needed > maxBytes) return fail(tooLarge(maxBytes, "more"));
      if (needed > buffer.length) return void grow(chunk, needed).catch(fail);
      chunk.copy(buffer, length);
      length = needed;
      freeBuffer(chunk);
    }

    async function grow(chunk: Buffer, needed: number): Promise<void> {
      const capacity = Math.min(Math.max(needed, buffer.length * 2), declared ?? maxBytes);
      const room = reservation.bytes < capacity ? reservation.resize(capacity) : undefined;
      if (room !== undefined) {
        request.pause();
        await room;
        request.resume();
      }
      const larger = Buffer.allocUnsafeSlow(capacity);
      buffer.copy(larger, 0, 0, length);
      freeBuffer(buffer);
      chunk.copy(larger, length);
      freeBuffer(chunk);
      buffer = larger;
      length = needed;
    }

    function onEnd(): void {
      settle();
      resolve(length === buffer.length ? buffer : buffer.subarray(0, length));
    }

    function onClose(): void {
      settle();
      resolve(undefined);
    }

    function fail(error: Error): void {
      settle();
      reject(error);
    }

    function settle(): void {
      clearTimeout(timer);
      stopWatching();
      request.off("data", onData).off("end", onEnd).off("close", onClose); // "error" stays heard, or one on its way would end the process
    }
  });
}
