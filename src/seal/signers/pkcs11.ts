import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { MeshproofError } from "../../core/errors.ts";
import { ED25519_TYPE, formatVerifierKey, keyId } from "../../tlog/note.ts";
import { defineSigner, textOptions } from "./define.ts";

/** The package that reaches the token. Its user installs it: it is native code, compiled for one Node and one machine. */
const PACKAGE = "pkcs11js";

/** PKCS#11 v3.1, "Manifest constants"; the package does not name all of them. */
const CKF_OS_LOCKING_OK = 0x2;
const CKF_SERIAL_SESSION = 0x4;
const CKU_USER = 1;
const CKO_PUBLIC_KEY = 2;
const CKO_PRIVATE_KEY = 3;
const CKA_CLASS = 0x0;
const CKA_LABEL = 0x3;
const CKA_KEY_TYPE = 0x100;
const CKA_EC_POINT = 0x181;
const CKK_EC_EDWARDS = 0x40;
const CKM_EDDSA = 0x1057;
const CKR_USER_ALREADY_LOGGED_IN = 0x100;
const CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191;

const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** DER in front of the 32 bytes in CKA_EC_POINT: an OCTET STRING, as most tokens have it, or a BIT STRING; version 3.0 has neither. */
const POINT_PREFIXES: readonly string[] = ["0420", "032100", ""];

type Handle = Uint8Array;

interface Attribute {
  readonly type: number;
  readonly value?: number | string | Uint8Array;
}

/** What is used of the package's class of this name. */
interface Pkcs11 {
  load(library: string): void;
  C_Initialize(options: { readonly flags: number }): void;
  C_GetSlotList(tokenPresent: boolean): readonly Handle[];
  C_GetTokenInfo(slot: Handle): { readonly label: string };
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, user: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void;
  C_FindObjects(session: Handle, limit: number): readonly Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: readonly Attribute[],
  ): readonly { readonly value: Uint8Array }[];
  C_SignInit(session: Handle, mechanism: { readonly mechanism: number }, key: Handle): void;
  C_SignAsync(session: Handle, message: Uint8Array, signature: Uint8Array): Promise<Uint8Array>;
}

interface Options {
  readonly library: string;
  readonly token: string;
  readonly key: string;
  readonly pin: string;
}

interface OpenKey {
  readonly session: Handle;
  readonly privateKey: Handle;
  readonly publicKey: Uint8Array;
}

/** An Ed25519 key that never leaves its token: an HSM, or SoftHSM, by PKCS#11 (mechanism CKM_EDDSA). The pair has one label. */
export default defineSigner<Options>({
  kind: "pkcs11",

  config(raw) {
    const { library, token, key, pin, pin_file } = textOptions("pkcs11", raw, [
      "library",
      "token",
      "key",
      "pin",
      "pin_file",
    ]);
    for (const [name, value] of Object.entries({ library, token, key }))
      if (value === "")
        throw invalidOption(`signer.${name}: expected a text for a signer of type pkcs11`);
    if ((pin === "") === (pin_file === ""))
      throw invalidOption("signer.pin_file: expected it or signer.pin for a signer of type pkcs11");
    return { library, token, key, pin: pin === "" ? readPin(pin_file) : pin };
  },

  async create(options, { origin }) {
    const token = new Token(options);
    const { publicKey } = token.open();
    const id = keyId(origin, ED25519_TYPE, publicKey);
    return {
      name: origin,
      keyId: id,
      verifierKey: formatVerifierKey({ name: origin, keyId: id, type: ED25519_TYPE, publicKey }),
      sign: (message) => token.sign(message),
    };
  },
});

/** A key in a token. The session is opened again after an error: a token that was away may be back. */
class Token {
  readonly #options: Options;
  readonly #module: Pkcs11;
  #open: OpenKey | null = null;
  #publicKey: Uint8Array | null = null;
  /** A session signs one message at a time. */
  #signing: Promise<unknown> = Promise.resolve();

  constructor(options: Options) {
    this.#options = options;
    this.#module = loadModule(options.library);
  }

