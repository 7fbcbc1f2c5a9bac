import { setTimeout } from "node:timers/promises";
import { MeshproofError } from "../core/errors.ts";
import { type ApiClient, type ApiOption, openApi } from "./api-client.ts";
import type { Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import type { Output } from "./output.ts";

export interface EraseOptions extends ApiOption {
  readonly json?: boolean;
  /** Leaf indexes and ranges: `12 100-199`. */
  readonly records?: string;
  readonly principal?: string;
  readonly reason: string;
  readonly yes?: boolean;
  /** Return when the erasure is sealed, not when the rows are gone. */
  readonly wait?: boolean;
}

interface Answer {
  readonly counts: Readonly<Record<string, string>>;
  readonly records: readonly string[];
}

const PATH = "api/v1/erasures";
const POLL_MS = 500;

/** Counts what would be erased; with `yes` erases it, and waits until the rows are gone. Exit code 0, also when there is nothing. */
export async function erase(options: EraseOptions, context: Context): Promise<ExitCode> {
  const { output } = context;
  if ((options.records === undefined) === (options.principal === undefined))
    throw new MeshproofError(
      "CONFIG_INVALID",
      "meshproof erase: expected either --records or --principal",
    );
  const api = openApi(options, context);
  const asked = {
    ...(options.records === undefined
      ? { principal: options.principal }
      : { records: options.records }),
    reason: options.reason,
  };
  const isDryRun = options.yes !== true;
  const answer = readAnswer(await api.post(PATH, { ...asked, dry_run: isDryRun }));
  const isGone = !isDryRun && options.wait !== false && answer.records.length > 0;
  if (isGone) await untilGone(api, answer.records, output);
  if (options.json === true) output.json({ dryRun: isDryRun, ...answer, gone: isGone });
  else print(output, answer, isDryRun, isGone);
  return EXIT.ok;
}

async function untilGone(
  api: ApiClient,
  records: readonly string[],
  output: Output,
): Promise<void> {
  output.status("Sealed; waiting until the rows are gone (a minute or two) …");
  for (;;) {
    const { open } = await api.json(PATH);
    if (!Array.isArray(open)) throw unexpected();
    if (!records.some((record) => open.includes(record))) break;
    await setTimeout(POLL_MS);
  }
  output.status("");
}

function print(
  output: Output,
  { counts, records }: Answer,
  isDryRun: boolean,
  isGone: boolean,
): void {
  const tables = Object.entries(counts);
  if (tables.length === 0) {
    output.note("There is nothing to erase: no table has such a row.");
    return;
  }
  output.columns(
    tables.map(([table, count]) => [table, `${count} ${count === "1" ? "row" : "rows"}`]),
  );
  if (isDryRun) {
    output.note("Nothing was erased. --yes erases these rows for good.");
    return;
  }
  const names =
    records.length === 1
      ? `control record ${records[0]} of the log names them, and stays`
      : `the control records ${records.join(", ")} of the log name them, and stay`;
  output.note(`${isGone ? "Erased" : "They are being erased"}: ${names}.`);
}

function readAnswer({ counts, records }: Record<string, unknown>): Answer {
  if (typeof counts !== "object" || counts === null || !Array.isArray(records)) throw unexpected();
  return { counts: counts as Answer["counts"], records: records as string[] };
}

function unexpected(): MeshproofError {
  return new MeshproofError("UNAVAILABLE", `${PATH}: expected an answer of meshproof's API`);
}
