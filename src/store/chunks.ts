/** Chunks below this are gathered: a write to the socket costs more than copying them. */
const SMALL_BYTES = 16 * 1024;
/** Size of the buffer that small chunks are gathered in. */
const GATHER_BYTES = 64 * 1024;

/**
 * The same bytes in the same order in chunks that are worth a write each.
 * Large chunks pass through without a copy; runs of small ones (a request of a few records) are gathered.
 */
export function* coalesce(chunks: Iterable<Uint8Array>): Generator<Uint8Array> {
  let gathered = Buffer.allocUnsafe(0);
  let used = 0;
  for (const chunk of chunks) {
    if (chunk.length < SMALL_BYTES) {
      if (used + chunk.length > gathered.length) {
        if (used > 0) yield gathered.subarray(0, used);
        // A new buffer each time: the one before may still wait in the socket.
        gathered = Buffer.allocUnsafeSlow(GATHER_BYTES);
        used = 0;
      }
      gathered.set(chunk, used);
      used += chunk.length;
      continue;
    }
    if (used > 0) yield gathered.subarray(0, used);
    gathered = Buffer.allocUnsafe(0);
    used = 0;
    yield chunk;
  }
  if (used > 0) yield gathered.subarray(0, used);
}

/** How ClickHouse ends an answer that fails when part of it is sent: marker, tag of the header, message, length and tag, marker. */
const EXCEPTION_MARKER = "__exception__\r\n";
/** Longest end of an answer that is searched for the message. */
const TAIL_BYTES = 8 * 1024;

/**
 * The chunks of an answer as they come.
 * Throws: what the connection throws when it breaks, or, where ClickHouse wrote why, an Error with its text.
 */
export async function* wholeAnswer(
  chunks: AsyncIterable<Uint8Array>,
  tag: string | undefined,
): AsyncGenerator<Uint8Array> {
  let last: Uint8Array = new Uint8Array(0);
  let broken: unknown;
  try {
    for await (const chunk of chunks) {
      last = chunk;
      yield chunk;
    }
  } catch (error) {
    broken = error;
  }
  const message = tag === undefined ? undefined : exceptionText(last, tag);
  if (message !== undefined) throw new Error(message);
  if (broken !== undefined) throw broken;
}

function exceptionText(last: Uint8Array, tag: string): string | undefined {
  const tail = Buffer.from(last.buffer, last.byteOffset, last.length)
    .subarray(-TAIL_BYTES)
    .toString("latin1");
  const end = `${tag}\r\n${EXCEPTION_MARKER}`;
  if (!tail.endsWith(end)) return undefined;
  const start = tail.indexOf(`${EXCEPTION_MARKER}${tag}\r\n`);
  return start < 0
    ? "the server failed in mid-answer"
    : tail.slice(start + EXCEPTION_MARKER.length + tag.length + 2, -end.length);
}
