import { MeshproofError } from "../core/errors.ts";
import type { LogVerifierKey } from "../tlog/checkpoint.ts";
import { parseVerifierKey } from "../tlog/note.ts";

/** From which checkpoint to which one a key signed: an entry of the list in the commit record. */
export interface KeyPeriod {
  readonly verifierKey: string;
  /** Size of the first checkpoint that it signed. */
  readonly from: number;
  /** Size of the last one, when it was replaced; null while it signs. */
  readonly through: number | null;
  /** Leaf index of the record that names it as the successor of a key that signed that record; null for the log's first key. */
  readonly record: number | null;
}

/** What changes when other keys sign than before. */
export interface KeyChange {
  /** Verifier keys that sign from now on. */
  readonly added: readonly string[];
  /** Those that do not sign any more. */
  readonly retired: readonly string[];
  /** Those that sign before and after: whoever trusts them learns of the others from a record under their signature. */
  readonly kept: readonly string[];
}

/**
 * What changes when `signers` sign on from what `periods` say; nothing for a log that nobody has signed.
 * Throws: KEY_INVALID when one of them was replaced before: what it signs again is not accepted by those who know.
 */
export function keyChange(periods: readonly KeyPeriod[], signers: readonly string[]): KeyChange {
  const active = periods.filter(({ through }) => through === null);
  const isActive = (key: string): boolean => active.some(({ verifierKey }) => verifierKey === key);
  for (const { verifierKey, through } of periods)
    if (through !== null && signers.includes(verifierKey))
      throw new MeshproofError(
        "KEY_INVALID",
        `the key ${verifierKey} was replaced when the log had ${through} records: configure the key that replaced it, ${active.map((period) => period.verifierKey).join(" or ")}`,
      );
  return {
    added: periods.length === 0 ? [] : signers.filter((key) => !isActive(key)),
    retired: active.map(({ verifierKey }) => verifierKey).filter((key) => !signers.includes(key)),
    kept: signers.filter(isActive),
  };
}

/**
 * The list after a checkpoint of `size` by `signers`; the checkpoint before it had `previousSize` records. `records` has the leaf index of
 * the record that names a new key.
 */
export function extendPeriods(
  periods: readonly KeyPeriod[],
  signers: readonly string[],
  { size, previousSize }: { readonly size: number; readonly previousSize: number },
  records: ReadonlyMap<string, number>,
): readonly KeyPeriod[] {
  const known = periods.map((period) =>
    period.through === null && !signers.includes(period.verifierKey)
      ? { ...period, through: previousSize }
      : period,
  );
  const added = signers.filter((key) => !periods.some(({ verifierKey }) => verifierKey === key));
  return [
    ...known,
    ...added.map((verifierKey) => ({
      verifierKey,
      from: size,
      through: null,
      record: records.get(verifierKey) ?? null,
    })),
  ];
}

/** The keys of the list, each with the size through which its signature counts. */
export function verifierKeysOf(periods: readonly KeyPeriod[]): readonly LogVerifierKey[] {
  return periods.map(({ verifierKey, through }) => {
    const key = parseVerifierKey(verifierKey);
    return through === null ? key : { ...key, through };
  });
}

/** Is `value`, from a file, a list of key periods? Sizes are checked, and that the keys parse. */
export function isKeyPeriods(value: unknown): value is readonly KeyPeriod[] {
  return Array.isArray(value) && value.every(isKeyPeriod);
}

function isKeyPeriod(value: unknown): value is KeyPeriod {
  const { verifierKey, from, through, record } = (value ?? {}) as Record<string, unknown>;
  if (typeof verifierKey !== "string" || !isSize(from)) return false;
  if (through !== null && !(isSize(through) && through >= from)) return false;
  if (record !== null && !isSize(record)) return false;
  try {
    parseVerifierKey(verifierKey);
    return true;
  } catch {
    return false;
  }
}

/** Is it a number of leaves, or a leaf index? */
export function isSize(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
