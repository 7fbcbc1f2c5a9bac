// Makes Ed25519 key pairs in a token, as an HSM's own tool would: generate.cjs LIBRARY TOKEN PIN LABEL…
const { PKCS11 } = require("pkcs11js");

const [library, name, pin, ...labels] = process.argv.slice(2);
const CKM_EC_EDWARDS_KEY_PAIR_GEN = 0x1055;
const CKK_EC_EDWARDS = 0x40;
/** The curve as a PrintableString (PKCS#11 v3.0, section 2.3.5). */
const EDWARDS25519 = Buffer.from("130c656477617264733235353139", "hex");
const [TOKEN, PRIVATE, LABEL, KEY_TYPE] = [0x1, 0x2, 0x3, 0x100];
const [SENSITIVE, SIGN, VERIFY, EC_PARAMS] = [0x103, 0x108, 0x10a, 0x180];

const token = new PKCS11();
token.load(library);
token.C_Initialize();
const slot = token
  .C_GetSlotList(true)
  .find((one) => token.C_GetTokenInfo(one).label.trimEnd() === name);
const CKF_RW_SERIAL_SESSION = 0x6;
const session = token.C_OpenSession(slot, CKF_RW_SERIAL_SESSION);
token.C_Login(session, 1, pin);
for (const label of labels) {
  const common = [
    { type: TOKEN, value: true },
    { type: LABEL, value: label },
    { type: KEY_TYPE, value: CKK_EC_EDWARDS },
  ];
  token.C_GenerateKeyPair(
    session,
    { mechanism: CKM_EC_EDWARDS_KEY_PAIR_GEN },
    [...common, { type: EC_PARAMS, value: EDWARDS25519 }, { type: VERIFY, value: true }],
    [
      ...common,
      { type: PRIVATE, value: true },
      { type: SENSITIVE, value: true },
      { type: SIGN, value: true },
    ],
  );
}
token.C_Finalize();
