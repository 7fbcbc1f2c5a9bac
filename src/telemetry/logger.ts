import { writeSync } from "node:fs";
import { stderr } from "node:process";
import { styleText } from "node:util";
import { pino, stdSerializers } from "pino";
import type { Logger } from "../core/logger.ts";

export interface LoggerOptions {
  readonly level: "debug" | "info" | "warn" | "error";
  /** `auto` is `console` on a terminal and `json` elsewhere. */
  readonly encoding: "auto" | "console" | "json";
  /** Where lines go; standard error when absent, written synchronously, so that the last words of a process are not lost. */
  readonly stream?: { write(line: string): unknown; readonly isTTY?: boolean };
}

/** Fields whose values are never written, at the top and one level down. Records' contents are not logged at all. */
const SECRET_FIELDS = ["password", "token", "secret", "authorization", "cookie", "privateKey"];

const STDERR_FD = 2;
/** What waits to be written to a log that does not take it; further lines are dropped. */
const MAX_WAITING_BYTES = 65_536;

/** A pipe whose reader is slow gets so many times so long. */
const PIPE_TRIES = 20;
const PIPE_WAIT_MS = 10;

/**
 * The log at a file descriptor, written synchronously. One that cannot be written to, because it lies on the disk that is full, ends nothing:
 * lines wait for the next one, MAX_WAITING_BYTES of them at most.
 */
export function openLog(fd: number): { write(line: string): unknown } {
  let waiting = Buffer.alloc(0);
  return {
    write(line) {
      const bytes = Buffer.from(line);
      if (waiting.length + bytes.length <= MAX_WAITING_BYTES)
        waiting = waiting.length === 0 ? bytes : Buffer.concat([waiting, bytes]);
      for (let tries = 0; waiting.length > 0;) {
        try {
          waiting = waiting.subarray(writeSync(fd, waiting));
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== "EAGAIN" || ++tries > PIPE_TRIES) return;
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, PIPE_WAIT_MS);
        }
      }
    },
  };
}

/** The process's own log: one JSON object or one line for people an event. */
export function createLogger(options: LoggerOptions): Logger {
  const stream = options.stream ?? openLog(STDERR_FD);
  const isTerminal = options.stream === undefined ? stderr.isTTY : options.stream.isTTY === true;
  const isConsole = options.encoding === "console" || (options.encoding === "auto" && isTerminal);
  return pino(
    {
      level: options.level,
      base: null,
      timestamp: () => `,"time":"${new Date().toISOString()}"`,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: stdSerializers.err, error: stdSerializers.err },
      redact: {
        paths: SECRET_FIELDS.flatMap((field) => [field, `*.${field}`]),
        censor: "[redacted]",
      },
    },
    isConsole
      ? { write: (line: string) => void stream.write(toConsole(line, isTerminal)) }
      : stream,
  );
}

/** A line as pino writes it. */
interface Line {
  readonly level: LoggerOptions["level"];
  readonly time: string;
  readonly msg?: string;
  readonly [field: string]: unknown;
}

const LEVEL_STYLES = { debug: "dim", info: "cyan", warn: "yellow", error: "red" } as const;

/** `20:20:28.123 warn  the message  field=value`; the stack of an error follows on lines of its own. */
function toConsole(line: string, isTerminal: boolean): string {
  const { level, time, msg, ...fields } = JSON.parse(line) as Line;
  const paint = (style: (typeof LEVEL_STYLES)[keyof typeof LEVEL_STYLES], text: string): string =>
    isTerminal ? styleText(style, text, { stream: stderr }) : text;
  const words = [
    paint("dim", time.slice(11, 23)),
    paint(LEVEL_STYLES[level], level.padEnd(5)),
    escapeControls(msg ?? ""),
  ];
  const stacks: string[] = [];
  for (const [name, value] of Object.entries(fields)) {
    const isError =
      typeof value === "object" && value !== null && "stack" in value && "message" in value;
    words.push(
      paint("dim", escapeControls(`${name}=${isError ? String(value.message) : toWord(value)}`)),
    );
    if (isError)
      stacks.push(
        ...String(value.stack)
          .split("\n")
          .map((frame) => `    ${escapeControls(frame)}`),
      );
  }
  return `${[words.join(" "), ...stacks].join("\n")}\n`;
}

function toWord(value: unknown): string {
  return typeof value === "string" && !/[\s"]/.test(value) ? value : JSON.stringify(value);
}

/** Text from outside must not move a reader's cursor, colour the terminal or look like a line of its own. */
function escapeControls(text: string): string {
  return text.replace(
    /\p{Cc}/gu,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
}
