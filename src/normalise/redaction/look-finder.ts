import { CHAR, indexOf, isDigit } from "../ascii.ts";
import { CardNumber } from "./card-numbers.ts";
import {
  endOfAwsKey,
  endOfBasic,
  endOfBearer,
  endOfJwt,
  endOfPrivateKey,
  endOfUrl64,
  isSchemeStart,
  startOfCredentials,
  startOfPrivateKey,
} from "./credentials.ts";
import { FoundSecrets } from "./found-secrets.ts";
import { emailEnd, emailStart, userinfoEnd, userinfoStart } from "./mail-addresses.ts";
import type { Rules } from "./rules.ts";
import { SIGN } from "./signs.ts";
import { CONTEXT } from "./value-end.ts";
import { VendorToken } from "./vendor-tokens.ts";

const LETTER = { a: 0x61, e: 0x65, y: 0x79 } as const;

/** Finds what is known by its look, whatever stands in front of it: one method for each detector of Rules. */
export abstract class LookFinder extends FoundSecrets {
  protected readonly rules: Rules;
  /** Of the search that goes on, in `text`: where it ends, behind what it found last, and of CONTEXT. */
  protected limit = 0;
  protected floor = 0;
  protected context = 0;
  /** No JWT begins before this: what looked like one had no second part. */
  protected noJwtBefore = 0;
  /** Numbers of what is known by its look alone. */
  readonly #looks: ReadonlySet<number>;
  readonly #card = new CardNumber();
  readonly #token = new VendorToken();

  constructor(rules: Rules) {
    super();
    this.rules = rules;
    const { basic: _, bearer: __, ...looks } = rules.detect;
    this.#looks = new Set([...Object.values(looks), ...rules.patterns.map(({ name }) => name)]);
  }

  /** Was the range known by what stands in front of it, a name or the word `Bearer` or `Basic`? */
  needsWordBefore(i: number): boolean {
    return !this.#looks.has(this.name[i]!);
  }

  protected push(start: number, end: number, name: number): number {
    this.add(start, end, name);
    this.floor = end;
    return end;
  }

  /** What the byte at `p`, a sign of such a look, begins or belongs to; answers where to go on. */
  protected atLook(sign: number, p: number): number {
    const { detect } = this.rules;
    const from = this.text;
    switch (sign) {
      case SIGN.at:
        return this.#atAt(p);
      case SIGN.jwt:
        return this.#atJwt(p);
      case SIGN.scheme:
        return this.#atScheme(p);
      case SIGN.pem: {
        const start = startOfPrivateKey(from, p, this.limit, this.floor);
        return start < 0
          ? p + 1
          : this.push(start, endOfPrivateKey(from, p, this.limit), detect.private_key);
      }
      case SIGN.aws:
        return this.#atAwsKey(p);
      case SIGN.token:
        return this.#token.read(from, p, this.limit, this.floor)
          ? this.push(this.#token.start, this.#token.end, detect.vendor_token)
          : p + 1;
      case SIGN.digit:
        if (this.#card.read(from, p, this.limit, this.floor))
          return this.push(this.#card.start, this.#card.end, detect.card);
        return Math.max(this.#card.end, p + 1);
      default:
        return p + 1;
    }
  }

  /** `user:password@` of a URL, or an e-mail address. */
  #atAt(p: number): number {
    const { detect } = this.rules;
    const from = this.text;
    const user = detect.userinfo < 0 ? -1 : userinfoStart(from, p, this.floor);
    if (user >= 0) return this.push(user, userinfoEnd(from, p, this.limit), detect.userinfo);
    if (detect.email < 0 || (this.context & CONTEXT.identity) !== 0) return p + 1;
    const start = emailStart(from, p, this.floor);
    const end = start < 0 ? -1 : emailEnd(from, p, this.limit);
    return end < 0 ? p + 1 : this.push(start, end, detect.email);
  }

  /** In an authority the user needs no scheme in front. */
  protected atAuthority(start: number): number {
    const { detect } = this.rules;
    const at = indexOf(this.text, CHAR.at, start, this.limit);
    if (detect.userinfo < 0 || at <= start) return start;
    return this.push(start, userinfoEnd(this.text, at, this.limit), detect.userinfo);
  }

  #atJwt(p: number): number {
    const from = this.text;
    const start = p - 2;
    if (start < this.floor || from[start] !== LETTER.e || from[start + 1] !== LETTER.y)
      return p + 1;
    if (start < this.noJwtBefore) return p + 1;
    const end = endOfJwt(from, start, this.limit);
    if (end >= 0) return this.push(start, end, this.rules.detect.jwt);
    this.noJwtBefore = endOfUrl64(from, start, this.limit);
    return p + 1;
  }

  #atScheme(p: number): number {
    const { detect } = this.rules;
    const from = this.text;
    const start = isSchemeStart(from, p) ? startOfCredentials(from, p, this.limit) : -1;
    if (start < 0) return p + 1;
    const isBasic = (from[p + 1]! | 0x20) === LETTER.a;
    const name = isBasic ? detect.basic : detect.bearer;
    const end =
      name < 0
        ? -1
        : isBasic
          ? endOfBasic(from, start, this.limit)
          : endOfBearer(from, start, this.limit);
    return end < 0 ? p + 1 : this.push(start, end, name);
  }

  #atAwsKey(start: number): number {
    const from = this.text;
    const before = start > this.floor ? from[start - 1]! : 0;
    if (isDigit(before) || (before >= 0x41 && before <= 0x5a)) return start + 1;
    const end = endOfAwsKey(from, start, this.limit);
    return end < 0 ? start + 1 : this.push(start, end, this.rules.detect.aws_key);
  }
}
