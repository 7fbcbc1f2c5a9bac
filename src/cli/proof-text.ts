import { MeshproofError } from "../core/errors.ts";
import type { KindName } from "../core/kinds.ts";
import type { RecordJson } from "../records/row-json.ts";
import { formatVerifierKey, type VerifierKey } from "../tlog/note.ts";
import type { Policy } from "../tlog/policy.ts";
import {
  type CheckedCheckpoint,
  type CheckedRecord,
  decodeSealed,
  type SealedRecord,
} from "../verify/proof.ts";
import type { CheckedBundle } from "../verify/proof-bundle.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { fit, type Output, printable } from "./output.ts";
import { listRecord } from "./record-list.ts";
import { dayAndTime, field, requested, status, who } from "./record-text.ts";

/** What `meshproof verify-proof` shows of proofs that hold. */
export interface Shown {
  /** As it was given, and as people are told. */
  readonly file: string;
  readonly name: string;
  readonly json: boolean;
  readonly all: boolean;
  readonly policy: Policy | null;
}

/** The last second that a Date holds (ECMA-262, "Time Values and Time Range"). */
const MAX_DATE_SECONDS = 8_640_000_000_000n;
/** Narrower than this a summary says nothing. */
const LEAST_WIDTH = 20;
const KIND_WIDTH = "finding".length;
const EXTRACT_HINT =
  "verify-proof --extract LEAF prints the proof of one, as other programs take it.";

const KIND_TEXT: Readonly<Record<KindName, string>> = {
  access: "access record",
  span: "span",
  log: "log record",
  link: "link of an access record and a span",
  finding: "finding",
  control: "control record",
};

/** Shows the record of a proof. */
export function showRecord(checked: CheckedRecord, shown: Shown, output: Output): void {
  if (shown.json) {
    output.json(recordJson(checked, checked, shown));
    return;
  }
  const { leafIndex, treeSize, kind, table, record } = checked;
  output.line(
    `${output.paint("green", "HOLDS")}  ${shown.name}: this ${KIND_TEXT[kind]} is what was sealed`,
  );
  const position = `record ${leafIndex} of the ${treeSize} that the checkpoint covers`;
  output.columns(checkpointCells(checked, position, shown.policy));
  output.line();
  output.line(`${table}:`);
  output.columns(listRecord(kind, record, { all: shown.all }));
}

/** Shows the records of a bundle, one a line, or all of each. Exit code 1 when one was sealed, but cannot be read. */
export function showBundle(checked: CheckedBundle, shown: Shown, output: Output): ExitCode {
  const { rows, treeSize } = checked;
  if (!shown.json) {
    const these = rows.length === 1 ? "this record is" : `these ${rows.length} records are`;
    output.line(`${output.paint("green", "HOLDS")}  ${shown.name}: ${these} what was sealed`);
    const position = `records ${rows[0]!.leafIndex} to ${rows.at(-1)!.leafIndex} of the ${treeSize} that the checkpoint covers`;
    output.columns(checkpointCells(checked, position, shown.policy));
    output.line();
  }
  const leafWidth = String(rows.at(-1)!.leafIndex).length;
  let code: ExitCode = EXIT.ok;
  for (const { leafIndex, row } of rows) {
    try {
      const sealed = decodeSealed(leafIndex, row);
      if (shown.json) output.json(recordJson(checked, sealed, shown));
      else showOne(sealed, leafWidth, shown, output);
    } catch (error) {
      if (!(error instanceof MeshproofError)) throw error;
      code = EXIT.failed;
      const { code: errorCode, message: detail } = error;
      if (shown.json)
        output.json({ file: shown.file, verdict: "failed", leafIndex, code: errorCode, detail });
      else output.line(`  ${leafIndex}  ${output.paint("red", printable(detail))}`);
    }
  }
  if (!shown.json && !shown.all) {
    output.line();
    output.line(`--all shows them whole; ${EXTRACT_HINT}`);
  }
  return code;
}

function showOne(
  { leafIndex, kind, table, record }: SealedRecord,
  leafWidth: number,
  { all }: Shown,
  output: Output,
): void {
  if (all) {
    output.line(`record ${leafIndex}, ${table}:`);
    output.columns(listRecord(kind, record, { all }));
    output.line();
    return;
  }
  const { day, time } = dayAndTime(record);
  const head = `  ${String(leafIndex).padStart(leafWidth)}  ${day} ${time}  ${kind.padEnd(KIND_WIDTH)}  `;
  output.line(head + fit(summary(kind, record), Math.max(LEAST_WIDTH, output.width - head.length)));
}

/** The columns of which one line can say what a record is about; of an access record it says more. */
const SUMMARY: Readonly<Record<Exclude<KindName, "access">, readonly string[]>> = {
  span: ["ServiceName", "SpanName"],
  log: ["ServiceName", "Body"],
  link: ["Rule", "AccessLeaf", "SpanLeaf"],
  finding: ["FindingKind", "State", "Subject"],
  control: ["ControlKind"],
};

function summary(kind: KindName, record: RecordJson): string {
  if (kind === "access")
    return `${field(record, "Decision")} ${who(record)} ${requested(record)} ${status(record)}`.trim();
  const values = SUMMARY[kind].map((name) => field(record, name));
  return values.filter((value) => value !== "").join(" ");
}

function recordJson(
  { origin, treeSize, signatures, cosignatures }: CheckedCheckpoint,
  { leafIndex, kind, record }: SealedRecord,
  { file, policy }: Shown,
): object {
  const witnessed =
    policy === null
      ? {}
      : {
          quorum: policy.quorum?.name ?? null,
          witnesses: (cosignatures ?? []).map(({ witness, timestamp }) => ({
            name: witness.name,
            time: timeText(timestamp),
          })),
        };
  return {
    file,
    verdict: "ok",
    origin,
    treeSize,
    leafIndex,
    signatures: signatures.map(({ key, timestamp }) => ({
      key: formatVerifierKey(key),
      time: timeText(timestamp),
    })),
    ...witnessed,
    kind,
    record,
  };
}

function checkpointCells(
  { origin, signatures, cosignatures }: CheckedCheckpoint,
  position: string,
  policy: Policy | null,
): string[][] {
  const cells = [
    ["Log", printable(origin)],
    ["Position", position],
    ...signatures.map(({ key, timestamp }) => [
      "Signed by",
      [keyText(key), timeText(timestamp)].filter((text) => text !== null).join(" at "),
    ]),
  ];
  if (policy === null) return cells;
  const names = (cosignatures ?? []).map(({ witness }) => witness.name).join(", ");
  const quorum = policy.quorum === null ? "none asked for" : `${policy.quorum.name}, met`;
  return [...cells, ["Quorum", printable(names === "" ? quorum : `${quorum} by ${names}`)]];
}

function keyText({ name, keyId }: VerifierKey): string {
  return printable(`${name}+${keyId.toString(16).padStart(8, "0")}`);
}

/** Seconds since the epoch, which a witness may set as it likes, as a time; null for none, and for zero, with which one says that it states none. */
function timeText(seconds: bigint | null): string | null {
  if (seconds === null || seconds === 0n) return null;
  return seconds <= MAX_DATE_SECONDS
    ? new Date(Number(seconds) * 1000).toISOString()
    : `${seconds} s after 1970`;
}
