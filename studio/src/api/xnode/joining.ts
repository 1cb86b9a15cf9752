/** Machines that join (`crates/agent/src/machines/views.rs`, `crates/access/src/views.rs`). */

/** A machine's word on itself. */
export interface MachineReport {
  name: string;
  version: string;
  /** Address of its own Studio; none where it has no name with TLS. */
  url: string | null;
  at: string;
  work: string;
  processors: number;
  load_milli: number;
  memory_bytes: number;
  memory_used_bytes: number;
  disk_bytes: number;
  disk_used_bytes: number;
  applications: number;
  running: number;
  troubled: { name: string; state: string }[];
  critical: number;
  warnings: number;
}

export type MachineState = "arrives" | "here" | "silent";

/** A machine that has joined this one. */
export interface JoinedMachine {
  id: string;
  name: string;
  owner: string;
  joined: string;
  state: MachineState;
  /** Last report, also of before this agent began; none where there was none. */
  heard: string | null;
  from: string | null;
  /** Time by which its clock was ahead of this machine's. */
  clock_ms: number | null;
  report: MachineReport | null;
}

export interface MachineList {
  own: MachineReport;
  machines: JoinedMachine[];
}

export type InvitationState = "open" | "used" | "expired" | "revoked";

export interface Invitation {
  id: string;
  state: InvitationState;
  owner: string;
  by: string;
  made: string;
  left_ms: number;
  /** Number of the machine that has joined by it. */
  machine: string | null;
}

export interface InvitationWish {
  lasts_ms: number | null;
  at: string | null;
}

/** An invitation that was made: its line is told this once. */
export interface MadeInvitation {
  line: string;
  /** The line as it is pasted into a terminal of the other machine. */
  command: string;
  at: string;
  /** Reason for which this machine may not be reached there now. */
  remark: string | null;
  entry: Invitation;
}

/** This machine with regard to another Xnode. */
export interface JoinInfo {
  state: "alone" | "asks" | "joined" | "removed";
  at: string | null;
  node: string | null;
  id: string | null;
  owner: string | null;
  since: string | null;
  told: string | null;
  clock_ms: number | null;
  trouble: string | null;
}
