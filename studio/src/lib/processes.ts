/** Processes of an application as rows of a list: chosen, in an order, and in words. */
import type { AppProcess } from "../api/xnode";

export const ORDERS = ["cpu", "memory", "threads", "started", "pid", "name"] as const;
export type Order = (typeof ORDERS)[number];

export const ORDER_WORDS: Record<Order, string> = {
  cpu: "Busiest first",
  memory: "Largest first",
  threads: "Most threads first",
  started: "Oldest first",
  pid: "By number",
  name: "By name",
};

/** Order of two texts by their code units: the same wherever the browser is. */
const byText = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

const COMPARE: Record<Order, (one: AppProcess, other: AppProcess) => number> = {
  cpu: (one, other) => other.processors_milli - one.processors_milli,
  memory: (one, other) => other.memory_bytes - one.memory_bytes,
  threads: (one, other) => other.threads - one.threads,
  started: (one, other) => Number(one.started) - Number(other.started),
  pid: () => 0,
  name: (one, other) => byText(one.name, other.name),
};

/** The command line in one line; a name in brackets where there is none. */
export const commandOf = ({ command, name, is_cut: isCut }: AppProcess): string =>
  command.length === 0 ? `[${name}]` : `${command.join(" ")}${isCut ? " …" : ""}`;

/** Those with a text in their name or arguments, of one owner where it is named, in an order; equal ones by number. */
export function processesOf(
  all: readonly AppProcess[],
  { text, of, order }: { text: string; of: string; order: Order },
): AppProcess[] {
  const wanted = text.trim().toLowerCase();
  return all
    .filter((process) => of === "" || process.of === of)
    .filter((process) => `${process.name} ${process.command.join(" ")}`.toLowerCase().includes(wanted))
    .sort((one, other) => COMPARE[order](one, other) || one.pid - other.pid);
}

/** Instances and runs of jobs that have processes. */
export const ownersOf = (all: readonly AppProcess[]): string[] =>
  [...new Set(all.map(({ of }) => of))].sort(byText);

/** A share of a processor: `150.3 %` is one and a half. */
export const shareWords = (milli: number): string => `${(milli / 10).toFixed(1)} %`;
