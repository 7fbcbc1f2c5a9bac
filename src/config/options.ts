import {
  listOptions,
  listSection,
  openSection,
  option,
  optionalSection,
  section,
  type Parsed,
} from "./schema.ts";
import {
  boolean,
  choice,
  conditions,
  decimal,
  duration,
  endpoint,
  hostNames,
  integer,
  matching,
  guestNames,
  names,
  path,
  redactPatterns,
  requiredPath,
  retention,
  retentionRules,
  secret,
  secretHeaders,
  size,
  storeEndpoint,
  text,
  textMap,
  urlOrEmpty,
  textsMap,
} from "./types.ts";

/**
 * Every option with its default and one line on it. From this declaration come the parser, the type `Config`,
 * config/meshproof.yaml and docs/configuration.md. Keys are the Collector's wherever it has the same thing.
 */

const KIB = 2 ** 10;
const MIB = 2 ** 20;

const serverTls = optionalSection("TLS; without this section the port speaks plain HTTP.", {
  cert_file: option(
    requiredPath,
    undefined,
    "PEM file with the certificate and its chain.",
    "./tls/server.crt",
  ),
  key_file: option(requiredPath, undefined, "PEM file with the private key.", "./tls/server.key"),
  client_ca_file: option(
    path,
    "",
    "PEM file of authorities: clients must present a certificate that one of them signed (mutual TLS).",
  ),
  min_version: option(choice("1.2", "1.3"), "1.2", "Oldest TLS version that is accepted."),
});

const allowedHosts = option(
  hostNames,
  [],
  'Further names that the Host header may say, beside localhost and the endpoint\'s host; "*" allows any. Empty: none on a loopback address, any beyond it, where callers must prove who they are.',
);

const otlpHttp = section(
  "OTLP over HTTP: POST /v1/logs and /v1/traces, protobuf or JSON; identity, gzip, zstd or deflate.",
  {
    endpoint: option(
      endpoint,
      "127.0.0.1:4318",
      "Address to listen on; port 0 means any free port.",
    ),
    max_request_body_size: option(
      size(KIB, "1KiB"),
      "64MiB",
      "Largest request body, as sent and after decompression; larger ones get 413.",
    ),
    max_in_flight_bytes: option(
      size(KIB, "1KiB"),
      "64MiB",
      "Bound of all request bodies in memory together, after decompression; when full, requests wait for admission_timeout.",
    ),
    admission_timeout: option(
      duration(0, "from 0s"),
      "200ms",
      "How long a request waits for room in max_in_flight_bytes before it gets 429.",
    ),
    request_timeout: option(
      duration(1, "of at least 1ms"),
      "30s",
      "How long a client may take to send one whole request.",
    ),
    allowed_hosts: allowedHosts,
    tls: serverTls,
    deduplication: section("A batch that is sent again, after a lost answer, is stored once.", {
      window: option(
        duration(0, "from 0s"),
        "1h",
        "How long a batch is remembered; 0s turns this off.",
      ),
      max_keys: option(
        integer(1, 16_777_216),
        1_000_000,
        "How many batches are remembered at most; the oldest is forgotten first.",
      ),
    }),
  },
);

const formats = listSection(
  "Access logs in a format of your own, which outranks those that meshproof knows. Each is an Envoy format string, or keys and what they mean (docs/formats.md).",
  {
    name: option(
      matching(/^[a-z][a-z0-9_]{0,31}$/, "a name of at most 32 lower-case letters, digits and _"),
      undefined,
      "What the column Dialect says.",
      "shop_access",
    ),
    line: option(
      text,
      "",
      "How a line is written, as an Envoy format string; %name% may be a name of your own, which keys explains. Empty: the records have keys.",
      `'[%START_TIME%] "%REQ(:METHOD)% %REQ(:PATH)%" %RESPONSE_CODE% %DURATION%ms user=%user%'`,
    ),
    keys: option(
      textMap,
      {},
      "Attribute, JSON key (a.b for one within another) or name in line: the column that it fills.",
      "{ user: EndUser }",
    ),
    units: option(
      textMap,
      {},
      "The unit of each key that fills DurationNs or UpstreamDurationNs: s, ms, us or ns.",
    ),
    when: option(
      conditions,
      {},
      "What tells such records from others: keys that have to be there, or { key: value } and { key: [value, value] }. Not beside line.",
    ),
    set: option(
      textMap,
      {},
      "Columns that are the same in all records: { Direction: inbound, Protocol: HTTP/1.1 }.",
    ),
    decisions: option(
      textsMap,
      {},
      "Words of the key that fills Decision, in any case: { allowed: [PASS], denied: [BLOCK], failed: [ERROR] }. Without it: allow, allowed, deny, denied, fail, failed.",
    ),
    time_is_end: option(
      boolean,
      false,
      "The time is that of the end of the request, not its start.",
    ),
  },
);

