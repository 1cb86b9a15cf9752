/** Backups, and lines of data (`crates/agent/src/backups/views.rs`). */

export type BackupState = "ok" | "waiting" | "running" | "late" | "failed";

export interface BackupKeys {
  /** Public half of the owner's key (`age1...`); none before it was set. */
  owner: string | null;
  node: string;
  /** Key by which other Xnodes know this machine that lend it room; an agent of before says none. */
  guest?: string;
  /** Key by which other Xnodes know the owner, who reads alone there; none where nobody has told it. */
  reading?: string | null;
}

/** Room that another Xnode grants, as it was said last. */
export interface BackupRoom {
  all_bytes: number;
  /** Withheld objects too. */
  used_bytes: number;
  until: string | null;
}

export interface BackupTarget {
  name: string;
  place: string;
  /** None before the first backup. */
  repository: string | null;
  state: BackupState;
  cause: string | null;
  tended: string | null;
  /** None where nobody bounds it; an agent of before does not say. */
  room?: BackupRoom | null;
}

export interface Backup {
  id: string;
  application: string;
  target: string;
  node: string;
  generation: number;
  /** Place in the order of the machine's backups in that target; 0 where that is not known. */
  number: number;
  /** Moment of the data. */
  at: string;
  /** Volumes, with the bytes of their files. */
  volumes: Record<string, number>;
  bytes: number;
  stored_bytes: number | null;
  still_ms: number | null;
}

export interface Drill {
  backup: string;
  /** Moment of its data. */
  of: string;
  at: string;
  bytes: number;
  took_ms: number;
  /** None where the backup proved good. */
  fault: string | null;
}

export interface BackedApplication {
  name: string;
  target: string | null;
  state: BackupState;
  cause: string | null;
  next: string | null;
  last: Backup | null;
  drill_state: BackupState | null;
  drill_cause: string | null;
  next_drill: string | null;
  drill: Drill | null;
  awaits_last: boolean;
  /** First moment that has passed without a backup. */
  due_since: string | null;
  /** Moments that have passed without one; the next one makes up for all of them. */
  missed: number;
  /** In a row. */
  failures: number;
  again_in_ms: number | null;
}

export interface BackupJobEnd {
  at: string;
  ok: boolean;
  text: string;
  code: string | null;
  backup: string | null;
  generation: number | null;
  events: number | null;
}

export interface BackupJob {
  /** Its number since the agent began. */
  number: number;
  kind: "backup" | "drill" | "restore" | "machine" | "tend" | "describe" | "move";
  application: string | null;
  by: string;
  begun: string;
  phase: string;
  bytes: number;
  /** 0 before that is known. */
  all_bytes: number;
  ended: BackupJobEnd | null;
}

export interface BackupOverview {
  keys: BackupKeys;
  machine: string;
  targets: BackupTarget[];
  applications: BackedApplication[];
  jobs: BackupJob[];
}

/** A line of data of a volume. */
export interface DataLine {
  volume: string;
  number: number;
  in_use: boolean;
  parent: number | null;
  reason: string;
  by: string;
  at: string;
  /** It had traffic from outside, so that no machine removes it. */
  admitted: boolean;
}
