import { MeshproofError } from "../../core/errors.ts";

/** A request to a witness: somebody else's server, which may hang, send without end, or point elsewhere. */
export interface BoundedRequest {
  readonly url: string;
  /** A POST with this body; without one, a GET. */
  readonly body?: string;
  /** Bound of the answer's body, after decompression. */
  readonly maxBytes: number;
  /** Bound of the whole exchange. */
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface BoundedAnswer {
  readonly status: number;
  /** Media type without parameters, in lower case; empty when there is none. */
  readonly type: string;
  readonly body: Uint8Array;
}

/**
 * What was answered, whatever the status. Redirects are answers, not followed: whom a checkpoint is sent to stands in the policy.
 * Throws: WITNESS_FAILED when there is no whole answer within the bounds.
 */
export async function request(options: BoundedRequest): Promise<BoundedAnswer> {
  const { url, body, maxBytes, timeoutMs, signal } = options;
  try {
    const response = await fetch(url, {
      method: body === undefined ? "GET" : "POST",
      ...(body === undefined ? {} : { body }),
      headers: { "content-type": "text/plain; charset=utf-8" },
      redirect: "manual",
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
    return {
      status: response.status,
      type: (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase(),
      body: await readBounded(response, maxBytes),
    };
  } catch (error) {
    if (error instanceof MeshproofError) throw error;
    const why = signal.aborted
      ? "no answer before the round was over"
      : (error as Error).name === "TimeoutError"
        ? `no answer within ${timeoutMs} ms`
        : reasonOf(error as Error);
    throw new MeshproofError("WITNESS_FAILED", `${url}: ${why}`, { cause: error });
  }
}

/** Leaving the loop ends the transfer. */
async function readBounded(response: Response, maxBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes)
      throw new MeshproofError(
        "WITNESS_FAILED",
        `${response.url}: expected an answer of at most ${maxBytes} bytes, got more`,
      );
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** `fetch` says "fetch failed" and keeps the reason in its cause. */
function reasonOf(error: Error): string {
  const { cause } = error;
  return cause instanceof Error ? `${error.message}: ${cause.message}` : error.message;
}
