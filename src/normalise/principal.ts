import { ascii, CHAR, equalsText, indexOf, indexOfText, isDigit, startsWith } from "./ascii.ts";
import { SpiffeId } from "./spiffe.ts";

/** How a name is written. */
export const FORMS = { other: 0, spiffe: 1, dns: 2, arn: 3 } as const;

const SEGMENT = {
  ap: ascii("ap"),
  ns: ascii("ns"),
  sa: ascii("sa"),
  dc: ascii("dc"),
  svc: ascii("svc"),
} as const;
/** Kuma's name of a service in Kubernetes: `<service>_<namespace>_svc_<port>`, without the port for a headless one. Source: kuma.io/docs, "Data plane proxy on Kubernetes". */
const KUMA_SERVICE = ascii("_svc");
/** Linkerd's name of a service account. Source: linkerd2-proxy, policy-controller, `identity`. */
const LINKERD = ascii(".serviceaccount.identity.");
/** Source: AWS Identity and Access Management User Guide, "Identify AWS resources with ARNs". */
const ARN = ascii("arn:");
const ROLE = ascii("role/");
const ASSUMED_ROLE = ascii("assumed-role/");

/**
 * Reads the namespace and the service account out of a principal, by the form of the mesh that gave it:
 *
 *   spiffe://<trust domain>/ns/<namespace>/sa/<account>                        Istio, Kuma's MeshIdentity, SPIRE's default
 *   spiffe://<trust domain>[/ap/<partition>]/ns/<namespace>/dc/<dc>/svc/<service>   Consul: the service is the account
 *   spiffe://<mesh>/<service>                                                  Kuma: likewise; Kubernetes' names hold the namespace too
 *   <account>.<namespace>.serviceaccount.identity.<control plane>.<domain>     Linkerd
 *   arn:aws:sts::<account>:assumed-role/<role>/<session>, arn:aws:iam::<account>:role/<path>/<role>   AWS: account and role
 *
 * Other paths (Consul's agents and gateways, Cilium's `/identity/<number>`) are SPIFFE IDs that name neither.
 */
export class Principal {
  /** FORMS of the name that was read. */
  form: number = FORMS.other;
  /** Empty where the form has none. */
  namespaceStart = 0;
  namespaceEnd = 0;
  accountStart = 0;
  accountEnd = 0;
  /** The namespace is one of Kubernetes, and not Consul's or AWS's word for something like it. */
  isKubernetes = false;
  readonly #id = new SpiffeId();

  /** Is it a SPIFFE ID that breaks a rule of the standard? */
  get isLenient(): boolean {
    return this.form === FORMS.spiffe && !this.#id.isStrict;
  }

  /** Reads [start, end), and returns its FORMS. */
  parse(from: Uint8Array, start: number, end: number): number {
    this.#clear();
    if (this.#id.parse(from, start, end)) {
      this.form = FORMS.spiffe;
      this.#readPath(from);
    } else if (startsWith(from, start, end, ARN)) this.#parseArn(from, start, end);
    else this.#parseLinkerd(from, start, end);
    return this.form;
  }

  /** Is [start, end) a SPIFFE ID by all the rules, of a form that has a namespace, and without the scheme, as RBAC principals are written? */
  parseWithoutScheme(from: Uint8Array, start: number, end: number): boolean {
    this.#clear();
    if (!this.#id.parseWithoutScheme(from, start, end) || !this.#id.isStrict) return false;
    this.#readPath(from);
    if (this.namespaceStart === this.namespaceEnd) return false;
    this.form = FORMS.spiffe;
    return true;
  }

  #clear(): void {
    this.form = FORMS.other;
    this.isKubernetes = false;
    this.namespaceStart = this.namespaceEnd = this.accountStart = this.accountEnd = 0;
  }

