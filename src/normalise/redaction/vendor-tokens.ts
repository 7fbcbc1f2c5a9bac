import { CHAR, isDigit, lower } from "../ascii.ts";
import { Pattern } from "./patterns.ts";

/** A token that says whose it is by how it begins. */
interface Form {
  readonly pattern: Pattern;
  /** Its byte `signAt` is a sign: a rare one of its first, since each byte like it is looked at. */
  readonly sign: number;
  readonly signAt: number;
  /** Three bytes of it, the sign among them, by which a text is told that may hold one. */
  readonly words: readonly string[];
}

/** Sources: the services' documents on their tokens, and the patterns of their scanners for leaked ones. */
const FORMS: readonly Form[] = [
  // GitHub
  form("gh[ps]_[0-9A-Za-z]{36,}", 3, "_", "hp_", "hs_"),
  form("github_pat_[0-9A-Za-z_]{40,}", 6, "_", "ub_"),
  // GitLab
  form("glpat-[0-9A-Za-z_-]{20,}", 1, "l", "glp"),
  // npm, PyPI
  form("npm_[0-9A-Za-z]{36,}", 3, "_", "pm_"),
  form("pypi-[0-9A-Za-z_-]{40,}", 1, "y", "pyp"),
  // Slack
  form("xox[abeoprs]-[0-9A-Za-z-]{10,}", 2, "x", "xox"),
  // Stripe
  form("[rs]k_live_[0-9A-Za-z]{16,}", 1, "k", "sk_", "rk_"),
  form("[rs]k_test_[0-9A-Za-z]{16,}", 1, "k", "sk_", "rk_"),
  // Anthropic, OpenAI
  form("sk-ant-[0-9A-Za-z_-]{20,}", 1, "k", "sk-"),
  form("sk-proj-[0-9A-Za-z_-]{20,}", 1, "k", "sk-"),
  // Google API keys
  form("AIza[0-9A-Za-z_-]{35}", 1, "I", "AIz"),
  // HashiCorp Vault, SendGrid
  form("hv[bs]\\.[0-9A-Za-z_-]{20,}", 1, "v", "hvb", "hvs"),
  form("SG\\.[0-9A-Za-z_-]{16,}\\.[0-9A-Za-z_-]{16,}", 1, "G", "SG."),
];

function form(pattern: string, signAt: number, sign: string, ...words: string[]): Form {
  return { pattern: new Pattern(pattern), sign: sign.charCodeAt(0), signAt, words };
}

const OF_SIGN: readonly (readonly Form[])[] = Array.from({ length: 256 }, (_, c) =>
  FORMS.filter(({ sign }) => sign === c),
);

/** 1 for each two bytes, the second a sign, with which a token may begin: nearly all signs stand behind others. */
const PAIRS = Uint8Array.from({ length: 0x1_0000 }, (_, pair) =>
  FORMS.some(
    ({ words, sign }) =>
      pair >>> 8 === sign &&
      words.some((word) => word.includes(String.fromCharCode(pair & 0xff, pair >>> 8))),
  )
    ? 1
    : 0,
);

export const TOKEN_WORDS: readonly string[] = FORMS.flatMap(({ words }) => words);
export const TOKEN_SIGNS: readonly number[] = FORMS.map(({ sign }) => sign);

/** Where the token begins and ends whose sign stands at `p`, as `start` and `end`. */
export class VendorToken {
  start = 0;
  end = 0;

  read(from: Uint8Array, p: number, limit: number, floor: number): boolean {
    if (p === floor || PAIRS[from[p - 1]! | (from[p]! << 8)] === 0) return false;
    for (const { pattern, signAt } of OF_SIGN[from[p]!]!) {
      const start = p - signAt;
      if (start < floor || !pattern.startsWith(from[start]!)) continue;
      const end = pattern.match(from, start, limit, floor);
      if (end < 0 || (start > floor && isWordByte(from[start - 1]!))) continue;
      this.start = start;
      this.end = end;
      return true;
    }
    return false;
  }
}

/** In front of a token it would make it the end of another word. */
function isWordByte(c: number): boolean {
  const letter = lower(c);
  return (letter >= 0x61 && letter <= 0x7a) || isDigit(c) || c === CHAR.underscore;
}
