/** Alerts (`crates/agent/src/alerts/views.rs`). */

export type AlertSeverity = "info" | "warning" | "critical";

export type AlertKind =
  | "down"
  | "machine"
  | "backup_late"
  | "backup_failed"
  | "drill_failed"
  | "backup_target"
  | "volume_full"
  | "out_of_memory"
  | "disk"
  | "certificate"
  | "lender"
  | "loan_full"
  | "loan_ends"
  | "update"
  | "move"
  | "silent";

export interface Alert {
  id: number;
  /** Of a later agent also another word. */
  kind: AlertKind | (string & {});
  /** None for the machine. */
  application: string | null;
  /** Which one of several: a place for backups, a name of a certificate, an instance. */
  subject: string | null;
  severity: AlertSeverity | (string & {});
  cause: string;
  /** What helps. */
  remedy: string;
  /** Moment at which it was first seen. */
  begin: string;
  /** Moment at which it had lasted long enough. */
  opened: string;
  /** None while it is open. */
  closed: string | null;
  /** Somebody knows of it. */
  acknowledged: { by: string; at: string } | null;
}

export interface DroppedMessage {
  webhook: string;
  /** Number of the alert. */
  alert: number;
  event: "opened" | "raised" | "closed" | "test";
  at: string;
  cause: string;
}

export interface WebhookState {
  name: string;
  /** Scheme and host of its address; none where it cannot be used. The rest of an address may be a key. */
  host: string | null;
  cause: string | null;
  waiting: number;
  last_failure: string | null;
}

export interface Alerts {
  /** The most severe first, and the newest of these first. */
  open: Alert[];
  /** The newest first. */
  closed: Alert[];
  webhooks: WebhookState[];
  /** Messages that were given up, the newest first. */
  dropped: DroppedMessage[];
  dropped_count: number;
  /** Findings for which no alert was opened, since too many are open. */
  suppressed: number;
}

export interface WebhookTest {
  webhook: string;
  taken: boolean;
  cause: string | null;
}
