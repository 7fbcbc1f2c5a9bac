/** A sequence of numbers that a seed determines (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** 0 ≤ n < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  }

  /** A whole number below `bound`. */
  below(bound: number): number {
    return Math.floor(this.next() * bound);
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** What parsers look for, and what is hard for them. */
const TOKENS = [
  '"',
  '" "',
  '"-"',
  " ",
  "\t",
  "[",
  "]",
  "{",
  "}",
  "(",
  ")->",
  ":",
  ",",
  ";",
  "=",
  "|",
  "\\",
  '\\"',
  "\\u0000",
  "\\ud800",
  "\\x22",
  "%",
  "%25",
  "%00",
  "-",
  "--",
  "\n",
  "\r\n",
  "\0",
  "\u00ff",
  "\ufeff",
  "\u{1f600}",
  "null",
  "true",
  "0",
  "-1",
  "1e999",
  "99999999999999999999",
  "0.1",
  "2026-11-22T20:20:28.123456789Z",
  "1969-12-31T23:59:60Z",
  "22/Nov/2026:20:20:28 +0000",
  "10.0.0.1:80",
  "[::1]:8080",
  "[fe80::1%eth0]",
  "999.1.1.1",
  "spiffe://",
  "spiffe://a/ns/b/sa/c",
  "inbound|8080||",
  "outbound|80||x",
  "rbac_access_denied_matched_policy[",
  "ns[a]-policy[b]-rule[0]",
  "via_upstream",
  "jwt_authn_access_denied{",
  "UAEX",
  "RL,UF",
  'URI=spiffe://a/b;Subject="CN=\\"x"',
  "By=",
  "Hash=",
  "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=1",
  "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
  "4111 1111 1111 1111",
  "someone@example.org",
  "Basic dXNlcjpwYXNz",
  "?token=",
  "&code=",
  "authorization: ",
  '"cookie":"',
  '{"log":"',
  '"message":"',
  "connection complete\t",
  'error="',
  "stdout F ",
  "ACCESS ",
  "took 1ms, sent ",
  'HTTP/1.1" 200 - ',
] as const;

/** `text` with one to eight changes, few more often than many: bytes, tokens, pieces doubled, moved, cut, or of another text. */
export function mutate(text: string, others: readonly string[], random: Random): string {
  let result = text;
  for (let changes = 1 + Math.floor(random.next() ** 3 * 8); changes > 0; changes--) {
    const at = random.below(result.length + 1);
    const length = random.below(Math.min(64, result.length - at + 1));
    const piece = result.slice(at, at + length);
    switch (random.below(9)) {
      case 0:
        result = result.slice(0, at) + random.of(TOKENS) + result.slice(at);
        break;
      case 1:
        result = result.slice(0, at) + random.of(TOKENS) + result.slice(at + length);
        break;
      case 2:
        result = result.slice(0, at) + result.slice(at + length);
        break;
      case 3:
        result = result.slice(0, at) + piece + result.slice(at);
        break;
      case 4: {
        const other = random.of(others);
        const from = random.below(other.length + 1);
        result =
          result.slice(0, at) + other.slice(from, from + random.below(200)) + result.slice(at);
        break;
      }
      case 5:
        result =
          result.slice(0, at) + String.fromCharCode(random.below(256)) + result.slice(at + 1);
        break;
      case 6:
        result = result.slice(0, at);
        break;
      case 7:
        result =
          result.slice(0, at) + random.of(TOKENS).repeat(1 + random.below(2000)) + result.slice(at);
        break;
      default:
        result = result.slice(at) + result.slice(0, at);
    }
    if (result.length > MAX_LENGTH) result = result.slice(0, MAX_LENGTH);
  }
  return result;
}

const MAX_LENGTH = 128 * 1024;
