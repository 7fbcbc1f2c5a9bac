import { hash, randomBytes, timingSafeEqual } from "node:crypto";
import { MeshproofError } from "./errors.ts";

/**
 * Who may do what. `sender` sends OTLP; `reader` reads records, proofs and the log; `auditor` also control records, which say who
 * read what; `admin` may do everything.
 */
export const ROLES = ["sender", "reader", "auditor", "admin"] as const;
export type Role = (typeof ROLES)[number];

/** Whom a token stands for. The name is what records and the access log say. */
export interface TokenHolder {
  readonly name: string;
  readonly role: Role;
}

/** The tokens that are known, by their hashes. */
export interface TokenTable {
  readonly size: number;
  /** The holder of `token`, or null. Compares with every hash, so that the time says nothing of which one is near. */
  find(token: string): TokenHolder | null;
}

const TOKEN_BYTES = 32;
const LINE = /^(\S+)\s+(\S+)\s+sha256:([0-9a-f]{64})$/i;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}$/;

/**
 * The table that a tokens file describes. One line a token, `role name sha256:<64 hex digits>`; empty lines and lines that begin
 * with # say nothing. One name may have several tokens of one role, so that a token can be replaced without a pause.
 * A plain SHA-256 is enough, because tokens are 32 random bytes and not passwords: there is nothing to guess.
 * Throws: CONFIG_INVALID with one line for every line that does not fit.
 */
export function parseTokens(text: string, file = "tokens"): TokenTable {
  const entries: { readonly digest: Buffer; readonly holder: TokenHolder }[] = [];
  const problems: string[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    const report = (message: string): unknown => problems.push(`${file}:${index + 1}: ${message}`);
    const [, role, name, hex] = LINE.exec(line) ?? [];
    // The line itself is not repeated: someone may have pasted the token in place of its hash.
    if (role === undefined || name === undefined || hex === undefined) {
      report("expected `role name sha256:<64 hex digits>`, got another line");
    } else if (!isRole(role)) {
      report(`expected a role of ${ROLES.join(", ")}, got ${JSON.stringify(role)}`);
    } else if (!NAME.test(name)) {
      report("expected a name of letters, digits and . _ @ / -, got another");
    } else {
      const digest = Buffer.from(hex, "hex");
      if (entries.some((entry) => entry.digest.equals(digest)))
        report("expected each token once, got this hash again");
      else if (entries.some(({ holder }) => holder.name === name && holder.role !== role))
        report(`expected one role for ${name}, got another`);
      else entries.push({ digest, holder: { name, role } });
    }
  }
  if (problems.length > 0) throw new MeshproofError("CONFIG_INVALID", problems.join("\n"));
  return {
    size: entries.length,
    find(token) {
      const digest = hash("sha256", token, "buffer");
      let found: TokenHolder | null = null;
      for (const entry of entries) if (timingSafeEqual(entry.digest, digest)) found = entry.holder;
      return found;
    },
  };
}

/** A new random token. The prefix lets secret scanners find one that leaks. */
export function createToken(): string {
  return `meshproof_${randomBytes(TOKEN_BYTES).toString("base64url")}`;
}

/** The line of a tokens file for `token`. */
export function formatTokenLine(holder: TokenHolder, token: string): string {
  return `${holder.role} ${holder.name} sha256:${hash("sha256", token)}`;
}

export function isRole(text: string): text is Role {
  return (ROLES as readonly string[]).includes(text);
}

/** Can `name` stand in a tokens file? */
export function isTokenName(name: string): boolean {
  return NAME.test(name);
}