const detected = (what: string) => option(boolean, true, what);

const redact = section(
  "What never reaches the disk, whatever column, map or body it stands in. Much is redacted by default (docs/redaction.md); names are compared without regard to case, - and _.",
  {
    query_parameters: option(
      names,
      ["token", "code", "password"],
      "Query parameters whose values are redacted, beside those that always are.",
    ),
    headers: option(
      names,
      ["authorization", "cookie"],
      "Headers whose values are redacted, as attributes, in JSON and in texts, beside those that always are.",
    ),
    keys: option(
      names,
      [],
      "Keys of attributes and members of JSON whose values are redacted, beside those that always are; also as the last word of a longer key.",
    ),
    columns: option(names, [], "Columns that are redacted as a whole, such as UserAgent."),
    patterns: option(
      redactPatterns,
      [],
      "Patterns { name, pattern } of what is redacted wherever it stands, in the language of docs/redaction.md.",
    ),
    keep: option(names, [], "Names whose values are not redacted though they are by default."),
    detect: section("What is known by its look, wherever it stands.", {
      jwt: detected("JSON Web Tokens."),
      bearer: detected("The token behind the word Bearer."),
      basic: detected("User and password behind the word Basic."),
      userinfo: detected("user:password@ in URLs."),
      private_key: detected("Private keys in PEM."),
      aws_key: detected("AWS access key IDs."),
      vendor_token: detected(
        "Tokens that begin as those of GitHub, GitLab, npm, PyPI, Slack, Stripe, Anthropic, OpenAI, Google, Vault and SendGrid do.",
      ),
      card: detected("Card numbers: 13 to 19 digits of a known issuer with the right check digit."),
      email: detected(
        "E-mail addresses, but for those that say who acted: Actor, EndUser, the principals, enduser.id and user.id.",
      ),
    }),
    mode: option(
      choice("remove", "pseudonym"),
      "remove",
      "remove: the value becomes [redacted]. pseudonym: it becomes [hmac:…], the same for the same value, so that it can be searched for.",
    ),
    pseudonym_key: option(
      secret,
      "",
      "Key of the pseudonyms, 32 characters or more; better ${env:NAME} or pseudonym_key_file than plain text.",
    ),
    pseudonym_key_file: option(
      path,
      "",
      "File whose first line is the key; nobody but its owner may read it.",
    ),
  },
);

const normalise = section("Turns log records into access records.", {
  redact,
  trusted_hops: option(
    integer(0, 16),
    0,
    "How many elements of X-Forwarded-Client-Cert, counted from its end, were written by proxies that you trust. They name the peer where the proxy that logs authenticated nobody; by 0 none does.",
  ),
  formats,
  max_record_size: option(
    size(4 * KIB, "4KiB"),
    "1MiB",
    "Largest sealed record; longer values are cut, and the cut is recorded.",
  ),
});

const correlate = section(
  "Links access records to spans of the same request, and finds spans of proxies that left no access record.",
  {
    window: option(
      duration(100, "of at least 100ms"),
      "30s",
      "How far apart the two may be received.",
    ),
    max_records: option(
      integer(1_000, 16_777_216),
      1_000_000,
      "Records that wait for their partners in memory, about 75 bytes each; when full, the oldest leave early, and a finding says so.",
    ),
  },
);

/** What both signers have; the key that signs is made on first start when it is missing, the one that it replaces never is. */
const signerOptions = (pathText: string, example?: string) => ({
  type: option(
    choice("file", "pkcs11"),
    "file",
    "file: an Ed25519 key in a PKCS#8 PEM file; pkcs11: an Ed25519 key in a token (HSM), for which the package pkcs11js has to be installed.",
  ),
  path: option(path, "", pathText, example),
  library: option(path, "", "The token's PKCS#11 library; pkcs11 only, as all below."),
  token: option(text, "", "Label of the token."),
  key: option(text, "", "Label of the key pair in the token."),
  pin: option(secret, "", "The user's PIN; better ${env:NAME} or pin_file than plain text."),
  pin_file: option(path, "", "File whose first line is the PIN."),
});

