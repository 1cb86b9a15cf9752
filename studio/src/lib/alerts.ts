/** Words for alerts. */
import type { Alert } from "../api/xnode";

type Tone = "plain" | "warn" | "bad";

const SEVERITIES: Record<string, { tone: Tone; words: string } | undefined> = {
  critical: { tone: "bad", words: "now" },
  warning: { tone: "warn", words: "soon" },
  info: { tone: "plain", words: "to know" },
};

/** How soon somebody should look at it; a severity of a later agent stands by its own word. */
export const severityOf = (severity: string): { tone: Tone; words: string } =>
  SEVERITIES[severity] ?? { tone: "warn", words: severity.replaceAll("_", " ") };

const KINDS: Record<string, string | undefined> = {
  down: "down",
  machine: "the machine does not get there",
  backup_late: "backup late",
  backup_failed: "backup failed",
  drill_failed: "drill failed",
  backup_target: "place for backups",
  volume_full: "volume nearly full",
  out_of_memory: "out of memory",
  disk: "disk nearly full",
  certificate: "certificate ends",
  lender: "room for others",
  loan_full: "loan nearly full",
  loan_ends: "loan ends",
  update: "update",
  move: "move waits",
  silent: "machine is silent",
};
export const alertWords = (kind: string): string => KINDS[kind] ?? kind.replaceAll("_", " ");

/** Alerts that nobody knows of yet, in words for a line that is always there; `null` where there is none. */
export function unknownAlerts(open: readonly Alert[]): { tone: Tone; words: string } | null {
  const unknown = open.filter(({ acknowledged }) => acknowledged === null);
  const [first] = unknown;
  if (!first) return null;
  // The most severe stands first.
  const words = unknown.length === 1 ? "1 alert" : `${unknown.length} alerts`;
  return { tone: severityOf(first.severity).tone, words };
}
