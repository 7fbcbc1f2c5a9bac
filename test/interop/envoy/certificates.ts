import { writeFileSync } from "node:fs";
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto";
import { join } from "node:path";
import type { LaneContext } from "../lane.ts";

/** The workloads of the mesh, by the name of their certificate's file. */
export const WORKLOADS = {
  frontend: "spiffe://shop.example/ns/web/sa/frontend",
  orders: "spiffe://shop.example/ns/shop/sa/orders",
  /** Of the mesh, but no policy allows it anything. */
  mallory: "spiffe://shop.example/ns/web/sa/mallory",
} as const;

/** A certificate with the name of the frontend that nobody of the mesh has signed. */
export const FORGED = "forged";

export const ISSUER = "https://login.shop.example";
const KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
const LIMIT = { timeLimitMs: 20_000 };

/** Writes `ca.pem` and for each workload `<name>.pem` and `<name>.key` into `directory`: X.509-SVIDs under one authority. */
export async function writeCertificates(
  { children }: LaneContext,
  directory: string,
): Promise<void> {
  const openssl = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await children.run("openssl", args, { ...LIMIT, directory });
    if (code !== 0) throw new Error(`openssl ${args.join(" ")}: ${stderr}`);
  };
  const files = (name: string): string[] => ["-keyout", `${name}.key`, "-out", `${name}.pem`];
  await openssl("req", "-x509", ...KEY, ...files("ca"), "-subj", "/CN=shop.example");
  const authority = ["-CA", "ca.pem", "-CAkey", "ca.key"];
  for (const [name, id] of Object.entries(WORKLOADS)) {
    const extensions = [`subjectAltName=URI:${id}`, "basicConstraints=critical,CA:FALSE"];
    const subject = ["-subj", `/CN=${name}`, ...extensions.flatMap((text) => ["-addext", text])];
    await openssl("req", "-x509", ...authority, ...KEY, ...files(name), ...subject);
  }
  const forged = ["-subj", "/CN=frontend", "-addext", `subjectAltName=URI:${WORKLOADS.frontend}`];
  await openssl("req", "-x509", ...KEY, ...files(FORGED), ...forged);
}

/** Issues tokens. */
export interface Login {
  /** A token of ISSUER for the shop, signed with ES256, that ends `seconds` from now. */
  readonly token: (subject: string, seconds: number) => string;
}

/** Writes the issuer's public key into `directory` as `jwks.json`. */
export function writeLogin(directory: string): Login {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = { ...publicKey.export({ format: "jwk" }), kid: "1", alg: "ES256", use: "sig" };
  writeFileSync(join(directory, "jwks.json"), JSON.stringify({ keys: [key] }));
  return {
    token: (sub, seconds) => {
      const exp = Math.floor(Date.now() / 1000) + seconds;
      return jwt({ iss: ISSUER, sub, aud: "shop", exp }, privateKey);
    },
  };
}

/** Source: RFC 7515, section 3.1; RFC 7518, section 3.4. */
function jwt(claims: object, key: KeyObject): string {
  const signed = [{ alg: "ES256", kid: "1", typ: "JWT" }, claims]
    .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
    .join(".");
  const signature = sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}