const retentionClasses = section("Which records are of which retention class.", {
  rules: option(
    retentionRules,
    [],
    "Rules { class, namespace, service, path }; the first that fits gives a record its class, a class of exporters.clickhouse.retention. None fits: default. Rules with a path are for access records alone.",
  ),
});

const seal = section("The Merkle log over all records, and its signed checkpoints.", {
  origin: option(
    // C2SP signed-note: a key name is not empty and has neither Unicode spaces nor plus.
    matching(/^[^\s+\p{C}]{1,255}$/u, 'a name without spaces or "+", such as example.org/mesh'),
    "meshproof.local/dev",
    "Name of the log in its checkpoints; like a URL without the scheme, unique to this log for ever.",
  ),
  checkpoint_interval: option(
    duration(10, "of at least 10ms"),
    "1s",
    "A checkpoint is signed this long after a record at the latest.",
  ),
  checkpoint_records: option(
    integer(1, 10_000_000),
    10_000,
    "A checkpoint is signed after so many records even if the interval is not over.",
  ),
  signer: section(
    "What signs checkpoints.",
    signerOptions(
      "The key file, made on first start when it is missing; empty means secrets/log-key.pem in storage.directory.",
      "${env:MESHPROOF_KEY_FILE:-}",
    ),
  ),
  retiring_signer: optionalSection(
    "The key that signer replaces: both sign until this section is taken away. `meshproof key rotate` needs none for key files.",
    signerOptions("The key file."),
  ),
  ml_dsa_44_key: option(
    path,
    "",
    "PKCS#8 PEM file of an ML-DSA-44 key that signs checkpoints beside the signer, against quantum computers; made when it is missing. Needs Node 24.6. Empty: none.",
  ),
  anchor: option(
    path,
    "",
    "File outside storage.directory, best on another machine's disk, that gets the newest published checkpoint; at start it shows whether the directory is an older copy. Empty: none.",
  ),
  witnesses: optionalSection(
    "Witnesses that cosign checkpoints; without this section each signed checkpoint is published at once.",
    {
      policy_file: option(
        requiredPath,
        undefined,
        "Policy (C2SP tlog-policy) that names the witnesses with their URLs, and the quorum a published checkpoint must have.",
        "./witnesses.policy",
      ),
      interval: option(
        duration(100, "of at least 100ms"),
        "10s",
        "How often the newest checkpoint is taken to the witnesses.",
      ),
      timeout: option(
        duration(1, "of at least 1ms"),
        "5s",
        "How long one witness may take to answer.",
      ),
      fail_open_after: option(
        duration(0, "from 0s"),
        "0s",
        "After so long without a quorum a checkpoint is published without it, and a finding is sealed; 0s means never.",
      ),
    },
  ),
});

/** Credentials of one user of a remote ClickHouse. */
const credentials = (username: string) => ({
  username: option(text, username, "User name on a remote ClickHouse."),
  password: option(
    secret,
    "",
    "Its password; better ${env:NAME} or password_file than plain text.",
  ),
  password_file: option(path, "", "File whose first line is the password."),
});

