/** The machine, its history, logs and secrets (`crates/agent/src/views.rs`). */
import type { Deployment } from "./applications";

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
  /** Parts of it that are in use; left out where the kernel does not say it, and by an agent of before. */
  in_use?: InUse;
  /** Its GPUs; left out where it has none, and by an agent of before. */
  gpus?: NodeGpu[];
  /** Features that the kernel or the installed tools lack, each as `feature: remedy`. */
  lacks: string[];
  /** Whoever emptied it, and why; left out where it takes deployments. */
  drained?: Drained;
  /** Document that a file gives it; left out where people alone deploy. */
  declared?: Declared;
}

/** A GPU of the machine (`crates/agent/src/api/gpus.rs`). */
export interface NodeGpu {
  /** Its address on the PCI bus. */
  address: string;
  vendor: "nvidia" | "amd" | "intel";
  model: string;
  /** Application whose instance has it, in words where it is another agent's; left out where it is free. */
  held_by?: string;
}

/** Parts of a machine that are in use, whoever uses them (`crates/xnode/src/in_use.rs`). */
export interface InUse {
  memory_bytes: number;
  /** Processors that are on. */
  processors: number;
  /** Processes that ran or waited, on average over the last minute, in thousandths. */
  load_milli: number;
  disk_bytes: number;
  disk_all_bytes: number;
}

/** Mark of a machine that is emptied (`crates/agent/src/drain.rs`). */
export interface Drained {
  by: string;
  reason: string;
  at: string;
  /** Applications that ran, and run again when it is undone. */
  applications: string[];
}

/** State of a document that is given by a file. */
export type DeclaredState = "begins" | "taken" | "differs" | "refused";

/** A document that is given by a file, as by the configuration of NixOS (`crates/agent/src/declared/state.rs`). */
export interface Declared {
  file: string;
  /** Name in which it is taken. */
  by: string;
  state: DeclaredState;
  /** SHA-256 of the document that the file has; `null` where it cannot be read. */
  document: string | null;
  /** Number of the generation in which a document of the file was taken last; `null` before the first. */
  generation: number | null;
  /** Cause where it is not what the machine has. */
  cause: string | null;
  remedy: string | null;
}

export interface DrainView {
  drained: Drained | null;
  /** The change by which applications stop or start; none where nothing was to be changed. */
  deployment: Deployment | null;
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
  | "secret"
  | "found"
  | "over"
  | "repaired"
  | "restart"
  | "restarted";

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
