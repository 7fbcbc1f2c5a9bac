import t from "tap";
import { loadConfig } from "../src/config/load.ts";
import { MeshproofError } from "../src/core/errors.ts";
import { silentLogger } from "../src/core/logger.ts";
import type { StoreClient } from "../src/store/client.ts";
import { prepareTables, type StoreConnection } from "../src/store-connection.ts";

t.test(
  "why ClickHouse does not take the tables is told once, and again when it is for another reason",
  async (t) => {
    const stopping = new AbortController();
    const reasons = ["not there", "not there", "not allowed"];
    const refuse = async (): Promise<never> => {
      const reason = reasons.shift()!;
      if (reasons.length === 0) stopping.abort();
      throw new MeshproofError("STORE_FAILED", reason);
    };
    const client = { command: refuse, query: refuse, close: async () => {} };
    const store: StoreConnection = {
      engine: null,
      url: "http://clickhouse:8123",
      client: () => client as unknown as StoreClient,
      close: async () => {},
    };
    const told: string[] = [];
    const logger = {
      ...silentLogger,
      warn: ({ err }: { err?: Error }) => void told.push(err!.message),
    };
    const { clickhouse } = loadConfig([], {}).exporters;
    await t.rejects(prepareTables(store, clickhouse, logger, stopping.signal), {
      name: "AbortError",
    });
    t.same(told, ["not there", "not allowed"]);
  },
);