const clickhouse = section("The store.", {
  endpoint: option(
    storeEndpoint,
    "embedded",
    "embedded: a ClickHouse server that meshproof runs itself; or the HTTP URL of a server or cluster.",
  ),
  database: option(
    matching(/^[A-Za-z_]\w{0,62}$/, "a name of letters, digits and _"),
    "otel",
    "Database of all tables.",
  ),
  cluster: option(
    matching(/^$|^[A-Za-z_][\w-]{0,62}$/, "a name of letters, digits, _ and -"),
    "",
    "Cluster on whose servers tables are made (Replicated and Distributed); empty for one server.",
  ),
  ...credentials("writer"),
  admin: section(
    "The user that makes tables and expires partitions; remote only.",
    credentials("admin"),
  ),
  reader: section("The user that queries run as; remote only.", credentials("reader")),
  create_schema: option(
    boolean,
    true,
    "Make the database and its tables at start; false when `meshproof schema` was applied by hand.",
  ),
  tls: optionalSection("TLS towards a remote ClickHouse, beyond what its https:// URL says.", {
    ca_file: option(
      path,
      "",
      "PEM file of the authorities that may have signed the server's certificate; empty means the system's.",
    ),
    cert_file: option(path, "", "PEM file with a client certificate."),
    key_file: option(path, "", "PEM file with its private key."),
  }),
  timeout: option(
    duration(100, "of at least 100ms"),
    "30s",
    "How long one statement may take before it is tried again.",
  ),
  retention: openSection(
    "How long the records of each class are kept; further classes are further keys, and processors.retention.rules says which records are of them.",
    {
      default: option(
        retention,
        "13 months",
        "How long records are kept, counted from the time they were received.",
      ),
    },
    retention,
  ),
  expiry: section(
    "Drops records whose period is over, whole partitions (days or months) at a time; what is dropped is sealed first.",
    {
      interval: option(
        duration(1_000, "of at least 1s"),
        "1h",
        "How often it is looked for, from the start on.",
      ),
      grace: option(
        duration(0, "from 0s"),
        "24h",
        "After a period became shorter, nothing is dropped for so long: the log only says what would be.",
      ),
      dry_run: option(boolean, false, "Never drop; say in the log what would be dropped."),
    },
  ),
  max_pending_bytes: option(
    size(MIB, "1MiB"),
    "64MiB",
    "Bound of the rows held in memory for the store; when full, further rows wait in the journal on disk.",
  ),
  batch: section("An insert is sent when the first of these is reached.", {
    rows: option(integer(1, 1_000_000), 10_000, "Rows."),
    bytes: option(size(KIB, "1KiB"), "16MiB", "Bytes of rows."),
    timeout: option(duration(1, "of at least 1ms"), "500ms", "Age of the oldest row."),
  }),
  embedded: section("The embedded server; it listens on 127.0.0.1 only.", {
    http_port: option(
      integer(0, 65_535),
      8123,
      "Port of its HTTP interface; 0 means any free port.",
    ),
    native_port: option(
      integer(0, 65_535),
      9000,
      "Port of its native protocol, for clickhouse-client; 0 means any free port.",
    ),
    max_memory: option(size(256 * MIB, "256MiB"), "2GiB", "Bound of the server's memory."),
    guests: option(
      guestNames,
      [],
      "Other programs that may keep tables in this server, such as a Collector's ClickHouse exporter: each name is a user with all rights in the database of that name and none outside. The password is made on first start, in secrets/clickhouse-<name> of storage.directory.",
    ),
  }),
});

const otlphttp = optionalSection(
  "Passes on what came in to another OTLP/HTTP server, in protobuf, each record with its leaf index as an attribute (docs/forwarding.md). Also otlp_http.",
  {
    endpoint: option(
      urlOrEmpty,
      "",
      "Where it listens; records go to /v1/logs and /v1/traces below.",
      "http://127.0.0.1:4319",
    ),
    logs_endpoint: option(urlOrEmpty, "", "The whole URL for logs, in place of endpoint."),
    traces_endpoint: option(urlOrEmpty, "", "The whole URL for spans, in place of endpoint."),
    headers: option(
      secretHeaders,
      {},
      "Headers of each request; values better ${env:NAME} than plain text.",
    ),
    compression: option(choice("gzip", "zstd", "deflate", "none"), "gzip", "Coding of the bodies."),
    timeout: option(
      duration(1, "of at least 1ms"),
      "30s",
      "How long one request may take before it is tried again.",
    ),
    tls: section("TLS towards it, beyond what its https:// URL says.", {
      ca_file: option(
        path,
        "",
        "PEM file of the authorities that may have signed its certificate; empty means the system's.",
      ),
      cert_file: option(path, "", "PEM file with a client certificate."),
      key_file: option(path, "", "PEM file with its private key."),
      server_name_override: option(
        text,
        "",
        "Name that its certificate must have, if not the URL's.",
      ),
      insecure_skip_verify: option(
        boolean,
        false,
        "Take any certificate: whoever is in between can read and change what is passed on.",
      ),
    }),
    retry_on_failure: section("What is tried again: no answer, and status 429, 502, 503 and 504.", {
      enabled: option(boolean, true, "false: what fails once is given up."),
      initial_interval: option(
        duration(1, "of at least 1ms"),
        "5s",
        "Pause before the second attempt; Retry-After can make it longer.",
      ),
      randomization_factor: option(
        decimal(0, 1),
        0.5,
        "Share of a pause by which it is made longer or shorter at random.",
      ),
      multiplier: option(decimal(1, 100), 1.5, "How much longer each further pause is."),
      max_interval: option(duration(1, "of at least 1ms"), "30s", "Longest pause."),
      max_elapsed_time: option(
        duration(0, "from 0s"),
        "0s",
        "After so long a request is given up; 0s means never: the queue is the bound.",
      ),
    }),
    sending_queue: section("What waits to be passed on: it stands in the journal, on disk.", {
      queue_size: option(
        size(MIB, "1MiB"),
        "256MiB",
        "Bound of the records that wait, at most an eighth of storage.max_size; when full, the oldest are not passed on, and a finding says so.",
      ),
    }),
    link_wait: option(
      duration(0, "from 0s"),
      "1s",
      "How long a record waits for its link to the span or access record of the same request.",
    ),
    records_url: option(
      urlOrEmpty,
      "",
      "Where people reach the API, such as https://audit.example:8320: each record gets the URL that shows it. Empty: none.",
    ),
  },
);

