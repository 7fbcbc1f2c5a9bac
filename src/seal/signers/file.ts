import { sign } from "node:crypto";
import { join } from "node:path";
import { MeshproofError } from "../../core/errors.ts";
import { ED25519_TYPE, formatVerifierKey, keyId } from "../../tlog/note.ts";
import { openLogKey } from "../keys.ts";
import { defineSigner } from "./define.ts";

/** A key in a PKCS#8 PEM file: `path`, or `<data>/secrets/log-key.pem` when it is absent or empty. */
export default defineSigner({
  kind: "file",

  config(raw) {
    const { path = "", ...others } = raw;
    if (typeof path !== "string")
      throw new MeshproofError(
        "CONFIG_INVALID",
        `signer.path: expected a string, got ${JSON.stringify(path)}`,
      );
    const unknown = Object.keys(others)[0];
    if (unknown !== undefined)
      throw new MeshproofError(
        "CONFIG_INVALID",
        `signer.${unknown}: expected no such key for a signer of type file`,
      );
    return { path };
  },

  async create({ path }, { origin, directory, mayCreate, logger }) {
    const file = path === "" ? join(directory, "secrets", "log-key.pem") : path;
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
});
