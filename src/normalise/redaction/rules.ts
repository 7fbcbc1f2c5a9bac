import {
  DEFAULT_HEADERS,
  DEFAULT_KEYS,
  DEFAULT_PARAMETERS,
  PAIR_NAMES,
  PAIR_VALUES,
  QUERIES,
} from "./default-names.ts";
import { NameTable, RULE } from "./name-table.ts";
import { Pattern } from "./patterns.ts";

/** What is found by its look. */
export const DETECTORS = [
  "jwt",
  "bearer",
  "basic",
  "userinfo",
  "private_key",
  "aws_key",
  "vendor_token",
  "card",
  "email",
] as const;
export type Detector = (typeof DETECTORS)[number];

export interface RedactOptions {
  /** Names of query parameters whose values are redacted, beside those that always are. */
  readonly queryParameters?: readonly string[];
  /** Names of headers, likewise. */
  readonly headers?: readonly string[];
  /** Keys of attributes and members of JSON, likewise. */
  readonly keys?: readonly string[];
  /** Columns that are redacted as a whole. */
  readonly columns?: readonly string[];
  /** What is redacted wherever it stands, in the language of patterns.ts. */
  readonly patterns?: readonly { readonly name: string; readonly pattern: string }[];
  /** Names that are not redacted, though they are by default. */
  readonly keep?: readonly string[];
  /** What is found by its look; all of it unless said otherwise. */
  readonly detect?: Readonly<Partial<Record<Detector, boolean>>>;
  /** With a key, what is redacted becomes a pseudonym, else it is removed. */
  readonly pseudonymKey?: string;
}

/** The options, compiled: every name, detector and pattern has a number, by which the column Redactions knows it. */
export class Rules {
  readonly names = new NameTable();
  readonly patterns: readonly { readonly pattern: Pattern; readonly name: number }[];
  /** Number of each detector, or -1 where it is off. */
  readonly detect: Readonly<Record<Detector, number>>;
  readonly columns: ReadonlySet<string>;
  /** What Redactions says, by number. */
  readonly labels: readonly string[];

  /** Throws: PatternError. */
  constructor(options: RedactOptions) {
    const labels: string[] = [];
    const number = (label: string): number => {
      const known = labels.indexOf(label);
      return known < 0 ? labels.push(label) - 1 : known;
    };
    const { names } = this;
    const kept = new Set((options.keep ?? []).map(plain));
    const add = (list: readonly string[], rule: number): void => {
      for (const name of list) names.add(name, rule, number(name.toLowerCase()));
    };
    const wanted = (list: readonly string[]): string[] =>
      list.filter((name) => !kept.has(plain(name)));
    // Names of the configuration first: Redactions says them as they are written there.
    const parameters = wanted(options.queryParameters ?? []);
    add(parameters.filter(isUrlParameter), RULE.urlParameter);
    add(
      parameters.filter((name) => !isUrlParameter(name)),
      RULE.parameter,
    );
    add(wanted(options.headers ?? []), RULE.header);
    add(wanted(options.keys ?? []), RULE.key);
    add(wanted(DEFAULT_PARAMETERS), RULE.urlParameter);
    add(wanted(DEFAULT_HEADERS), RULE.header);
    add(wanted(DEFAULT_KEYS), RULE.key);
    add(wanted(DEFAULT_KEYS).filter(isDistinct), RULE.ending);
    add(options.keep ?? [], RULE.kept);
    const addRole = (list: readonly string[], rule: number): void => {
      for (const name of list) names.add(name, rule, 0);
    };
    addRole(PAIR_NAMES, RULE.pairName);
    addRole(PAIR_VALUES, RULE.pairValue);
    addRole(QUERIES, RULE.query);
    this.detect = Object.fromEntries(
      DETECTORS.map((detector) => [
        detector,
        options.detect?.[detector] === false ? -1 : number(detector),
      ]),
    ) as Record<Detector, number>;
    this.patterns = (options.patterns ?? []).map(({ name, pattern }) => ({
      pattern: new Pattern(pattern),
      name: number(name),
    }));
    this.columns = new Set(options.columns ?? []);
    this.labels = labels;
  }
}

/** How names compare. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_]/g, "");
}

/** Letters of a name that is nothing else at the end of a longer word: `pwd` may be. */
const MIN_ENDING = 5;

function isDistinct(name: string): boolean {
  return plain(name).length >= MIN_ENDING;
}

const URL_PARAMETERS = new Set(DEFAULT_PARAMETERS.map(plain));

function isUrlParameter(name: string): boolean {
  return URL_PARAMETERS.has(plain(name));
}

const DEFAULTS = new Set([...DEFAULT_PARAMETERS, ...DEFAULT_HEADERS, ...DEFAULT_KEYS].map(plain));

/** Is the name redacted by default? */
export function isDefaultName(name: string): boolean {
  return DEFAULTS.has(plain(name));
}
