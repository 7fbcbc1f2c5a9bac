import type { ServerProcess } from "../../support/server-process.ts";

/** Sum of a counter of meshproof's own metrics over all labels. */
export async function counter(server: ServerProcess, name: string): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${server.ports.metrics}/metrics`)).text();
  const lines = text.matchAll(new RegExp(`^${name}(?:\\{[^}]*\\})? (\\d+)`, "gm"));
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0);
}
