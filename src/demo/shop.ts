import { type Call, type Entry, OK, type Reply } from "./calls.ts";
import {
  CUSTOMERS,
  FRONTEND,
  GATEWAY,
  INVENTORY,
  MALLORY,
  NOBODY,
  ORDERS,
  PAYMENT,
  PROBE,
  REPORTS,
  SCRAPER,
} from "./mesh.ts";
import type { Plan } from "./plan.ts";
import type { Random } from "./random.ts";
import { Tracer } from "./tracer.ts";

/** A few seconds in the life of the shop. */

export interface PlayOptions {
  readonly random: Random;
  /** When the first request arrives. */
  readonly startNs: bigint;
  /** Requests from outside, and how far apart they are on average. */
  readonly requests: number;
  readonly intervalNs: bigint;
}

const RATE_LIMITED: Reply = {
  by: "server proxy",
  status: 429,
  flags: "RL",
  details: "local_rate_limited",
};
const EXPIRED: Reply = {
  by: "server proxy",
  status: 401,
  details: "jwt_authn_access_denied{Jwt_is_expired}",
};
const NOT_AUTHORISED: Reply = {
  by: "server proxy",
  status: 403,
  flags: "UAEX",
  details: "ext_authz_denied",
};
const NO_ROUTE: Reply = {
  by: "server proxy",
  status: 404,
  flags: "NR",
  details: "route_not_found",
};
const NO_POLICY: Reply = {
  by: "server proxy",
  status: 403,
  details: "rbac_access_denied_matched_policy[none]",
};
const NO_HOST: Reply = {
  by: "client proxy",
  status: 503,
  flags: "UH",
  details: "no_healthy_upstream",
};
const UNREACHABLE: Reply = {
  by: "client proxy",
  status: 503,
  flags: "UF,URX",
  details: "upstream_reset_before_response_started{remote_connection_failure}",
  failure: "delayed connect error: Connection refused",
};
const UNAVAILABLE: Reply = { by: "application", status: 503 };

/** Only support may give money back: the policy behind the story's denied request. */
const REFUND_POLICY = ["payments", "refunds-by-support-only", 0] as const;
const PROBED_PATHS = [
  "/.env",
  "/.git/config",
  "/wp-login.php",
  "/phpmyadmin/index.php",
  "/actuator/env",
  "/cgi-bin/luci",
  "/server-status",
  "/backup.sql",
  "/vendor/phpunit/phpunit/src/Util/PHP/eval-stdin.php",
  "/solr/admin/info/system?wt=json",
];

/** All that happens: mostly customers who look and buy, and between them what an auditor wants to know of. */
export function planShop({ random, startNs, requests, intervalNs }: PlayOptions): Plan {
  const entries = incidents(random);
  while (entries.length < requests) entries.push(ordinary(random));
  shuffle(entries, random);
  // What takes long, or what somebody has to wait for, comes early.
  moveTo(entries, (call) => call.isBlind === true, Math.floor(entries.length / 8));
  moveTo(
    entries,
    (call) => call.path === "/api/orders/1042/receipt",
    Math.floor(entries.length / 5),
  );

  const tracer = new Tracer(random);
  for (const [i, entry] of entries.entries()) {
    const jitter = BigInt(Math.floor(random.fraction() * Number(intervalNs)));
    tracer.enter(entry, startNs + BigInt(i) * intervalNs + jitter);
  }
  const { access, spans, logs, blindSpanId } = tracer;
  for (const list of [access, spans, logs])
    list.sort((a, b) => (a.endNs < b.endNs ? -1 : a.endNs > b.endNs ? 1 : 0));
  return { requests: entries.length, access, spans, logs, blindSpanId };
}

/** What customers do all day. */
function ordinary(random: Random): Entry {
  const from = random.pick(CUSTOMERS);
  const product = random.between(100, 180);
  const order = random.between(1000, 9000);
  const dice = random.fraction();
  if (dice < 0.4)
    return {
      from,
      call: frontend("GET", `/api/products/${product}`, [stock(product)]),
    };
  if (dice < 0.6)
    return {
      from,
      call: frontend("GET", `/api/orders/${order}`, [call(ORDERS, "GET", `/orders/${order}`, 4)]),
    };
  if (dice < 0.85) return { from, call: purchase(order, product, random.between(12, 180)) };
  if (dice < 0.99) return { from, call: frontend("GET", "/", []) };
  return { from: "kubelet", call: call(FRONTEND, "GET", "/healthz", 0.2) };
}

