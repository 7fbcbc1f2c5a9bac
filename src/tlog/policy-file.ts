import { decodeText, encodeText, equalBytes } from "../core/bytes.ts";
import { MeshproofError } from "../core/errors.ts";
import { ED25519_COSIGNATURE_TYPE, ML_DSA_44_TYPE } from "./cosignature.ts";
import { ED25519_TYPE, type VerifierKey, parseVerifierKey } from "./note.ts";
import type { Policy, PolicyLog, PolicyRule, PolicyWitness } from "./policy.ts";
import { parseDecimal } from "./spelling.ts";

/** The standard asks for at least 32 logs, 32 witnesses and 32 groups ("Implementation limits"). */
const MAX_DEFINITIONS = 1_000;
const MAX_LENGTH = 1_000_000;

const LOG_TYPES: readonly number[] = [ED25519_TYPE, ML_DSA_44_TYPE];
const WITNESS_TYPES: readonly number[] = [ED25519_COSIGNATURE_TYPE, ML_DSA_44_TYPE];

/** The predefined name of the quorum that asks for nothing. */
const NONE = "none";

/**
 * The policy that a file spells. Lines are those of C2SP tlog-policy: `log <vkey> [<url>]`, `witness <name> <vkey> [<url>]`,
 * `group <name> all|any|<k> <name>…`, `quorum <name>|none`.
 * Throws: POLICY_INVALID with the number of the line when it is no policy to the letter.
 */
export function parsePolicy(file: string | Uint8Array): Policy {
  // Octets as the standard has them: one character of `text` each. Names stay opaque; keys and URLs are UTF-8.
  const bytes = typeof file === "string" ? encodeText(file) : file;
  if (bytes.length > MAX_LENGTH)
    throw wrong(null, `a policy of at most ${MAX_LENGTH} bytes`, `${bytes.length}`);
  const text = Array.from(bytes, (octet) => String.fromCharCode(octet)).join("");
  // A file cut short could end in the name of another, weaker group.
  if (!text.endsWith("\n")) throw wrong(null, "a newline at the end", text.slice(-40));
  const lines = text.slice(0, -1).split("\n");
  const reader = new PolicyReader();
  lines.forEach((line, i) => reader.read(line, i + 1));
  return reader.policy();
}

/** What the lines so far have defined. */
class PolicyReader {
  readonly #logs: PolicyLog[] = [];
  readonly #witnesses: PolicyWitness[] = [];
  readonly #rules = new Map<string, PolicyRule>();
  /** Names that are a member of a group already. */
  readonly #members = new Set<string>();
  #quorum: PolicyRule | null | undefined;

  read(line: string, number: number): void {
    // oxlint-disable-next-line no-control-regex -- the standard forbids exactly these ("Character set")
    if (/[\x00-\x08\x0a-\x1f\x7f]/.test(line))
      throw wrong(number, "no control character but tab and newline", line);
    const [keyword, ...items] = line.split(/[ \t]+/).filter((item) => item !== "");
    if (keyword === undefined || keyword.startsWith("#")) return;
    if (keyword === "log") this.#log(items, number);
    else if (keyword === "witness") this.#witness(items, number);
    else if (keyword === "group") this.#group(items, number);
    else if (keyword === "quorum") this.#setQuorum(items, number);
    else throw wrong(number, "log, witness, group or quorum", keyword);
  }

