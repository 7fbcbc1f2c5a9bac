import { MeshproofError } from "../core/errors.ts";
import type { StoreClient } from "./client.ts";

/**
 * `client`, whose calls fail as those of a store that is away for as long as `whyNot` gives a reason: whoever tries again gets through when it gives none.
 * `close` and `ping` are let through.
 */
export function guardClient(client: StoreClient, whyNot: () => string | null): StoreClient {
  const check = (): void => {
    const reason = whyNot();
    if (reason !== null) throw new MeshproofError("STORE_FAILED", reason);
  };
  return {
    insertRows: async (...args) => (check(), client.insertRows(...args)),
    query: async (...args) => (check(), client.query(...args)),
    command: async (...args) => (check(), client.command(...args)),
    async *streamBytes(...args) {
      check();
      yield* client.streamBytes(...args);
    },
    ping: () => client.ping(),
    close: () => client.close(),
  };
}
