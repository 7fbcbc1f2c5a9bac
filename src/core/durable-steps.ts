import { tracingChannel } from "node:diagnostics_channel";

/**
 * What happens to records from the request to the freed disk, in this order; a crash may come within or behind any of these steps.
 * docs/design/crash-order.md says what each leaves and what a start makes of it. The code names each where it does it, by `inStep`.
 */
export const DURABLE_STEPS = [
  /** The frames of a group of requests are written into the journal. */
  "write_frames",
  /** fdatasync: from here on they survive whatever happens. */
  "sync_frames",
  /** Their senders are answered 200; tree and writer get the rows. */
  "acknowledge",
  /** Tiles and entry bundles that are new are written: readable, not durable. */
  "write_tiles",
  "sign",
  /** The commit record holds the signed checkpoint: no other tree of this size is ever signed. */
  "commit",
  /** log/checkpoint is replaced: everybody can see it. */
  "publish",
  /** What `write_tiles` wrote is fsynced, in the background. */
  "sync_tiles",
  /** The commit record says so: a start relies on these tiles. With the next `commit`, or alone when nothing new comes. */
  "record_durable",
  /** Partial tiles go whose full ones are durable. */
  "prune_tiles",
  /** Rows are inserted into ClickHouse, beside all of this. */
  "insert_rows",
  /** Segments of the journal go whose rows are in durable tiles under a signed checkpoint, and in the store. */
  "release_segments",
] as const;

export type DurableStep = (typeof DURABLE_STEPS)[number];

/** Of a step as it begins and ends, for whoever watches with node:diagnostics_channel. Without a subscriber it costs a function call. */
export const durableSteps = tracingChannel<unknown, { readonly step: DurableStep }>(
  "meshproof.durable-step",
);

/** Does `act`, which is `step`. Returns and throws what it does. */
export function inStep<T>(step: DurableStep, act: () => Promise<T>): Promise<T> {
  return durableSteps.tracePromise(act, { step });
}

/** The same for a step that waits for nothing. */
export function inStepNow<T>(step: DurableStep, act: () => T): T {
  return durableSteps.traceSync(act, { step });
}
