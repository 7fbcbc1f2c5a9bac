import type { AccessDraft } from "../records/access-draft.ts";
import { ascii, CHAR, equalsText, indexOf } from "./ascii.ts";
import { type Appendable, appendUnescaped } from "./escapes.ts";

/** Claims of a token that name its user. Source: RFC 7519, section 4.1; OpenID Connect Core 1.0, sections 2 and 5.1; RFC 8693, section 4.3. */
export const CLAIMS = { iss: 0, sub: 1, azp: 2, client_id: 3, email: 4 } as const;
const NAMES = Object.keys(CLAIMS).map(ascii);
const NOT_WANTED = -1;
/**
 * The claims of a token's payload, a JSON object as the JWT filter leaves it in dynamic metadata: where the texts of those stand that name the user.
 * What is nested in other claims is passed over. Of equal names the last counts.
 * Cost: one pass, whatever is nested how deep.
 */
export class Claims {
  /** By CLAIMS: the text between its quotation marks; empty when there is none. */
  readonly start = new Int32Array(NAMES.length);
  readonly end = new Int32Array(NAMES.length);

  /** Reads [start, end). False, and no claims, when it is not one whole object. */
  parse(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    let p = skipBlanks(from, start, end);
    if (from[p] !== CHAR.braceOpen || p === end) return false;
    let depth = 1;
    let claim = NOT_WANTED;
    let isName = true;
    for (p++; p < end; p++) {
      const c = from[p]!;
      if (c === CHAR.quote) {
        const behind = endOfString(from, p + 1, end);
        if (behind === end) break;
        if (depth === 1 && isName) {
          claim = claimOf(from, p + 1, behind);
          isName = false;
        } else if (depth === 1 && claim !== NOT_WANTED) {
          this.start[claim] = p + 1;
          this.end[claim] = behind;
          claim = NOT_WANTED;
        }
        p = behind;
      } else if (c === CHAR.comma && depth === 1) {
        isName = true;
        claim = NOT_WANTED;
      } else if (c === CHAR.braceOpen || c === CHAR.bracketOpen) {
        depth++;
        claim = NOT_WANTED;
      } else if ((c === CHAR.braceClose || c === CHAR.bracketClose) && --depth === 0) {
        if (skipBlanks(from, p + 1, end) === end) return true;
        break;
      }
    }
    this.#clear();
    return false;
  }

  has(claim: number): boolean {
    return this.start[claim]! < this.end[claim]!;
  }

  /** A text column gets the claim, its escapes resolved; one that has others than JSON's stays as it is. */
  copyTo(draft: AccessDraft, column: number, from: Uint8Array, claim: number): void {
    const start = this.start[claim]!;
    const end = this.end[claim]!;
    draft.setText(column, start, end);
    if (indexOf(from, CHAR.backslash, start, end) < 0) return;
    draft.reserve(end - start);
    const copy = draft.scratchEnd;
    draft.scratch.set(from.subarray(start, end), copy);
    const text = (draft.scratchEnd += end - start);
    if (appendUnescaped(new Scratch(draft), copy, text))
      draft.setScratch(column, text, draft.scratchEnd);
  }

  #clear(): void {
    this.start.fill(0);
    this.end.fill(0);
  }
}

function claimOf(from: Uint8Array, start: number, end: number): number {
  for (let i = 0; i < NAMES.length; i++) if (equalsText(from, start, end, NAMES[i]!)) return i;
  return NOT_WANTED;
}

/** Where the quotation mark stands that ends the string, or `end`. */
function endOfString(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && from[p] !== CHAR.quote) p += from[p] === CHAR.backslash ? 2 : 1;
  return Math.min(p, end);
}

function skipBlanks(from: Uint8Array, start: number, end: number): number {
  let p = start;
  while (p < end && from[p]! <= CHAR.space) p++;
  return p;
}

/** The draft's scratch, for what is appended to it. */
class Scratch implements Appendable {
  readonly #draft: AccessDraft;

  constructor(draft: AccessDraft) {
    this.#draft = draft;
  }

  get bytes(): Uint8Array {
    return this.#draft.scratch;
  }

  reserve(count: number): void {
    this.#draft.reserve(count);
  }

  appendByte(byte: number): void {
    this.#draft.reserve(1);
    this.#draft.scratch[this.#draft.scratchEnd++] = byte;
  }
}
