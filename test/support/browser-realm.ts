import { readFileSync } from "node:fs";
import { createContext, runInContext, SourceTextModule } from "node:vm";
import { verifierModules } from "../../docs/examples/modules.ts";

/**
 * A program: the verifier in a realm that has what the language has, three things of the web platform and nothing of Node. Reads a list of files and whom to
 * trust for each from standard input, as JSON, and prints what became of each. Run by `node --experimental-vm-modules`.
 */

const inputs = readFileSync(0, "utf8");
const context = createContext({ TextEncoder, TextDecoder, crypto: globalThis.crypto, inputs });
const modules = new Map<string, SourceTextModule>();
for (const [name, javascript] of verifierModules())
  modules.set(name, new SourceTextModule(javascript, { context, identifier: name }));
const program = new SourceTextModule(
  `import * as verifier from "meshproof/verifier";
   const present = ["process", "Buffer", "require", "setTimeout", "fetch"].filter((name) => name in globalThis);
   const lines = [{ present }];
   for (const { file, keys, policy, origin } of JSON.parse(inputs)) {
     const trust = { keys: keys.map(verifier.parseVerifierKey), origin, policy: policy && verifier.parsePolicy(policy) };
     try {
       const { rows, ...checked } = await verifier.checkProofFile(Uint8Array.from(file), trust);
       const records = rows.map(({ leafIndex, row }) => verifier.decodeSealed(leafIndex, row));
       lines.push({
         origin: checked.origin,
         treeSize: checked.treeSize,
         signatures: checked.signatures.length,
         witnesses: checked.cosignatures?.map(({ witness }) => witness.name) ?? null,
         records: records.map(({ leafIndex, kind, record }) => ({ leafIndex, kind, record })),
       });
     } catch (error) {
       lines.push({ code: error instanceof verifier.MeshproofError ? error.code : String(error) });
     }
   }
   globalThis.output = JSON.stringify(lines);`,
  { context, identifier: "program" },
);
await program.link((specifier: string) => {
  const found = modules.get(specifier);
  if (found === undefined) throw new Error(`the verifier imports ${specifier}`);
  return found;
});
await program.evaluate();
process.stdout.write(runInContext("output", context) as string);
