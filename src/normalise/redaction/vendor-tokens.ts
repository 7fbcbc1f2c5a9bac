import { CHAR, isDigit, lower } from "../ascii.ts";
import { Pattern } from "./patterns.ts";

/** A token that says whose it is by how it begins. */
interface Form {
  readonly pattern: Pattern;
  /** Its byte `signAt` is a sign: the rarest of its first ones, since each byte like it is looked at. */
  readonly sign: number;
  readonly signAt: number;
  /** Three bytes of it, the sign among them, by which a text is told that may hold one. */
  readonly words: readonly string[];
}

/** Sources: the services' documents on their tokens, and the patterns of their scanners for leaked ones. */
const FORMS: readonly Form[] = [
  // GitHub
  form("gh[opsur]_[0-9A-Za-z]{36,}", 3, "_", "hp_", "ho_", "hu_", "hs_", "hr_"),
  form("github_pat_[0-9A-Za-z_]{40,}", 6, "_", "ub_"),
  // GitLab
  form("glpat-[0-9A-Za-z_-]{20,}", 0, "g", "glp"),
  // npm, PyPI
  form("npm_[0-9A-Za-z]{36,}", 3, "_", "pm_"),
  form("pypi-[0-9A-Za-z_-]{40,}", 1, "y", "pyp"),
  // Slack
  form("xox[abeoprs]-[0-9A-Za-z-]{10,}", 0, "x", "xox"),
  // Stripe
  form("[rs]k_live_[0-9A-Za-z]{16,}", 1, "k", "sk_", "rk_"),
  form("[rs]k_test_[0-9A-Za-z]{16,}", 1, "k"),
  // Anthropic, OpenAI
  form("sk-ant-[0-9A-Za-z_-]{20,}", 1, "k", "sk-"),
  form("sk-proj-[0-9A-Za-z_-]{20,}", 1, "k"),
  // Google: API keys, OAuth
  form("AIza[0-9A-Za-z_-]{35}", 1, "I", "Iza"),
  form("ya29\\.[0-9A-Za-z_-]{20,}", 0, "y", "ya2"),
  // HashiCorp Vault, SendGrid
  form("hv[bs]\\.[0-9A-Za-z_-]{20,}", 1, "v", "hvb", "hvs"),
  form("SG\\.[0-9A-Za-z_-]{16,}\\.[0-9A-Za-z_-]{16,}", 0, "S", "SG."),
];

function form(pattern: string, signAt: number, sign: string, ...words: string[]): Form {
  return { pattern: new Pattern(pattern), sign: sign.charCodeAt(0), signAt, words };
}

const OF_SIGN: readonly (readonly Form[])[] = Array.from({ length: 256 }, (_, c) =>
  FORMS.filter(({ sign }) => sign === c),
);

export const TOKEN_WORDS: readonly string[] = FORMS.flatMap(({ words }) => words);
export const TOKEN_SIGNS: readonly number[] = FORMS.map(({ sign }) => sign);

/** Where the token begins and ends whose sign stands at `p`, as `start` and `end`. */
export class VendorToken {
  start = 0;
  end = 0;

  read(from: Uint8Array, p: number, limit: number, floor: number): boolean {
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
