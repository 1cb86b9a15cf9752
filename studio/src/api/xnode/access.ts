/** Access, and the audit log (`crates/access/src/views.rs`, `crates/access/src/audit/record.rs`). */

export type Role = "viewer" | "operator" | "admin" | "owner";

export interface AccessNonce {
  nonce: string;
  lasts_ms: number;
  /** The machine's clock. */
  at: string;
  domain: string;
  /** What a message of sign-in says to the person, to the letter. */
  statement: string;
  chain_id: number;
  /** False where nobody owns this Xnode yet: the first sign-in then needs a code that root has. */
  owned: boolean;
}

export interface Me {
  who: string;
  role: Role;
  /** Roles of one's own that narrow it. */
  only?: string[];
  from: string;
  id: string | null;
}

export interface SignedIn {
  /** Told this once. */
  token: string;
  id: string;
  wallet: string;
  role: Role;
  lasts_ms: number;
  idle_ms: number;
}

export interface AccessSession {
  id: string;
  wallet: string;
  role: Role;
  from: string;
  made: string;
  /** To the minute. */
  used: string;
  left_ms: number;
  /** Requests and streams that are open now. */
  open: number;
  current: boolean;
}

export interface Member {
  wallet: string;
  role: Role;
  /** Role of one's own that narrows theirs. */
  only?: string | null;
  name: string | null;
  since: string;
  by: string;
  sessions: number;
}

/** A change of members that is made, and of which the door does not know yet. */
export interface Untaken {
  cause: string;
}

/** A role of one's own: of what `of` may, whatever one of the rights fits. */
export interface OwnRole {
  name: string;
  of: Role;
  /** Each a method or `*`, and a path with `*` for one part and `**` at its end for everything below. */
  rights: string[];
  since: string;
  by: string;
  /** Members and keys that have it. */
  used: number;
}

export interface ApiKey {
  id: string;
  name: string;
  role: Role;
  /** Role of one's own that narrows it, beside that of its maker. */
  only?: string | null;
  maker: string | null;
  made: string;
  /** 0 where it is over, none where it has no end. */
  left_ms: number | null;
  used: string | null;
}

export interface MadeKey {
  /** Told this once. */
  key: string;
  entry: ApiKey;
}

export interface AuditRecord {
  sequence: number;
  at: string;
  kind: "file" | "torn" | "begun" | "ended" | "refused";
  who?: string;
  role?: Role;
  from?: string;
  method?: string;
  path?: string;
  /** Number of the record with which it began. */
  of?: number;
  status?: number;
  code?: string;
  /** Refusals before this one that were too many to be recorded. */
  unrecorded?: number;
  /** Number of the file that begins. */
  file?: number;
  /** Bytes of the line that was cut, and its hash. */
  bytes?: number;
  cut?: string;
  /** Hash of the record before. */
  previous: string;
}

/** Result of a check of the audit log. */
export interface AuditReport {
  files: number;
  records: number;
  /** Number of the first record that is kept; 0 where there is none. */
  first: number;
  /** Last record that holds: noted elsewhere, it shows later that nothing before it was changed. */
  head: { sequence: number; hash: string };
  /** Bytes of a last line that was cut before it was whole. */
  torn_bytes: number | null;
  cuts: number;
  /** None where everything holds. */
  broken: { file: number; line: number; reason: string } | null;
}