  sign(message: Uint8Array): Promise<Uint8Array> {
    const signature = this.#signing.then(async () => {
      const { session, privateKey } = this.open();
      try {
        this.#module.C_SignInit(session, { mechanism: CKM_EDDSA }, privateKey);
        return await this.#module.C_SignAsync(session, message, Buffer.alloc(SIGNATURE_BYTES));
      } catch (error) {
        this.#close();
        throw error;
      }
    });
    this.#signing = signature.catch(() => {});
    return signature;
  }

  /** The key, logged in. Throws: KEY_INVALID when token or key are not there, or are others than the first time. */
  open(): OpenKey {
    if (this.#open !== null) return this.#open;
    const { library, token, key } = this.#options;
    const where = `token ${JSON.stringify(token)} of ${library}, key ${JSON.stringify(key)}`;
    let opened: OpenKey;
    try {
      opened = this.#find();
    } catch (cause) {
      throw new MeshproofError("KEY_INVALID", `${where}: ${(cause as Error).message}`, { cause });
    }
    if (this.#publicKey !== null && Buffer.compare(this.#publicKey, opened.publicKey) !== 0)
      throw new MeshproofError("KEY_INVALID", `${where}: expected the key of before, got another`);
    this.#publicKey = opened.publicKey;
    this.#open = opened;
    return opened;
  }

  #find(): OpenKey {
    const { token, key, pin } = this.#options;
    const slots = this.#module
      .C_GetSlotList(true)
      .filter((slot) => this.#module.C_GetTokenInfo(slot).label.trimEnd() === token);
    if (slots.length !== 1)
      throw new Error(`expected one token with this label, found ${slots.length}`);
    const session = this.#module.C_OpenSession(slots[0]!, CKF_SERIAL_SESSION);
    try {
      ignoring(CKR_USER_ALREADY_LOGGED_IN, () => this.#module.C_Login(session, CKU_USER, pin));
      const privateKey = this.#findObject(session, CKO_PRIVATE_KEY, key);
      const [point] = this.#module.C_GetAttributeValue(
        session,
        this.#findObject(session, CKO_PUBLIC_KEY, key),
        [{ type: CKA_EC_POINT }],
      );
      return { session, privateKey, publicKey: publicKeyOf(point!.value) };
    } catch (error) {
      this.#module.C_CloseSession(session);
      throw error;
    }
  }

  #findObject(session: Handle, objectClass: number, label: string): Handle {
    this.#module.C_FindObjectsInit(session, [
      { type: CKA_CLASS, value: objectClass },
      { type: CKA_KEY_TYPE, value: CKK_EC_EDWARDS },
      { type: CKA_LABEL, value: label },
    ]);
    const found = this.#module.C_FindObjects(session, 2);
    this.#module.C_FindObjectsFinal(session);
    if (found.length !== 1)
      throw new Error(
        `expected one Ed25519 key pair with this label, found ${found.length === 0 ? "none" : "several"} (${objectClass === CKO_PUBLIC_KEY ? "public" : "private"} halves)`,
      );
    return found[0]!;
  }

  #close(): void {
    const open = this.#open;
    this.#open = null;
    try {
      if (open !== null) this.#module.C_CloseSession(open.session);
    } catch {
      // The token is gone, and the session with it.
    }
  }
}

function loadModule(library: string): Pkcs11 {
  let Module: new () => Pkcs11;
  try {
    ({ PKCS11: Module } = createRequire(import.meta.url)(PACKAGE) as {
      PKCS11: new () => Pkcs11;
    });
  } catch (cause) {
    throw new MeshproofError(
      "CONFIG_INVALID",
      `signer.type: pkcs11 needs the package ${PACKAGE}, which has to be installed beside meshproof: npm install ${PACKAGE} (${(cause as Error).message.split("\n")[0]})`,
      { cause },
    );
  }
  try {
    const module = new Module();
    module.load(library);
    ignoring(CKR_CRYPTOKI_ALREADY_INITIALIZED, () =>
      module.C_Initialize({ flags: CKF_OS_LOCKING_OK }),
    );
    return module;
  } catch (cause) {
    throw new MeshproofError(
      "KEY_INVALID",
      `${library}: expected a PKCS#11 library: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** Calls `act`; this one return value of PKCS#11 is no error here: what it asks for is so already. */
function ignoring(code: number, act: () => void): void {
  try {
    act();
  } catch (error) {
    if ((error as { code?: number }).code !== code) throw error;
  }
}

function publicKeyOf(point: Uint8Array): Uint8Array {
  const hex = Buffer.from(point).toString("hex");
  const prefix = POINT_PREFIXES.find(
    (candidate) =>
      hex.startsWith(candidate) && hex.length === candidate.length + 2 * PUBLIC_KEY_BYTES,
  );
  if (prefix === undefined)
    throw new Error(`expected an Ed25519 public key of ${PUBLIC_KEY_BYTES} bytes, got ${hex}`);
  return Uint8Array.from(Buffer.from(hex.slice(prefix.length), "hex"));
}

function readPin(path: string): string {
  try {
    return readFileSync(path, "utf8").split(/\r?\n/, 1)[0]!;
  } catch (cause) {
    throw invalidOption(
      `signer.pin_file: expected a file that can be read: ${(cause as Error).message}`,
    );
  }
}

function invalidOption(message: string): MeshproofError {
  return new MeshproofError("CONFIG_INVALID", message);
}
