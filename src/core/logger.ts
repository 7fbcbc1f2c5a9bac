/** What stages need of a logger; `telemetry/logger.ts` implements it with pino. Fields never hold secrets or record contents. */
export interface Logger {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** A logger that says nothing, for tests and for commands that print their own results. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} };
