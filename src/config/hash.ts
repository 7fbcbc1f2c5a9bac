import { hash } from "node:crypto";
import { OPTIONS, type Config } from "./options.ts";

/**
 * SHA-256, in hex, of the configuration as canonical JSON (keys sorted, no spaces) without its secrets: what the sealed
 * start record says of the configuration, so that a change of it shows.
 */
export function configHash(config: Config): string {
  return hash("sha256", JSON.stringify(sortKeys(withoutSecrets(config))));
}

/** The configuration without passwords, to be shown or hashed. */
export function withoutSecrets(config: Config): Record<string, unknown> {
  const copy = structuredClone(config) as Record<string, unknown>;
  for (const { path, secret } of OPTIONS) {
    if (!secret) continue;
    const parent = path
      .slice(0, -1)
      .reduce<unknown>((value, key) => (value as Record<string, unknown> | undefined)?.[key], copy);
    if (parent !== undefined) delete (parent as Record<string, unknown>)[path.at(-1) as string];
  }
  return copy;
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const sorted = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([key, item]) => [key, sortKeys(item)]));
}
