import { MeshproofError } from "../core/errors.ts";

/** What stands in `cause` of a STORE_FAILED error that ClickHouse itself answered: its number and name of the error. */
export interface ServerCause {
  readonly code: string;
  readonly type: string;
}

/**
 * Errors that lie in the bytes of the rows, by ClickHouse's names (src/Common/ErrorCodes.cpp): the same bytes fail again.
 * Everything else is worth another try: load, limits, a server that starts, a network that fails.
 */
const DATA_ERRORS: ReadonlySet<string> = new Set([
  "ARGUMENT_OUT_OF_BOUND",
  "ATTEMPT_TO_READ_AFTER_EOF",
  "CANNOT_CONVERT_TYPE",
  "CANNOT_PARSE_INPUT_ASSERTION_FAILED",
  "CANNOT_READ_ALL_DATA",
  "DECIMAL_OVERFLOW",
  "INCORRECT_DATA",
  "SIZES_OF_ARRAYS_DONT_MATCH",
  "SIZES_OF_NESTED_COLUMNS_ARE_INCONSISTENT",
  "TOO_LARGE_ARRAY_SIZE",
  "TOO_LARGE_STRING_SIZE",
  "TYPE_MISMATCH",
  "UNEXPECTED_END_OF_FILE",
  "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE",
  "VIOLATED_CONSTRAINT",
]);

/** The name that ClickHouse gives an error, such as `TOO_MANY_PARTS`; undefined when ClickHouse did not answer at all. */
export function serverErrorType(error: unknown): string | undefined {
  if (!(error instanceof MeshproofError) || error.code !== "STORE_FAILED") return undefined;
  return (error.cause as ServerCause | undefined)?.type;
}

/** Did ClickHouse refuse the rows themselves, so that the same bytes would fail again? */
export function isDataError(error: unknown): boolean {
  const type = serverErrorType(error);
  return type !== undefined && DATA_ERRORS.has(type);
}
