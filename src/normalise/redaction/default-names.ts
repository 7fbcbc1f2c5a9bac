/**
 * Names whose values are redacted unless a configuration keeps them. Letter case and the separators `-` and `_` make no difference: `api_key` is also
 * `Api-Key`, `apiKey` and `APIKEY`.
 */

/** Headers: as attribute keys, as members of JSON, and as `name: value` or `name=value` in a text. Also behind a prefix: `x-original-authorization`. */
export const DEFAULT_HEADERS: readonly string[] = [
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "cookies",
  "x-api-key",
  "x-auth-token",
  "x-access-token",
  "x-amz-security-token",
  "x-amzn-oidc-accesstoken",
  "x-amzn-oidc-data",
  "x-csrf-token",
  "x-xsrf-token",
  "x-forwarded-access-token",
  "x-goog-iap-jwt-assertion",
  "cf-access-jwt-assertion",
  "x-vault-token",
  "private-token",
  "x-hub-signature",
  "x-hub-signature-256",
  "x-slack-signature",
  "stripe-signature",
  "dpop",
];

/**
 * Keys of attributes and members of JSON, and names in `name=value` and `name: value`. Also behind a prefix and with a number: `db.password`, `refresh_token`, `password2`;
 * those of five letters and more also at the end of a word: `accesstoken`.
 */
export const DEFAULT_KEYS: readonly string[] = [
  "token",
  "password",
  "passwords",
  "password_confirmation",
  "password_confirm",
  "passwd",
  "pwd",
  "password_hash",
  "passphrase",
  "passcode",
  "secret",
  "secrets",
  "api_key",
  "access_key",
  "secret_key",
  "private_key",
  "signing_key",
  "encryption_key",
  "master_key",
  "shared_key",
  "account_key",
  "session_key",
  "auth_key",
  "hmac_key",
  "subscription_key",
  "functions_key",
  "credential",
  "credentials",
  "client_assertion",
  "saml_response",
  "saml_assertion",
  "saml_art",
  "jsessionid",
  "phpsessid",
  "sessionid",
  "connect.sid",
  "auth_code",
  "authorization_code",
  "verification_code",
  "otp",
  "otp_code",
  "totp",
  "totp_code",
  "mfa_code",
  "one_time_code",
  "sms_code",
  "security_code",
  "recovery_code",
  "recovery_codes",
  "backup_code",
  "backup_codes",
  "card_number",
  "cc_number",
  "cvv",
  "cvv2",
  "cvc",
  "ssn",
];

/**
 * Parameters of URLs and forms, under exactly this name. They are words that mean something harmless anywhere else (`code=200`, `key=user-1`),
 * so outside of Path and Query one has to stand behind `?`, `&`, `;` or `#`, or at the very beginning.
 */
export const DEFAULT_PARAMETERS: readonly string[] = [
  "code",
  "key",
  "sig",
  "signature",
  "sign",
  "hmac",
  "csrf",
  "session",
  "sid",
  "jwt",
  "auth",
  "pass",
  "pw",
  "pin",
  "ticket",
  "assertion",
  "id_token_hint",
  "oauth_verifier",
  "oauth_signature",
  "code_verifier",
  "device_code",
  "user_code",
  "AWSAccessKeyId",
  "X-Amz-Signature",
  "X-Amz-Credential",
  "X-Goog-Signature",
  "X-Goog-Credential",
];

/** Members that say in their value what another member, one of PAIR_VALUES, holds: `{"name":"Cookie","value":"a=1"}`. Also as the last word of a longer name. */
export const PAIR_NAMES: readonly string[] = [
  "key",
  "name",
  "header",
  "field",
  "param",
  "parameter",
  "property",
  "path",
  "type",
  "id",
];

export const PAIR_VALUES: readonly string[] = ["value"];

/** Objects whose members are the parameters of a query. Also behind a prefix: `parsed_query`. */
export const QUERIES: readonly string[] = [
  "query",
  "query_params",
  "query_parameters",
  "query_string",
  "query_string_parameters",
];
