import { expect, it } from "vitest";
import type { LogLine } from "../api/xnode";
import { CHARS_KEPT_MAX, EMPTY_LOG, LINES_KEPT_MAX, marked, plainText, withLines } from "./logWindow";

const line = (sequence: number, instance = "r1/0"): LogLine => ({
  instance,
  sequence,
  at: `2026-11-29T10:00:00.${String(sequence).padStart(6, "0")}Z`,
  stream: "stdout",
  text: `line ${sequence}`,
});
const sequences = (...from: number[]) => from.map((each) => line(each));

it("shows each line once, also when a stream begins again before where it broke off", () => {
  let window = withLines(EMPTY_LOG, sequences(7, 8, 9), true);
  window = withLines(window, sequences(8, 9, 10), true);
  expect(window.entries.map((entry) => (entry.kind === "line" ? entry.line.sequence : "gap"))).toEqual([
    7, 8, 9, 10,
  ]);
  expect(window.newest).toBe(Date.parse("2026-11-29T10:00:00Z"));
  // Nothing new is no change: nothing is drawn again.
  expect(withLines(window, sequences(9, 10), true)).toBe(window);
});

it("counts the lines of each instance by themselves", () => {
  const window = withLines(EMPTY_LOG, [line(5), line(1, "r1/1"), line(6), line(2, "r1/1")], true);
  expect(window.entries).toHaveLength(4);
  expect(window.seen).toEqual({ "r1/0": 6, "r1/1": 2 });
});

it("says where lines are missing, unless a filter leaves them out", () => {
  const before = withLines(EMPTY_LOG, sequences(3), true);
  expect(withLines(before, sequences(8), true).entries[1]).toEqual({
    kind: "gap",
    instance: "r1/0",
    before: 8,
    lines: 4,
  });
  expect(withLines(before, sequences(8), false).entries).toHaveLength(2);
});

it("keeps a bounded number of lines, and says how many went", () => {
  const many = Array.from({ length: LINES_KEPT_MAX + 5 }, (_, at) => line(at + 1));
  const window = withLines(EMPTY_LOG, many, true);
  expect([window.entries.length, window.left]).toEqual([LINES_KEPT_MAX, 5]);
});

it("marks a word whatever its case", () => {
  expect(marked("Error: no error", "ERROR")).toEqual([
    { text: "Error", hit: true },
    { text: ": no ", hit: false },
    { text: "error", hit: true },
  ]);
  expect(marked("aaa", "aa")).toEqual([
    { text: "aa", hit: true },
    { text: "a", hit: false },
  ]);
  expect(marked("", "x")).toEqual([{ text: "", hit: false }]);
  expect(marked("İx", "x")).toEqual([{ text: "İx", hit: false }]);
});

it("takes the colours of a terminal out of a line", () => {
  expect(plainText("\x1b[1;31mred\x1b[0m and \x1b]0;title\x07plain")).toBe("red and plain");
  expect(plainText("[31m is only text")).toBe("[31m is only text");
});

it("keeps a bounded number of characters, and always the newest line", () => {
  const long = (sequence: number, chars: number): LogLine => ({ ...line(sequence), text: "x".repeat(chars) });
  const window = withLines(
    EMPTY_LOG,
    [1, 2, 3, 4, 5].map((n) => long(n, CHARS_KEPT_MAX / 4)),
    true,
  );
  expect([window.entries.length, window.left]).toEqual([4, 1]);
  expect(withLines(window, [long(6, CHARS_KEPT_MAX * 2)], true).entries).toHaveLength(1);
});

it("shows what would make a line look like another one", () => {
  expect(plainText("ok\u202egpj.exe\u202c")).toBe("ok<U+202E>gpj.exe<U+202C>");
  expect(plainText("10 %\r20 %\r")).toBe("10 %\u240d20 %");
  expect(plainText("a\tb\x00\x7f\x9b31m")).toBe("a\tb\u2400\u2421<U+009B>31m");
  expect(plainText("an ESC \x1b alone")).toBe("an ESC \u241b alone");
  expect(plainText("<script>alert(1)</script>")).toBe("<script>alert(1)</script>");
});
