import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parse } from "yaml";

export const DOCKER = resolve(import.meta.dirname, "../../docker");

/** A file of docker/. */
export function readShipped(path: string): string {
  return readFileSync(join(DOCKER, path), "utf8");
}

export interface FileMount {
  readonly source: string;
  readonly target: string;
}
export interface Service {
  readonly image: string;
  readonly pull_policy?: string;
  readonly build?: { context: string; dockerfile: string; target: string };
  readonly user?: string;
  readonly entrypoint?: string[];
  readonly command?: string[];
  readonly environment?: Record<string, string>;
  readonly configs?: FileMount[];
  readonly secrets?: (string | FileMount)[];
  readonly volumes?: (
    | string
    | { type: string; source: string; target: string; read_only?: boolean }
  )[];
  readonly ports?: string[];
  readonly networks?: string[];
  readonly network_mode?: string;
  readonly depends_on?: Record<string, { condition: string; restart?: boolean }>;
  readonly healthcheck?: { test?: string[]; disable?: boolean };
  readonly read_only?: boolean;
  readonly cap_drop?: string[];
  readonly cap_add?: string[];
  readonly privileged?: boolean;
  readonly security_opt?: string[];
  readonly stop_grace_period?: string;
  readonly deploy: { resources: { limits: { cpus: string; memory: string; pids: number } } };
}
export interface Compose {
  readonly services: Record<string, Service>;
  readonly networks: Record<string, { internal?: boolean }>;
  readonly volumes: Record<string, unknown>;
  readonly configs: Record<string, { file: string }>;
  readonly secrets: Record<string, { file: string }>;
}

/** docker/compose.yaml, its anchors merged. */
export const compose = parse(readShipped("compose.yaml"), { merge: true }) as Compose;
export const services = Object.entries(compose.services);
/** The image that is built here. */
export const OURS = "meshproof:0.1.0";
/** The files that a service is given: where it sees each, and where it lies below docker/. */
export const mounted = ({ secrets = [], configs = [] }: Service): Map<string, string> =>
  new Map([
    ...secrets.map((one): [string, string] =>
      typeof one === "string"
        ? [`/run/secrets/${one}`, compose.secrets[one]!.file]
        : [one.target, compose.secrets[one.source]!.file],
    ),
    ...configs.map(({ source, target }): [string, string] => [
      target,
      compose.configs[source]!.file,
    ]),
  ]);