/** The whole configuration. */
export const configSchema = section("", {
  receivers: section("Where records come in.", {
    otlp: section("The OpenTelemetry protocol.", { protocols: section("", { http: otlpHttp }) }),
  }),
  processors: section("What happens to records on their way.", {
    normalise,
    correlate,
    retention: retentionClasses,
    seal,
  }),
  exporters: section("Where records go.", { clickhouse, otlphttp }),
  extensions: section("What else listens, and who may use it.", {
    health_check: section("Health: 200 while records can be taken and stored, else 503.", {
      endpoint: option(
        endpoint,
        "127.0.0.1:13133",
        "Address to listen on; port 0 means any free port.",
      ),
      path: option(
        matching(/^\/[\w./~-]*$/, "a path such as /health"),
        "/",
        "Path that answers, with all below it; / means every path, as in the Collector.",
      ),
    }),
    api: section("Queries, proofs and the log's tiles.", {
      endpoint: option(
        endpoint,
        "127.0.0.1:8320",
        "Address to listen on; port 0 means any free port.",
      ),
      public_log: option(
        boolean,
        false,
        "Serve /log/ (checkpoint, tiles and entries: no records) without a token, for witnesses and monitors.",
      ),
      allowed_hosts: allowedHosts,
      tls: serverTls,
    }),
    verification: section(
      "Verifies log and rows beside the running server, in a process of its own that steps back behind all other work, one run at a time. Each result is a sealed record.",
      {
        interval: option(
          duration(0, "from 0s"),
          "24h",
          "How often everything is verified, from the first record on; 0s means never.",
        ),
        incremental_interval: option(
          duration(0, "from 0s"),
          "1h",
          "How often what is new since the last time is verified, and that the log continues it; 0s means never.",
        ),
        timeout: option(
          duration(1_000, "of at least 1s"),
          "6h",
          "How long one run may take; then it is ended, and counts as failed.",
        ),
      },
    ),
    tokens: section(
      "Bearer tokens; when a file is named, OTLP and API demand one, or a client certificate under mutual TLS.",
      {
        file: option(
          path,
          "",
          "File of lines `role name sha256:hex`; role is sender, reader, auditor or admin. `meshproof token` makes them.",
        ),
      },
    ),
  }),
  storage: section("Journal, log, keys and the embedded store.", {
    directory: option(requiredPath, "./data", "Directory of everything that meshproof keeps."),
    max_size: option(
      size(MIB, "1MiB"),
      "10GiB",
      "Bound of the journal: records that are not yet sealed and stored; when full, senders get 503.",
    ),
  }),
  service: section("The process itself.", {
    clock: section("The machine's clock, which is watched.", {
      max_jump: option(
        duration(10, "of at least 10ms"),
        "500ms",
        "A change of the wall clock against the monotonic one above this is the finding clock_jump.",
      ),
    }),
    telemetry: section("", {
      logs: section("Its own log, on standard error.", {
        level: option(
          choice("debug", "info", "warn", "error"),
          "info",
          "Least level that is written.",
        ),
        encoding: option(
          choice("auto", "console", "json"),
          "auto",
          "auto: lines for people on a terminal, JSON elsewhere.",
        ),
      }),
      metrics: section("Its own metrics, for Prometheus, at /metrics.", {
        address: option(
          endpoint,
          "127.0.0.1:8888",
          "Address to listen on; port 0 means any free port.",
        ),
        without_type_suffix: option(
          boolean,
          true,
          "Name counters as the Collector does by default: without _total.",
        ),
        without_units: option(
          boolean,
          true,
          "Name the Collector's metrics as it does by default: without _seconds and _bytes where its name has none. Names of ours have their unit in any case.",
        ),
      }),
    }),
  }),
});

/**
 * The parsed configuration. It has the keys of the file; durations are milliseconds, sizes are bytes, endpoints are host
 * and port.
 */
export type Config = Parsed<typeof configSchema>;
export type ForwardConfig = NonNullable<Config["exporters"]["otlphttp"]>;
export type ServerTls = NonNullable<Config["extensions"]["api"]["tls"]>;

/** Every section and option, in the order of the file. */
export const OPTIONS = listOptions(configSchema);
