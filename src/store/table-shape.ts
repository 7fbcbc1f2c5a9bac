import { PLACE_COLUMNS, type Table } from "../records/columns.ts";

/** Every column of some tables as they are now. */
export const FOUND_COLUMNS = `SELECT table, name, type, default_kind AS defaultKind FROM system.columns
  WHERE database = currentDatabase() AND table IN {tables:Array(String)} ORDER BY table, position`;

/** A column that a table has now. */
export interface FoundColumn {
  readonly table: string;
  readonly name: string;
  readonly type: string;
  /** '' or DEFAULT for one that holds values of its own. */
  readonly defaultKind: string;
}

/** A column that a table has beside those that are declared: nothing seals it. */
export interface UnsealedColumn {
  readonly name: string;
  readonly type: string;
}

/** What a table is like now, beside what was declared: whoever may ALTER it may have made it another one. */
export interface TableShape {
  /** false: it is gone, or has no place columns any more, so that none of its rows can be asked for. */
  readonly isThere: boolean;
  /** Declared columns that it has no more. */
  readonly absent: ReadonlySet<string>;
  readonly unsealed: readonly UnsealedColumn[];
  /** Each difference that is a fault whatever the rows hold, as a sentence. */
  readonly alterations: readonly string[];
}

/** Columns of these kinds are computed from the others, so they say nothing that is not sealed. */
const COMPUTED: ReadonlySet<string> = new Set(["ALIAS", "MATERIALIZED", "EPHEMERAL"]);

/** Compares `table` as it was declared with the columns that it has now. */
export function shapeOf(table: Table, found: readonly FoundColumn[]): TableShape {
  const now = new Map(found.map((column) => [column.name, column]));
  const declared = new Set([...PLACE_COLUMNS, ...table.columns].map(({ name }) => name));
  const absent = new Set<string>();
  const alterations: string[] = [];
  for (const { name, type } of [...PLACE_COLUMNS, ...table.columns]) {
    const column = now.get(name);
    if (column === undefined || column.defaultKind === "EPHEMERAL") {
      absent.add(name);
      alterations.push(`the column ${name} is gone`);
    } else if (COMPUTED.has(column.defaultKind))
      alterations.push(`the column ${name} is computed (${column.defaultKind}), not stored`);
    else if (plain(column.type) !== plain(type))
      alterations.push(
        `the column ${name} is of type ${column.type}, expected ${type}: what was sealed shows as another value`,
      );
  }
  const isThere = PLACE_COLUMNS.every(({ name, type }) => {
    const column = now.get(name);
    return column !== undefined && plain(column.type) === plain(type) && !absent.has(name);
  });
  return {
    isThere,
    absent,
    unsealed: found.filter(
      ({ name, defaultKind }) => !declared.has(name) && !COMPUTED.has(defaultKind),
    ),
    alterations: isThere ? alterations : ["the table is gone, or has no leaf indexes any more"],
  };
}

/** LowCardinality is a way to store a type, not another one. */
function plain(type: string): string {
  return type.replaceAll("LowCardinality(String)", "String");
}
