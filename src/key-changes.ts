import { KINDS } from "./core/kinds.ts";
import type { RowSection } from "./core/rows.ts";
import { nowNanos } from "./core/time.ts";
import { internalMeta } from "./journal/frame.ts";
import type { Journal } from "./journal/journal.ts";
import type { ControlKind } from "./records/own-kinds.ts";
import { type ControlRecord, controlSection } from "./records/own-rows.ts";
import { placedRows } from "./records/row-json.ts";
import type { Sealer } from "./seal/sealer.ts";

/** What is sealed when other keys sign than before. */
const ROTATED = "key_rotated";
const RETIRED = "key_retired";

/**
 * Writes into the journal that other keys sign from now on: `key_rotated` names a new one, `key_retired` one that signs no more. Called before
 * `sealer.recover`, so that the first checkpoint with a new signature covers the record that names it, under a key that was known before.
 * A record that a crash left in the journal without a checkpoint is not written twice.
 */
export async function sealKeyChanges(
  sealer: Sealer,
  journal: Journal,
  logId: string,
): Promise<void> {
  const { added, retired, kept } = sealer.keyChange;
  if (added.length + retired.length === 0) return;
  const written = await readWritten(sealer, journal);
  const nowNs = nowNanos();
  const size = String(sealer.signedSize);
  const record = (controlKind: ControlKind, detail: ControlRecord["detail"]): RowSection =>
    controlSection(logId, [{ timestampNs: nowNs, controlKind, detail: { ...detail, size } }]);
  const append = async (section: RowSection): Promise<number> => {
    const { placed, durable } = journal.append({ sections: [section] }, internalMeta(nowNs), {
      reserve: true,
    });
    await durable;
    return placed.firstIndex;
  };
  for (const key of added) {
    const index = written.get(`${ROTATED} ${key}`);
    sealer.announced(
      key,
      index ?? (await append(record(ROTATED, { old_key: kept.join(" "), new_key: key }))),
    );
  }
  for (const key of retired)
    if (!written.has(`${RETIRED} ${key}`))
      await append(record(RETIRED, { key, signed_by: kept.join(" ") }));
}

/** Such records behind the last checkpoint, by kind and key, with their leaf indexes. */
async function readWritten(sealer: Sealer, journal: Journal): Promise<Map<string, number>> {
  const written = new Map<string, number>();
  for await (const { sections } of journal.frames(
    Math.max(sealer.signedSize, journal.firstIndex),
  )) {
    for (const { kind, bytes } of sections) {
      if (kind !== KINDS.control) continue;
      for (const { leafIndex, record } of placedRows(kind, bytes)) {
        const detail = record["Detail"] as Readonly<Record<string, string>>;
        const key = record["ControlKind"] === ROTATED ? detail["new_key"] : detail["key"];
        written.set(`${String(record["ControlKind"])} ${key}`, Number(leafIndex));
      }
    }
  }
  return written;
}
