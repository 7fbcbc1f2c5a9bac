/** The environment that a configuration may refer to: `process.env`, or a test's own. */
export type Environment = Readonly<Record<string, string | undefined>>;

const EXPRESSION = /\$\$|\$\{([^}]*)(\}?)/g;
const REFERENCE = /^env:([A-Za-z_][A-Za-z0-9_]*)(?::-([\s\S]*))?$/;

/**
 * `text` with `${env:NAME}` and `${env:NAME:-default}` replaced and `$$` read as `$`, or what is wrong with it.
 * The default stands in only for a variable that is not set; an empty one stays empty, as in the Collector. What comes in is not expanded again.
 * Source: OpenTelemetry Collector, confmap/provider/envprovider/README.md.
 */
export function expandEnvironment(
  text: string,
  env: Environment,
): { text: string } | { problems: readonly string[] } {
  const problems: string[] = [];
  const expanded = text.replace(
    EXPRESSION,
    (whole, inner: string | undefined, close: string | undefined) => {
      if (inner === undefined) return "$";
      const [, name, fallback] = (close === "}" ? REFERENCE.exec(inner) : null) ?? [];
      if (name === undefined) {
        problems.push(
          `expected \${env:NAME} or \${env:NAME:-default}, got ${JSON.stringify(whole)}; write $$ for a plain $`,
        );
        return "";
      }
      const value = env[name] ?? fallback;
      if (value === undefined)
        problems.push(
          `expected environment variable ${name} to be set, or a default: \${env:${name}:-default}`,
        );
      return value ?? "";
    },
  );
  return problems.length === 0 ? { text: expanded } : { problems };
}
