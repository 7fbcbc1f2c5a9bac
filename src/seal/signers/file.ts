import { sign } from "node:crypto";
import { ED25519_TYPE, formatVerifierKey, keyId } from "../../tlog/note.ts";
import { readFileIfAny } from "../durable.ts";
import { keyFile, openLogKey, retiringFile } from "../keys.ts";
import { defineSigner, textOptions } from "./define.ts";

/** A key in a PKCS#8 PEM file: `path`, or `<data>/secrets/log-key.pem` when it is absent. The key that it replaces stands beside it. */
export default defineSigner({
  kind: "file",

  config: (raw) => textOptions("file", raw, ["path"]),

  async create({ path }, { origin, directory, mayCreate, logger }) {
    const file = keyFile(path, directory);
    const { privateKey, publicKey, created, exposed } = await openLogKey(file, mayCreate);
    const id = keyId(origin, ED25519_TYPE, publicKey);
    const verifierKey = formatVerifierKey({
      name: origin,
      keyId: id,
      type: ED25519_TYPE,
      publicKey,
    });
    if (created)
      logger.info(
        { path: file, verifierKey },
        "made a new log key: keep a copy of the file in a safe place, and give the verifier key to everyone who is to check this log",
      );
    else if (exposed)
      logger.warn(
        { path: file },
        "others than its owner can open the log key: set its mode to 0600",
      );
    return {
      name: origin,
      keyId: id,
      verifierKey,
      sign: async (message) => sign(null, message, privateKey),
    };
  },

  async retiring({ path }, { directory }) {
    const old = retiringFile(keyFile(path, directory));
    return (await readFileIfAny(old)) === null ? null : { path: old };
  },
});
