/** Applications, and the generations in which they are deployed (`crates/agent/src/views.rs`). */
import type { DeploymentCost } from "./costs";
import type { UsageCondition } from "./inside";

export type ApplicationState =
  "running" | "starting" | "stopped" | "crash_loop" | "frozen" | "ended" | "failed" | "held" | "leaving";

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
  /** The last version that was wanted for it has failed, and nothing was wanted since; left out where none has. */
  returned?: Returned;
  /** Last time that its instances were asked to be started anew, without a new version; left out where nobody did. */
  restart?: Restart;
  /** With their figures; nothing is restarted for one. An agent of before has none. */
  conditions?: UsageCondition[];
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

/** A version of an application that failed, and what serves in its place. */
export interface Returned {
  generation: number;
  /** The test that failed, with its last answer, or the last words of the version. */
  cause: string;
  returned_by: number;
  serves: number;
}

/** A restart of an application that was asked for. */
export interface Restart {
  /** From 1: so many were asked for since the application is there. */
  number: number;
  by: string;
  reason: string;
  at: string;
  /** Instances that are still to be started. */
  left: string[];
  /** All of its instances run anew, with their traffic. */
  is_over: boolean;
}

/** A restart that was taken. */
export interface Restarting {
  application: string;
  number: number;
  instances: string[];
  /** One instance after another, or all at once while requests wait at the door. */
  way: "rolling" | "held";
  /** Sequence of the history from which its events can be followed. */
  events: number;
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
  /** Number of the wanted generation that it follows; 0 for the first. */
  after: number;
  /** Applications that it changes. */
  applications: string[];
  /** Plan as a person reads it. */
  plan: string;
  steps: number;
  destroys: string[];
  loses_data: boolean;
  /** Sequence of the history from which its events can be followed. */
  events: number;
  /** Costs that it comes to; none where its document has no prices. */
  cost?: DeploymentCost;
}
