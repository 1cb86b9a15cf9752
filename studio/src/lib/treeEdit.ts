/**
 * Changes of single values in a text: only the lines (in JSON the characters) of what is changed become others, so that comments,
 * unknown keys and everybody's way of writing stay. Each answers `null` where the text cannot be changed so.
 */
import { entryOf, isNull, lineBegin, lineEnd, valueAt, type Entry, type Mapping, type Tree } from "./tree";
import { entryLines, flowText, INDENT, listOf, mapOf, scalarText, word } from "./treePrint";
import { readTree } from "./treeRead";

const treeOf = (text: string): Tree | null => {
  const read = readTree(text);
  return "tree" in read ? read.tree : null;
};

const columnOf = (text: string, at: number): number => at - lineBegin(text, at);
const spliced = (text: string, from: number, to: number, put: string): string =>
  text.slice(0, from) + put + text.slice(to);
const isBlankBefore = (text: string, at: number): boolean =>
  text.slice(lineBegin(text, at), at).trim() === "";

/** Nothing, `{}` or `[]`: room for what is put below it. */
const isEmpty = (tree: Tree): boolean =>
  isNull(tree) ||
  (tree.kind === "map" && tree.entries.length === 0) ||
  (tree.kind === "list" && tree.items.length === 0);

/** The text with a value at a path; what is not there of the path is made. */
export function setIn(text: string, path: readonly string[], value: Tree): string | null {
  const tree = treeOf(text);
  return tree === null ? null : put(text, tree, path, value);
}

function put(text: string, tree: Tree, [key, ...rest]: readonly string[], value: Tree): string | null {
  if (tree.kind !== "map" || key === undefined) return null;
  const entry = entryOf(tree, key);
  if (rest.length === 0) return withEntry(text, tree, key, value);
  if (entry && !isEmpty(entry.value)) return put(text, entry.value, rest, value);
  const made = rest.reduceRight<Tree>((inner, each) => mapOf({ [each]: inner }), value);
  return withEntry(text, tree, key, made);
}

/**
 * The text without the value at a path. A mapping that has nothing else goes with it, but no part of the document's first two
 * levels: such a one stays, empty.
 */
export function removeIn(text: string, path: readonly string[]): string | null {
  const holders: Mapping[] = [];
  let at: Tree | null = treeOf(text);
  for (const key of path) {
    if (at?.kind !== "map" || entryOf(at, key) === null) return null;
    holders.push(at);
    at = entryOf(at, key)?.value ?? null;
  }
  let depth = path.length - 1;
  while (depth > 2 && holders[depth]?.entries.length === 1) depth -= 1;
  const holder = holders[depth];
  const above = holders[depth - 1];
  const [key, keyAbove] = [path[depth], path[depth - 1]];
  if (!holder || key === undefined) return null;
  if (holder.entries.length > 1) return withoutEntry(text, holder, key);
  return above && keyAbove !== undefined ? withEntry(text, above, keyAbove, mapOf({})) : null;
}

/** The text with a word at the end of the list at a path, which is made where it is not there; once where it is in it already. */
export function addWord(text: string, path: readonly string[], added: string): string | null {
  const tree = treeOf(text);
  if (tree === null) return null;
  const list = valueAt(tree, ...path);
  if (list === null || isEmpty(list)) return put(text, tree, path, listOf([added]));
  if (list.kind !== "list") return null;
  if (list.items.some((item) => item.kind === "scalar" && item.text === added)) return text;
  const last = list.items.at(-1)?.to ?? list.from + 1;
  if (!list.flow) {
    const margin = " ".repeat(columnOf(text, list.from));
    return spliced(text, lineEnd(text, last), lineEnd(text, last), `\n${margin}- ${scalarText(word(added))}`);
  }
  const isJson = tree.kind === "map" && tree.flow;
  const written = isJson ? flowText(word(added), null) : scalarText(word(added));
  const first = list.items[0]?.from ?? list.from + 1;
  const isTall = text.slice(list.from, first).includes("\n");
  const gap = isTall ? `\n${" ".repeat(columnOf(text, first))}` : " ";
  return written === null ? null : spliced(text, last, last, `,${gap}${written}`);
}

