/** Machines that join: words and figures of them, and wishes for invitations. */
import type { InvitationWish, JoinedMachine, MachineReport, MachineState } from "../api/xnode";

type Tone = "plain" | "good" | "warn" | "bad";

/** Difference of two clocks that people should know of: certificates and signed messages need right ones. */
const CLOCK_MS = 60_000;

const STATES: Record<MachineState, { tone: Tone; words: string; title: string }> = {
  arrives: {
    tone: "plain",
    words: "arrives",
    title: "Nothing was heard of it since it joined, or since this agent began, less than a minute ago",
  },
  here: { tone: "good", words: "here", title: "It reports" },
  silent: {
    tone: "bad",
    words: "silent",
    title: "It has not reported for a minute: it is off, or does not reach this one",
  },
};

/** The state of a machine; one of a later agent stands by its own word. */
export const machineState = (state: string): { tone: Tone; words: string; title: string } =>
  (STATES as Record<string, { tone: Tone; words: string; title: string } | undefined>)[state] ?? {
    tone: "plain",
    words: state.replaceAll("_", " "),
    title: "",
  };

/** A row of the list: this machine, or one that has joined. */
export interface MachineRow {
  id: string | null;
  name: string;
  state: MachineState;
  report: MachineReport | null;
  machine: JoinedMachine | null;
}

/** This machine first, then the others: those in trouble before those that are not, then by name. */
export function rowsOf(own: MachineReport, machines: readonly JoinedMachine[]): MachineRow[] {
  const rows = machines.map((machine): MachineRow => {
    const { id, name, state, report } = machine;
    return { id, name, state, report, machine };
  });
  const rank = ({ state, report }: MachineRow) =>
    state === "silent" ? 0 : (report?.critical ?? 0) > 0 ? 1 : (report?.troubled.length ?? 0) > 0 ? 2 : 3;
  rows.sort((one, other) => rank(one) - rank(other) || one.name.localeCompare(other.name));
  return [{ id: null, name: own.name, state: "here", report: own, machine: null }, ...rows];
}

/** A share between 0 and 1; none where the whole is not known. */
export const shareOf = (used: number, all: number): number | null =>
  all > 0 ? Math.min(1, Math.max(0, used / all)) : null;

/** Words on a clock that is wrong, by how far that machine's is ahead of this one's; nothing where it is right. */
export function clockWords(ms: number | null): string | null {
  if (ms === null || Math.abs(ms) < CLOCK_MS) return null;
  const seconds = Math.round(Math.abs(ms) / 1_000);
  const minutes = Math.round(seconds / 60);
  const long =
    seconds < 600 ? `${seconds} s` : minutes < 600 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
  return `its clock is ${long} ${ms > 0 ? "ahead of" : "behind"} this machine's`;
}

/** Lives of an invitation that the page offers, milliseconds. */
export const LIVES: readonly { ms: number; words: string }[] = [
  { ms: 15 * 60_000, words: "15 minutes" },
  { ms: 3_600_000, words: "an hour" },
  { ms: 86_400_000, words: "a day" },
  { ms: 7 * 86_400_000, words: "7 days" },
];
export const USUAL_LIFE_MS = 3_600_000;

/** The wish of a form, or what is wrong with its address. The agent has the last word. */
export function readInvitation(lastsMs: number, at: string): { wish: InvitationWish } | { wrong: string } {
  const written = at.trim();
  if (written === "") return { wish: { lasts_ms: lastsMs, at: null } };
  let url: URL;
  try {
    url = new URL(written);
  } catch {
    return { wrong: "This is no address; `https://xnode.lan` is one." };
  }
  const isLoopback = ["localhost", "127.0.0.1", "[::1]"].includes(url.hostname);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopback))
    return { wrong: "The line is a secret, and goes over TLS alone: write https." };
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "")
    return { wrong: "The address of an Xnode has a name and perhaps a port, and nothing more." };
  return { wish: { lasts_ms: lastsMs, at: written } };
}
