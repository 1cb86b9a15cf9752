/** The lines of a log that are on the page: bounded, each once, and with every gap said. */
import type { LogLine } from "../api/xnode";
import { instant } from "./format";

/** Lines that are kept: more than anybody scrolls through, and a page with them still scrolls at once. */
export const LINES_KEPT_MAX = 2_000;

export type LogEntry =
  | { kind: "line"; line: LogLine }
  /** Lines of an instance that did not come. */
  | { kind: "gap"; instance: string; before: number; lines: number };

export interface LogWindow {
  entries: readonly LogEntry[];
  /** Last number that was seen of each instance. */
  seen: Readonly<Record<string, number>>;
  /** Entries that had to go for newer ones. */
  left: number;
  /** Moment of the newest line in milliseconds since 1970, from which on is asked again. */
  newest: number | null;
}

export const EMPTY_LOG: LogWindow = { entries: [], seen: {}, left: 0, newest: null };

/**
 * A window with more lines. What was seen is left out, so that a stream may begin again before where it broke off.
 * `isWhole`: no filter is on, so that numbers follow each other; a jump is then a gap.
 */
export function withLines(window: LogWindow, lines: readonly LogLine[], isWhole: boolean): LogWindow {
  const seen = { ...window.seen };
  const added: LogEntry[] = [];
  let { newest } = window;
  for (const line of lines) {
    const last = seen[line.instance];
    if (last !== undefined && line.sequence <= last) continue;
    if (isWhole && last !== undefined && line.sequence > last + 1)
      added.push({
        kind: "gap",
        instance: line.instance,
        before: line.sequence,
        lines: line.sequence - last - 1,
      });
    seen[line.instance] = line.sequence;
    added.push({ kind: "line", line });
    newest = Math.max(newest ?? 0, instant(line.at) ?? 0);
  }
  if (added.length === 0) return window;
  const all = [...window.entries, ...added];
  const over = Math.max(0, all.length - LINES_KEPT_MAX);
  return { entries: all.slice(over), seen, left: window.left + over, newest };
}

/** A text cut where a word is found, whatever its case: parts that match and parts that do not, in turn. */
export function marked(text: string, word: string): { text: string; hit: boolean }[] {
  if (word === "") return [{ text, hit: false }];
  const parts: { text: string; hit: boolean }[] = [];
  const [low, wanted] = [text.toLowerCase(), word.toLowerCase()];
  // Where lower case has another length (as of İ), places of the one are not those of the other.
  if (low.length !== text.length) return [{ text, hit: false }];
  let from = 0;
  for (let at = low.indexOf(wanted); at >= 0; at = low.indexOf(wanted, from)) {
    if (at > from) parts.push({ text: text.slice(from, at), hit: false });
    parts.push({ text: text.slice(at, at + wanted.length), hit: true });
    from = at + wanted.length;
  }
  if (from < text.length || parts.length === 0) parts.push({ text: text.slice(from), hit: false });
  return parts;
}

/** Colours and other commands of terminals, taken out: a log is text here. */
export const plainText = (text: string): string =>
  // eslint-disable-next-line no-control-regex -- these are what is looked for
  text.replace(/\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g, "");
