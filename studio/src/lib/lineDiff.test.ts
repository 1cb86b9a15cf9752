import { expect, it } from "vitest";
import { around, diffLines, differs, type DiffLine } from "./lineDiff";

const marks = { same: " ", removed: "-", added: "+" };
const printed = (before: string, after: string) =>
  diffLines(before, after).map(({ kind, text }) => marks[kind] + text);

it("finds what was changed, taken out and put in", () => {
  expect(printed("a\nb\nc\nd\n", "a\nx\nc\nd\ne\n")).toEqual([" a", "-b", "+x", " c", " d", "+e"]);
  expect(printed("a\n", "a\n")).toEqual([" a"]);
  expect(printed("", "a\nb\n")).toEqual(["+a", "+b"]);
  expect(printed("a\nb\n", "")).toEqual(["-a", "-b"]);
});

it("numbers the lines of both texts", () => {
  expect(diffLines("a\nb\nc", "b\nc\nd").map(({ before, after }) => [before, after])).toEqual([
    [1, null],
    [2, 1],
    [3, 2],
    [null, 3],
  ]);
});

/** A small generator with a seed, so that a failure can be seen again. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x80000000;
  };
}

it("gives back both texts, whatever they are", () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const next = numbers(seed);
    const text = () =>
      Array.from({ length: Math.floor(next() * 12) }, () => "abcd"[Math.floor(next() * 4)] ?? "a");
    const [before, after] = [text(), text()];
    const lines = diffLines(before.join("\n"), after.join("\n"));
    const side = (without: DiffLine["kind"]) =>
      lines.filter(({ kind }) => kind !== without).map(({ text }) => text);
    expect([side("added"), side("removed")], `seed ${seed}`).toEqual([before, after]);
    expect(differs(lines)).toBe(before.join() !== after.join());
  }
});

it("shows texts without any common size as blocks", () => {
  const many = (word: string) => Array.from({ length: 2_100 }, (_, at) => `${word}${at}`).join("\n");
  const lines = diffLines(many("a"), many("b"));
  expect(lines).toHaveLength(4_200);
  expect(lines[0]?.kind).toBe("removed");
  expect(lines.at(-1)?.kind).toBe("added");
});

it("leaves out what is far from any change, and says how much", () => {
  const before = Array.from({ length: 20 }, (_, at) => `line ${at}`).join("\n");
  const rows = around(diffLines(before, before.replace("line 10", "changed")), 2);
  expect(rows.map((row) => (row.kind === "left out" ? row.lines : row.kind))).toEqual([
    8,
    "same",
    "same",
    "removed",
    "added",
    "same",
    "same",
    7,
  ]);
});
