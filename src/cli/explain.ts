import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { MeshproofError } from "../core/errors.ts";
import { type Explained, Explainer } from "../explainer.ts";
import { findFormatConflicts } from "../formats.ts";
import { type ConfigOption, type Context, readConfig } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";
import { type Encoding, readSamples } from "./explain-input.ts";
import { explainedToJson, renderExplained } from "./explain-text.ts";
import { type Output, printable } from "./output.ts";

export interface ExplainOptions extends ConfigOption {
  readonly encoding: Encoding;
  /** Attributes that are added to each resource, and to each record. */
  readonly resource: Readonly<Record<string, string>>;
  readonly attribute: Readonly<Record<string, string>>;
  readonly strict?: boolean;
  readonly json?: boolean;
}

const STANDARD_INPUT = "-";
const MAX_INPUT_BYTES = 16 * 1024 * 1024;
/** What people look at; the first of a log are as good as any. */
const MAX_RECORDS = 1_000;

/** Shows what meshproof makes of log records. Exit code 1 when no dialect claimed any; with `strict`, when one was not claimed or not read in full. */
export async function explain(
  file: string,
  options: ExplainOptions,
  context: Context,
): Promise<ExitCode> {
  const { output } = context;
  const explainer = new Explainer(readConfig(options, context, findFormatConflicts));
  const text = await readInput(file, output);
  if (text === undefined) return EXIT.unable;
  const added = { resource: options.resource, record: options.attribute };
  const counts = new Counts();
  for (const { line, request } of readSamples(text, options.encoding)) {
    for (const explained of inLine(line, explainer.explain(request, added))) {
      if (counts.all === MAX_RECORDS) {
        output.note(`Only the first ${MAX_RECORDS} records are explained.`);
        return finish(counts, options, output);
      }
      if (options.json === true) output.json(explainedToJson(line, explained));
      else {
        if (counts.all > 0) output.line();
        for (const one of renderExplained(line, explained, output)) output.line(one);
      }
      counts.add(explained);
      await output.drained();
    }
  }
  return finish(counts, options, output);
}

/** How many records there were, of which dialect. */
class Counts {
  all = 0;
  claimed = 0;
  /** Those of a dialect that were read in full. */
  full = 0;
  readonly #byDialect = new Map<string, number>();

  add(explained: Explained): void {
    this.all++;
    const name =
      explained.dialect === undefined ? "rejected" : (explained.dialect ?? "of no dialect");
    this.#byDialect.set(name, (this.#byDialect.get(name) ?? 0) + 1);
    if (explained.dialect) {
      this.claimed++;
      if (explained.record["ParseStatus"] === "full") this.full++;
    }
  }

  toString(): string {
    const parts = Array.from(this.#byDialect, ([name, count]) => `${count} ${name}`);
    return `${this.all} ${this.all === 1 ? "record" : "records"}: ${parts.join(", ")}`;
  }
}

function finish(counts: Counts, { strict, json }: ExplainOptions, output: Output): ExitCode {
  if (counts.all === 0) output.note("The input holds no record.");
  else if (json !== true) output.note(`\n${counts.toString()}.`);
  const isFine =
    strict === true ? counts.full === counts.all && counts.all > 0 : counts.claimed > 0;
  return isFine ? EXIT.ok : EXIT.failed;
}

/** The records of a sample; what is wrong with a request is said with its line. */
function* inLine(line: number, records: Iterable<Explained>): Generator<Explained> {
  try {
    yield* records;
  } catch (error) {
    if (!(error instanceof MeshproofError)) throw error;
    throw new MeshproofError(error.code, `line ${line}: ${error.message}`, { cause: error });
  }
}

/** The whole input; undefined when it cannot be read, which was said then. */
async function readInput(file: string, output: Output): Promise<string | undefined> {
  const isStandard = file === STANDARD_INPUT;
  if (isStandard && process.stdin.isTTY) output.note("Reading standard input; Ctrl-D ends it.");
  const name = isStandard ? "standard input" : printable(file);
  let bytes: Buffer;
  try {
    bytes = await readAll(isStandard ? process.stdin : createReadStream(file));
  } catch (error) {
    output.note(`meshproof: ${name} cannot be read: ${printable((error as Error).message)}`);
    return undefined;
  }
  if (bytes.length > MAX_INPUT_BYTES)
    throw new MeshproofError(
      "BAD_REQUEST",
      `expected at most ${MAX_INPUT_BYTES / 1024 / 1024} MiB of samples, got more: head -n 100 ${name} gives some`,
    );
  return bytes.toString("utf8");
}

/** Everything, or a little more than may be. */
async function readAll(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    length += chunk.length;
    if (length > MAX_INPUT_BYTES) break;
  }
  return Buffer.concat(chunks);
}
