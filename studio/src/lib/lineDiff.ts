/** Differences of two texts by line. */

export interface DiffLine {
  kind: "same" | "removed" | "added";
  /** Line numbers from 1, before and after. */
  before: number | null;
  after: number | null;
  text: string;
}

/**
 * Most cells of the table of common lines. It is 16 MB, and is filled within a tenth of a second; texts that differ in more
 * than two thousand lines are shown as one block against the other, which is then what a person sees in them anyway.
 */
const CELLS_MAX = 4_000_000;

/** All lines of both texts in order; those that both have once. */
export function diffLines(before: string, after: string): DiffLine[] {
  const old = linesOf(before);
  const now = linesOf(after);
  let begin = 0;
  while (begin < old.length && begin < now.length && old[begin] === now[begin]) begin += 1;
  let end = 0;
  while (
    end < old.length - begin &&
    end < now.length - begin &&
    old[old.length - 1 - end] === now[now.length - 1 - end]
  )
    end += 1;
  const same = (from: number, count: number, shift: number): DiffLine[] =>
    old
      .slice(from, from + count)
      .map((text, at) => ({ kind: "same", before: from + at + 1, after: from + at + 1 + shift, text }));
  return [
    ...same(0, begin, 0),
    ...middle(old.slice(begin, old.length - end), now.slice(begin, now.length - end), begin),
    ...same(old.length - end, end, now.length - old.length),
  ];
}

const linesOf = (text: string): string[] => (text === "" ? [] : text.replace(/\n$/, "").split("\n"));

function middle(old: string[], now: string[], shift: number): DiffLine[] {
  const removed = (at: number): DiffLine => ({
    kind: "removed",
    before: at + 1 + shift,
    after: null,
    text: old[at] ?? "",
  });
  const added = (at: number): DiffLine => ({
    kind: "added",
    before: null,
    after: at + 1 + shift,
    text: now[at] ?? "",
  });
  if (old.length * now.length > CELLS_MAX || old.length === 0 || now.length === 0)
    return [...old.map((_, at) => removed(at)), ...now.map((_, at) => added(at))];
  const common = commonLines(old, now);
  const width = now.length + 1;
  const length = (x: number, y: number) => common[x * width + y] ?? 0;
  const found: DiffLine[] = [];
  let [x, y] = [0, 0];
  while (x < old.length || y < now.length) {
    if (x < old.length && y < now.length && old[x] === now[y]) {
      found.push({ kind: "same", before: x + 1 + shift, after: y + 1 + shift, text: old[x] ?? "" });
      x += 1;
      y += 1;
    } else if (y >= now.length || (x < old.length && length(x + 1, y) >= length(x, y + 1))) {
      found.push(removed(x));
      x += 1;
    } else {
      found.push(added(y));
      y += 1;
    }
  }
  return found;
}

/** For each pair of places the number of lines that both texts have in common from there on. */
function commonLines(old: string[], now: string[]): Uint32Array {
  const width = now.length + 1;
  const table = new Uint32Array((old.length + 1) * width);
  for (let x = old.length - 1; x >= 0; x -= 1)
    for (let y = now.length - 1; y >= 0; y -= 1)
      table[x * width + y] =
        old[x] === now[y]
          ? (table[(x + 1) * width + y + 1] ?? 0) + 1
          : Math.max(table[(x + 1) * width + y] ?? 0, table[x * width + y + 1] ?? 0);
  return table;
}

/** What is shown of a diff: changes with some lines around, and how many lines are left out between. */
export type DiffRow = DiffLine | { kind: "left out"; lines: number };

/** Leaves out lines that are the same and far from any change. */
export function around(lines: DiffLine[], context: number): DiffRow[] {
  const near = new Array<boolean>(lines.length).fill(false);
  lines.forEach((line, at) => {
    if (line.kind === "same") return;
    for (let each = Math.max(0, at - context); each <= Math.min(lines.length - 1, at + context); each += 1)
      near[each] = true;
  });
  const rows: DiffRow[] = [];
  lines.forEach((line, at) => {
    const last = rows.at(-1);
    if (near[at]) rows.push(line);
    else if (last?.kind === "left out") last.lines += 1;
    else rows.push({ kind: "left out", lines: 1 });
  });
  return rows;
}

export const differs = (lines: readonly DiffLine[]): boolean => lines.some(({ kind }) => kind !== "same");
