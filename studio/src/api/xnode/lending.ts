/** Room for others (`crates/agent/src/lending/views.rs`). */

export type LoanStanding = "lent" | "over" | "ended" | "going";

/** Room that is lent to the backups of another machine. */
export interface Loan {
  name: string;
  /** Public keys of the guest's machines. */
  keys: string[];
  /** Public keys of the guest's owner, who reads alone. */
  readers?: string[];
  room_bytes: number;
  used_bytes: number;
  /** Of what the guest removed, which is withheld for some days. */
  held_bytes: number;
  objects: number;
  /** Moment after which nothing new is taken; none where it has no end. */
  until: string | null;
  held_days: number;
  standing: LoanStanding;
  connections: number;
  /** Last request of the guest since the lender began. */
  seen: string | null;
  trouble: string | null;
  /** What the guest has removed is being brought back. */
  brings_back: boolean;
  by: string;
  at: string;
}

export interface Lending {
  /** Key by which guests know this machine. */
  key: string;
  listens: string[];
  troubles: string[];
  /** The kernel keeps the lender from everything but its folders and its port; none while it does not run. */
  shut: boolean | null;
  disk_free_bytes: number | null;
  loans: Loan[];
}

export interface LoanWish {
  keys: string[];
  readers: string[];
  room_bytes: number;
  until: string | null;
  held_days: number | null;
}