  #setNamespace(start: number, end: number): void {
    this.namespaceStart = start;
    this.namespaceEnd = end;
  }

  #setAccount(start: number, end: number): void {
    this.accountStart = start;
    this.accountEnd = end;
  }

  /** The path of `#id`. */
  #readPath(from: Uint8Array): void {
    const id = this.#id;
    const { segmentCount } = id;
    if (segmentCount === 4 && id.is(from, 0, SEGMENT.ns) && id.is(from, 2, SEGMENT.sa))
      this.isKubernetes = this.#takeSegments(from, 1, 3);
    else if (segmentCount === 1 && id.isName(from, 0))
      this.#readService(from, id.startOf(0), id.pathEnd);
    else if (segmentCount === 6) this.#readConsul(from, 0);
    else if (segmentCount === 8 && id.is(from, 0, SEGMENT.ap)) this.#readConsul(from, 2);
  }

  /** The segments that hold the namespace and the account. False when one of them is empty, `.` or `..`. */
  #takeSegments(from: Uint8Array, namespace: number, account: number): boolean {
    const id = this.#id;
    if (!id.isName(from, namespace) || !id.isName(from, account)) return false;
    this.#setNamespace(id.startOf(namespace), id.endOf(namespace));
    this.#setAccount(id.startOf(account), id.endOf(account));
    return true;
  }

  #readConsul(from: Uint8Array, first: number): void {
    const id = this.#id;
    if (
      id.is(from, first, SEGMENT.ns) &&
      id.is(from, first + 2, SEGMENT.dc) &&
      id.is(from, first + 4, SEGMENT.svc)
    )
      this.#takeSegments(from, first + 1, first + 5);
  }

  /** Kuma's service: the whole segment is the account. */
  #readService(from: Uint8Array, start: number, end: number): void {
    this.#setAccount(start, end);
    let p = end;
    while (p > start && isDigit(from[p - 1]!)) p--;
    if (p < end && from[p - 1] === CHAR.underscore) p--;
    else p = end;
    const behind = p - KUMA_SERVICE.length;
    if (behind <= start || !equalsText(from, behind, p, KUMA_SERVICE)) return;
    // Names in Kubernetes hold no underscores.
    let namespace = behind;
    while (namespace > start && from[namespace - 1] !== CHAR.underscore) namespace--;
    if (namespace === start || namespace === behind) return;
    this.isKubernetes = true;
    this.#setNamespace(namespace, behind);
  }

  /** An account may have dots in its name, a namespace has none. */
  #parseLinkerd(from: Uint8Array, start: number, end: number): void {
    const mark = indexOfText(from, LINKERD, start, end);
    if (mark < 0 || mark + LINKERD.length === end) return;
    let namespace = mark;
    while (namespace > start && from[namespace - 1] !== CHAR.dot) namespace--;
    if (namespace === mark || namespace - 1 <= start) return;
    this.form = FORMS.dns;
    this.isKubernetes = true;
    this.#setNamespace(namespace, mark);
    this.#setAccount(start, namespace - 1);
  }

  /** `arn:partition:service:region:account:resource`. An AWS account bounds names as a namespace does, and a role is what a workload runs as. */
  #parseArn(from: Uint8Array, start: number, end: number): void {
    let account = start;
    for (let colons = 0; colons < 4; colons++) {
      account = indexOf(from, CHAR.colon, account, end) + 1;
      if (account === 0) return;
    }
    const accountEnd = indexOf(from, CHAR.colon, account, end);
    if (accountEnd < 0) return;
    this.form = FORMS.arn;
    this.#setNamespace(account, accountEnd);
    const resource = accountEnd + 1;
    if (startsWith(from, resource, end, ASSUMED_ROLE)) {
      const role = resource + ASSUMED_ROLE.length;
      const session = indexOf(from, CHAR.slash, role, end);
      this.#setAccount(role, session < 0 ? end : session);
    } else if (startsWith(from, resource, end, ROLE)) {
      let role = end;
      while (from[role - 1] !== CHAR.slash) role--;
      this.#setAccount(role, end);
    }
  }
}
