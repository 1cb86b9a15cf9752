/** Inside of applications: programs, jobs, use, processes, files (`crates/agent/src/api`, a file for each of them). */

/** A process that is asked for; a shell at a terminal without a command. */
export interface Exec {
  command?: string[];
  folder?: string;
  instance?: string;
  /** Columns and rows. */
  terminal?: [number, number];
}

/** What a process does, one of these. */
export interface ExecEvent {
  started?: { instance: string };
  line?: { stream: string; text: string };
  ended?: { code: number };
  refused?: { reason: string };
}

export interface JobRun {
  number: number;
  occasion: "switch" | "schedule" | "demand";
  by: string;
  revision: string;
  at: string;
  is_running: boolean;
  code: number | null;
  words: string | null;
  lasted_ms: number | null;
}

export interface AppJob {
  name: string;
  command: string[];
  occasion: "switch" | "schedule" | "demand";
  schedule: string | null;
  next: string | null;
  timeout_ms: number;
  /** The newest first. */
  runs: JobRun[];
}

/** Use in one step. */
export interface UsagePoint {
  /** Begin of the step. */
  at: string;
  processors_milli: number;
  throttled_permille: number;
  memory_bytes: number;
  /** 0 without one. */
  memory_limit_bytes: number;
  processes: number;
  pressure_cpu_permille: number;
  pressure_memory_permille: number;
  pressure_io_permille: number;
  disk_used_bytes: number;
  disk_bytes: number;
  disk_fullest_permille: number;
  received_bits: number;
  sent_bits: number;
  oom_kills: number;
}

export interface UsageCondition {
  /** `throttled`, `out_of_memory` or `disk_full`. */
  kind: string;
  /** Number of the instance. */
  index: number;
  text: string;
}

export interface Usage {
  from: string;
  to: string;
  /** Time of one point, seconds. */
  step_s: number;
  /** A new version goes on where the one before ended. */
  instances: { index: number; points: UsagePoint[] }[];
  /** Conditions at this moment. */
  conditions: UsageCondition[];
}

export type ProcessState = "running" | "sleeping" | "waiting" | "stopped" | "traced" | "frozen" | "ended";

export interface AppProcess {
  /** Its instance, or `job NAME run NUMBER`. */
  of: string;
  /** On the host. */
  pid: number;
  pid_inside: number | null;
  parent: number;
  /** None where it is outside. */
  parent_inside: number | null;
  /** As inside; none where it is none of the application's. */
  user: number | null;
  name: string;
  /** Of a later agent also another word. */
  state: ProcessState | (string & {});
  started: string;
  /** Thousandths of a processor over `over_ms`: since an earlier look, or since its begin. */
  processors_milli: number;
  over_ms: number;
  cpu_ms: number;
  memory_bytes: number;
  /** Shared pages are divided among those who have them; else they count as a whole. */
  is_share: boolean;
  threads: number;
  /** Values of secrets are left out of it. */
  command: string[];
  /** It has more arguments than are shown. */
  is_cut: boolean;
}

export interface ProcessList {
  at: string;
  processes: AppProcess[];
  /** Beyond the limit of an answer, or of what is read at once. */
  left_out: number;
}

/** Places with an application's files. */
export interface FilePlaces {
  volumes: FileVolume[];
  /** Instance whose root is read; none where no instance is there. */
  root: string | null;
  /** Nothing can be changed now: another generation is on its way. */
  is_switching: boolean;
}

export interface FileVolume {
  name: string;
  /** Line in use. */
  line: number;
  /** Reason for which it cannot be looked at. */
  cause: string | null;
  bytes: number | null;
  bytes_free: number | null;
}

export interface FileFolder {
  /** First entries, sorted by name. */
  entries: FileEntry[];
  /** There are more than fit into an answer. */
  more: boolean;
}

export interface FileEntry {
  /** What is no plain text in it stands as `\xNN`, as in paths. */
  name: string;
  kind: "file" | "folder" | "link" | "other";
  /** 0 of everything but files. */
  bytes: number;
  mode: number;
  /** As inside; none where it is none of the application's. */
  user: number | null;
  group: number | null;
  modified: string;
  /** Target of a link, which is not followed. */
  target: string | null;
  /** Of a file, for `If-Match`. */
  tag: string | null;
}
