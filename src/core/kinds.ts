/** The kinds of records that are sealed. The number stands in every row and every entry. */
export const KINDS = { access: 1, span: 2, log: 3, link: 4, finding: 5, control: 6 } as const;

export type KindName = keyof typeof KINDS;
export type Kind = (typeof KINDS)[KindName];

/** The version of row and entry that this code writes (DESIGN: row and entry, version 1). */
export const LEAF_VERSION = 1;
