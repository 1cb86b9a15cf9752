/** The lines of a log that are on the page: bounded, each once, and with every gap said. */
import type { LogLine } from "../api/xnode";
import { instant } from "./format";

/** Lines that are kept: more than anybody scrolls through, and a page with them still scrolls at once. */
export const LINES_KEPT_MAX = 2_000;
/** Characters that are kept: five times what that many usual lines have. Lines of 16 KiB would else fill a page with 32 MB. */
export const CHARS_KEPT_MAX = 1_000_000;

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
  const over = excessOf(all);
  return { entries: all.slice(over), seen, left: window.left + over, newest };
}

/** How many of the oldest entries have to go; the newest one always stays. */
function excessOf(all: readonly LogEntry[]): number {
  let chars = 0;
  let from = all.length;
  while (from > 0 && all.length - from < LINES_KEPT_MAX) {
    const entry = all[from - 1];
    chars += entry?.kind === "line" ? entry.line.text.length : 0;
    if (chars > CHARS_KEPT_MAX && from < all.length) break;
    from -= 1;
  }
  return from;
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

/* eslint-disable no-control-regex -- these are what is looked for */
const COMMANDS = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])/g;
/** Control characters but tabs, and those that turn the direction in which others are written. */
const UNSEEN = /[\x00-\x08\x0a-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/* eslint-enable no-control-regex */

/**
 * A line of a log as text: colours and other commands of terminals are taken out, and characters that cannot be seen are
 * shown as what they are, so that no line looks like another one.
 */
export const plainText = (text: string): string =>
  text.replace(COMMANDS, "").replace(/\r$/, "").replace(UNSEEN, pictureOf);

function pictureOf(char: string): string {
  const code = char.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  return code === 0x7f ? "\u2421" : `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}