  policy(): Policy {
    if (this.#quorum === undefined) throw wrong(null, "a line quorum <name>|none", "none");
    return { logs: this.#logs, witnesses: this.#witnesses, quorum: this.#quorum };
  }

  #log(items: readonly string[], number: number): void {
    const [vkey, url] = items;
    if (vkey === undefined || items.length > 2)
      throw wrong(number, "log <vkey> [<url>]", items.join(" "));
    const key = keyOf(vkey, LOG_TYPES, number);
    if (this.#logs.some((other) => isSameKey(other.key, key)))
      throw wrong(number, "a log that is not listed yet", vkey);
    this.#checkCount(number);
    this.#logs.push({ key, url: url === undefined ? null : shown(url) });
  }

  #witness(items: readonly string[], number: number): void {
    const [name, vkey, url] = items;
    if (name === undefined || vkey === undefined || items.length > 3)
      throw wrong(number, "witness <name> <vkey> [<url>]", items.join(" "));
    const key = keyOf(vkey, WITNESS_TYPES, number);
    if (this.#witnesses.some((other) => isSameKey(other.key, key)))
      throw wrong(number, "a witness whose key is not listed yet", vkey);
    const witness = { name: shown(name), key, url: url === undefined ? null : shown(url) };
    this.#define(name, witness, number);
    this.#witnesses.push(witness);
  }

  #group(items: readonly string[], number: number): void {
    const [name, count, ...names] = items;
    if (name === undefined || count === undefined || names.length === 0)
      throw wrong(number, "group <name> all|any|<k> <name>…", items.join(" "));
    const members = names.map((member) => {
      const rule = this.#rules.get(member);
      if (rule === undefined) throw wrong(number, "members that lines before define", member);
      if (this.#members.has(member))
        throw wrong(number, "names that are a member nowhere else", member);
      this.#members.add(member);
      return rule;
    });
    const threshold =
      count === "all" ? members.length : count === "any" ? 1 : (parseDecimal(count) ?? 0);
    if (threshold < 1 || threshold > members.length)
      throw wrong(number, `all, any or a number from 1 to ${members.length}`, count);
    this.#define(name, { name: shown(name), threshold, members }, number);
  }

  #setQuorum(items: readonly string[], number: number): void {
    const [name] = items;
    if (name === undefined || items.length > 1)
      throw wrong(number, "quorum <name>|none", items.join(" "));
    if (this.#quorum !== undefined) throw wrong(number, "one quorum line", "a second");
    const rule = name === NONE ? null : this.#rules.get(name);
    if (rule === undefined)
      throw wrong(number, "a witness or group that lines before define", name);
    this.#quorum = rule;
  }

  /** Witnesses and groups have one namespace. */
  #define(name: string, rule: PolicyRule, number: number): void {
    if (name === NONE || this.#rules.has(name))
      throw wrong(number, "a name that is not taken", name);
    this.#checkCount(number);
    this.#rules.set(name, rule);
  }

  #checkCount(number: number): void {
    if (this.#logs.length + this.#rules.size >= MAX_DEFINITIONS)
      throw wrong(number, `at most ${MAX_DEFINITIONS} logs, witnesses and groups`, "more");
  }
}

function keyOf(vkey: string, types: readonly number[], line: number): VerifierKey {
  let key: VerifierKey;
  try {
    key = parseVerifierKey(shown(vkey));
  } catch (cause) {
    throw wrong(line, "a verifier key <name>+<key ID>+<base64>", vkey, cause);
  }
  if (!types.includes(key.type))
    throw wrong(line, `a key of signature type ${types.join(" or ")}`, `type ${key.type}`);
  return key;
}

/** "Two vkeys are duplicate if they wrap the same underlying public key" ("Public key representation"). */
function isSameKey(a: VerifierKey, b: VerifierKey): boolean {
  return equalBytes(a.publicKey, b.publicKey);
}

/** Octets, one in a character, as the UTF-8 that they mostly are. */
function shown(octets: string): string {
  return decodeText(Uint8Array.from(octets, (octet) => octet.charCodeAt(0)));
}

function wrong(line: number | null, expected: string, got: string, cause?: unknown) {
  return new MeshproofError(
    "POLICY_INVALID",
    `policy${line === null ? "" : `, line ${line}`}: expected ${expected}, got ${JSON.stringify(shown(got.slice(0, 200)))}`,
    { cause },
  );
}
