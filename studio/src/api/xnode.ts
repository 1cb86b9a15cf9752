/**
 * Answers of an Xnode's agent, field by field as its views have them (`crates/agent/src/views.rs` and the areas of
 * `crates/agent/src/api`). By hand: the agent is not in the contract of the node's gateway, from which the others are made.
 */

/** The machine. */
export interface XnodeInfo {
  /** Instance name of the agent. */
  agent: string;
  version: string;
  /** Name of the machine; empty before the first generation. */
  node: string;
  /** Number of the generation that serves; 0 before the first. */
  current: number;
  /** Number of the wanted generation; 0 before the first. */
  wanted: number;
  work: Work;
  memory_bytes: number;
  disk_free_bytes: number;
  /** Features that the kernel or the installed tools lack, each as `feature: remedy`. */
  lacks: string[];
}

/** Present work of the agent. */
export interface Work {
  state: WorkState;
  /** Step that is being done, in words. */
  step: string | null;
  /** Bytes of that step that are done, and all. */
  bytes: [number, number] | null;
  troubles: Trouble[];
  /** Last look at the machine. */
  looked_at: string | null;
}

export type WorkState = "begins" | "idle" | "works" | "rests" | "held";

/** Something that cannot go on now. */
export interface Trouble {
  /** None for the machine as a whole. */
  application: string | null;
  cause: string;
  /** 0 where trying again has no use. */
  attempts: number;
  again_in_ms: number | null;
}

export type ApplicationState =
  | "running"
  | "starting"
  | "stopped"
  | "crash_loop"
  | "frozen"
  | "ended"
  | "failed"
  | "held"
  | "leaving";

export interface Application {
  name: string;
  state: ApplicationState;
  /** Cause of a state that nobody wished. */
  cause: string | null;
  image: string | null;
  digest: string | null;
  revision: string | null;
  instances: Instance[];
  /** Ports: name, and place on the host where it is published (`127.0.0.1:8088/tcp`). */
  ports: Record<string, string | null>;
  /** Volumes: name, and id with line. */
  volumes: Record<string, string>;
}

export interface Instance {
  id: string;
  state: string;
  address: string;
  pid: number | null;
  restarts: number;
  admitted: boolean;
  last_end: string | null;
}

export interface Generation {
  number: number;
  parent: number;
  by: string;
  reason: string;
  at: string;
  portable: string;
  applications: string[];
  serves: boolean;
  is_wanted: boolean;
  /** Cause of its failure, where it came back by itself. */
  failed: string | null;
  /** Number of the generation that brought back what it changed. */
  returned_by: number | null;
}

/** A deployment that was taken, or would be. */
export interface Deployment {
  generation: number;
  /** Plan as a person reads it. */
  plan: string;
  steps: number;
  destroys: string[];
  /** Sequence of the history from which its events can be followed. */
  events: number;
}

/** A secret, without its value. */
export interface SecretInfo {
  name: string;
  version: number;
  at: string;
  used_by: Record<string, number>;
}

export type EventKind =
  | "wanted"
  | "begins"
  | "done"
  | "failed"
  | "held"
  | "serves"
  | "returned"
  | "rest"
  | "agent"
  | "secret";

export interface XnodeEvent {
  sequence: number;
  at: string;
  /** Of a later agent also another word. */
  kind: EventKind | (string & {});
  /** Generation that was wanted at that moment. */
  generation: number;
  application: string | null;
  text: string;
}

export interface LogLine {
  instance: string;
  /** Number in the instance's log. */
  sequence: number;
  at: string;
  /** `stdout`, `stderr`, or `shim` for words of the shim itself. */
  stream: string;
  text: string;
}