/** The text without a word of the list at a path; without the list where nothing else is in it. */
export function removeWord(text: string, path: readonly string[], gone: string): string | null {
  const tree = treeOf(text);
  const list = valueAt(tree, ...path);
  if (list?.kind !== "list") return null;
  const at = list.items.findIndex((item) => item.kind === "scalar" && item.text === gone);
  const item = list.items[at];
  if (!item) return text;
  if (list.items.length === 1) return removeIn(text, path);
  if (list.flow) return withoutPart(text, list.items, at);
  const dash = lineBegin(text, item.from) + columnOf(text, list.from);
  return text[dash] === "-" ? withoutLines(text, item.from, item.to) : null;
}

/** The text with an entry: in place of the one of that key, or behind the last. */
function withEntry(text: string, map: Mapping, key: string, value: Tree): string | null {
  const old = entryOf(map, key);
  return map.flow ? flowEntry(text, map, old, key, value) : blockEntry(text, map, old, key, value);
}

function blockEntry(text: string, map: Mapping, old: Entry | null, key: string, value: Tree): string | null {
  const column = columnOf(text, map.entries[0]?.from ?? map.from);
  if (old?.value.kind === "scalar" && !old.value.block && value.kind === "scalar" && !value.block) {
    // What stands behind it on its line stays.
    const gap = old.value.from === old.value.to ? " " : "";
    return spliced(text, old.value.from, old.value.to, gap + scalarText(value));
  }
  const lines = entryLines(key, value, 0, column).map((line) => line.text);
  if (!old) {
    const end = lineEnd(text, map.to);
    return spliced(text, end, end, `\n${lines.join("\n")}`);
  }
  const [first = "", ...more] = lines;
  return spliced(text, old.from, lineEnd(text, old.to), [first.slice(column), ...more].join("\n"));
}

function flowEntry(text: string, map: Mapping, old: Entry | null, key: string, value: Tree): string | null {
  const first = map.entries[0];
  const outer = (/^ */.exec(text.slice(lineBegin(text, map.from)))?.[0] ?? "").length;
  const isTall = first ? text.slice(map.from, first.from).includes("\n") : text.includes("\n");
  const inner = first ? columnOf(text, first.from) : outer + INDENT;
  const written = flowText(value, isTall ? inner : null);
  if (written === null) return null;
  if (old) return spliced(text, old.from, old.to, `${text.slice(old.from, old.keyTo)}: ${written}`);
  const entry = `${flowText(word(key), null) ?? ""}: ${written}`;
  const last = map.entries.at(-1);
  const gap = isTall ? `\n${" ".repeat(inner)}` : "";
  if (last) return spliced(text, last.to, last.to, `,${gap || " "}${entry}`);
  return spliced(text, map.from + 1, map.to - 1, `${gap}${entry}${isTall ? `\n${" ".repeat(outer)}` : ""}`);
}

function withoutEntry(text: string, map: Mapping, key: string): string | null {
  const at = map.entries.findIndex((entry) => entry.key === key);
  const entry = map.entries[at];
  if (!entry) return null;
  if (map.flow) return withoutPart(text, map.entries, at);
  // The first key of a mapping that stands behind a hyphen shares its line.
  return isBlankBefore(text, entry.from) ? withoutLines(text, entry.from, entry.to) : null;
}

interface Part {
  from: number;
  to: number;
}

/** The text without one of several parts that stand between commas. */
function withoutPart(text: string, parts: readonly Part[], at: number): string | null {
  const part = parts[at];
  const before = parts[at - 1];
  const after = parts[at + 1];
  if (!part) return null;
  if (before) return spliced(text, before.to, part.to, "");
  return after ? spliced(text, part.from, after.from, "") : spliced(text, part.from, part.to, "");
}

/** The text without the lines from one place to another. */
function withoutLines(text: string, from: number, to: number): string {
  const begin = lineBegin(text, from);
  const end = lineEnd(text, to);
  // A last line without a line feed leaves none behind.
  return end < text.length ? spliced(text, begin, end + 1, "") : text.slice(0, Math.max(0, begin - 1));
}