/** What an auditor wants to know of. */
function incidents(random: Random): Entry[] {
  const customer = (): (typeof CUSTOMERS)[number] => random.pick(CUSTOMERS);
  const order = (): number => random.between(1000, 9000);
  const product = (): number => random.between(100, 180);
  return [
    ...times(5, (n) => ({ from: MALLORY, call: refund(4711 + n) })),
    ...times(11, () => ({
      from: REPORTS,
      call: { ...call(PAYMENT, "GET", "/payments/export?since=2020", 1), reply: NO_POLICY },
    })),
    ...times(60, () => ({
      from: SCRAPER,
      call: atGateway(`/api/products/${product()}`, RATE_LIMITED),
    })),
    ...times(14, () => ({ from: NOBODY, call: atGateway(`/api/orders/${order()}`, EXPIRED) })),
    ...times(9, () => ({ from: customer(), call: atGateway("/admin/users", NOT_AUTHORISED) })),
    ...times(40, (n) => ({
      from: PROBE,
      call: atGateway(PROBED_PATHS[n % PROBED_PATHS.length]!, NO_ROUTE),
    })),
    ...times(13, () => ({ from: customer(), call: exported(order()) })),
    ...times(24, () => ({ from: customer(), call: retried(order(), product()) })),
    ...times(7, () => ({ from: customer(), call: failed(order(), NO_HOST) })),
    ...times(4, () => ({ from: customer(), call: failed(order(), UNREACHABLE) })),
    { from: CUSTOMERS[1]!, call: slow() },
    { from: CUSTOMERS[3]!, call: payout() },
  ];
}

function call(
  to: Call["to"],
  method: string,
  path: string,
  workMs: number,
  calls: readonly Call[] = [],
): Call {
  return { to, method, path, workMs, calls };
}

/** Everything from outside that the gateway lets through goes to the frontend. */
function frontend(method: string, path: string, calls: readonly Call[]): Call {
  return call(FRONTEND, method, path, 3, calls);
}

function stock(product: number): Call {
  return call(INVENTORY, "GET", `/stock/${product}`, 2);
}

/** A request that the gateway answers itself. */
function atGateway(path: string, reply: Reply): Call {
  return { ...call(GATEWAY, "GET", path, 0), reply };
}

function purchase(order: number, product: number, amount: number, charge?: Partial<Call>): Call {
  const charged: Call = { ...call(PAYMENT, "POST", "/payments", 9), ...charge };
  const reserve = call(INVENTORY, "POST", `/stock/${product}/reserve`, 3);
  const isPaid = (charged.reply ?? OK).status < 400;
  const placed: Call = {
    ...call(ORDERS, "POST", "/orders", 5, [charged, ...(isPaid ? [reserve] : [])]),
    ...(isPaid ? {} : { reply: UNAVAILABLE }),
    log: isPaid
      ? ["info", `order ${order} placed: ${amount}.00 EUR`]
      : ["error", `order ${order} not placed: payment is not available`],
  };
  return {
    ...frontend("POST", "/api/orders", [placed]),
    ...(isPaid ? {} : { reply: UNAVAILABLE }),
  };
}

/** A refund that somebody wants for himself: payment's proxy refuses it. */
function refund(order: number): Call {
  const refused: Call = {
    ...call(PAYMENT, "POST", `/refunds?order=${order}`, 0),
    reply: { by: "server proxy", status: 403, policy: REFUND_POLICY },
  };
  return {
    ...frontend("POST", `/api/orders/${order}/refund`, [refused]),
    reply: { by: "application", status: 403 },
    log: ["warn", `refund of order ${order} refused: 403 from payment`],
  };
}

/** An export that a policy in shadow mode would refuse. */
function exported(order: number): Call {
  const path = `/orders/${order}/export?format=csv`;
  return frontend("GET", `/api/orders/${order}/export`, [
    { ...call(ORDERS, "GET", path, 12), shadowPolicy: ["shop", "export-needs-scope", 0] },
  ]);
}

/** A purchase whose payment is not there at the first attempt. */
function retried(order: number, product: number): Call {
  return purchase(order, product, 35, { refusedAttempts: [UNAVAILABLE] });
}

/** A purchase that fails because nobody reaches payment. */
function failed(order: number, reply: Reply): Call {
  const isRetried = reply === UNREACHABLE;
  return purchase(order, 100, 35, {
    reply,
    ...(isRetried ? { refusedAttempts: [UNREACHABLE, UNREACHABLE] } : {}),
  });
}

function slow(): Call {
  return frontend("GET", "/api/orders/1042/receipt", [
    call(ORDERS, "GET", "/orders/1042/receipt", 6, [
      { ...call(PAYMENT, "GET", "/receipts/1042", 1700), log: ["warn", "receipt store is slow"] },
    ]),
  ]);
}

/** Money leaves the shop, and the proxy through which the order came keeps no record of it. */
function payout(): Call {
  return frontend("POST", "/api/payouts", [
    { ...call(PAYMENT, "POST", "/payouts", 8), isBlind: true },
  ]);
}

function times<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

/** Fisher and Yates. */
function shuffle(list: Entry[], random: Random): void {
  for (let i = list.length - 1; i > 0; i--) {
    const j = random.between(0, i);
    [list[i], list[j]] = [list[j]!, list[i]!];
  }
}

/** Moves the entry with a call that `matches` somewhere in it to `index`. */
function moveTo(entries: Entry[], matches: (call: Call) => boolean, index: number): void {
  const isIn = (one: Call): boolean => matches(one) || (one.calls ?? []).some(isIn);
  const at = entries.findIndex((entry) => isIn(entry.call));
  [entries[at], entries[index]] = [entries[index]!, entries[at]!];
}
