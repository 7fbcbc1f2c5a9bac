import { createToken, formatTokenLine, type Role } from "../core/tokens.ts";
import type { Context } from "./context.ts";
import { EXIT, type ExitCode } from "./exit.ts";

/** Makes a token, prints it this one time, and the line that lets its holder in. Nothing is kept. */
export async function token(
  role: Role,
  name: string,
  options: { json?: boolean },
  { output }: Context,
): Promise<ExitCode> {
  const secret = createToken();
  const line = formatTokenLine({ role, name }, secret);
  if (options.json === true) {
    output.json({ role, name, token: secret, line });
    return EXIT.ok;
  }
  output.line("Token, shown this once; give it to its holder:");
  output.line(`  ${output.paint("bold", secret)}`);
  output.line();
  output.line("Line for the file of extensions.tokens.file:");
  output.line(`  ${line}`);
  return EXIT.ok;
}
