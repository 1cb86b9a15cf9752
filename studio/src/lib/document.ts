/**
 * Parts of a document as text. The agent reads documents; this page only takes applications out of one and puts them
 * into one, line by line, so that everything else stays as it was written. It does so where the text is in blocks, as the agent
 * prints it and people write it. Applications of a document in another form, as JSON, are put in as the agent would print them;
 * what is not read at all is left alone and said.
 */
import { entriesOf, linesOf as linesIn, valueAt, type Tree } from "./tree";
import { entryLines } from "./treePrint";
import { readTree } from "./treeRead";

/** A text that was put together, with the line (from 1) of the person's text that each of its lines is. */
export interface Merged {
  text: string;
  origins: (number | null)[];
}

/** Indentation of each step inwards, where this page writes it. */
const INDENT = 2;

interface Section {
  name: string;
  /** Its lines, that of its name first: from this index, up to the next one. */
  from: number;
  to: number;
}

interface Blocks {
  lines: string[];
  /** Index of `applications:`. */
  head: number;
  /** `applications: {}`. */
  isEmpty: boolean;
  /** Index after its last line. */
  end: number;
  indent: number;
  sections: Section[];
}

/** A text without the byte order mark that some editors put before it. */
const unmarked = (text: string): string => text.replace(/^\ufeff/, "");
const linesOf = (text: string): string[] =>
  unmarked(text).replace(/\r\n/g, "\n").replace(/\n+$/, "").split("\n");
const indentOf = (line: string): number => line.length - line.trimStart().length;
const isBlank = (line: string): boolean => /^\s*(#.*)?$/.test(line);

/** The blocks of a document; `null` where it is not in blocks, as in JSON. */
function blocksOf(text: string): Blocks | null {
  const lines = linesOf(text);
  if (lines.some((line) => /^\s*\t/.test(line) || /^(---|\.\.\.)/.test(line))) return null;
  const head = lines.findIndex((line) => /^applications:\s*(\{\s*\})?\s*(#.*)?$/.test(line));
  if (head < 0) return null;
  const isEmpty = /\{\s*\}/.test(lines[head] ?? "");
  let end = head + 1;
  while (end < lines.length && (isBlank(lines[end] ?? "") || indentOf(lines[end] ?? "") > 0)) end += 1;
  // Blank lines and comments before the next key belong to that.
  while (end > head + 1 && isBlank(lines[end - 1] ?? "") && indentOf(lines[end - 1] ?? "") === 0) end -= 1;
  const body = lines.slice(head + 1, end);
  const indent = indentOf(body.find((line) => !isBlank(line)) ?? " ".repeat(INDENT));
  const sections: Section[] = [];
  for (const [at, line] of body.entries()) {
    if (isBlank(line) || indentOf(line) > indent) continue;
    const name = /^\s*["']?([a-z][a-z0-9-]*)["']?:/.exec(line)?.[1];
    if (indentOf(line) < indent || name === undefined) return null;
    const last = sections.at(-1);
    if (last) last.to = head + 1 + at;
    sections.push({ name, from: head + 1 + at, to: end });
  }
  if (isEmpty && sections.length > 0) return null;
  return { lines, head, isEmpty, end, indent, sections };
}

/** The tree of a document; `null` where it is not read. */
function treeOf(text: string): Tree | null {
  const read = readTree(text.replace(/\r\n/g, "\n"));
  return "tree" in read ? read.tree : null;
}

/** Names of the applications of a document; `null` where it is not read. */
export function namesIn(text: string): string[] | null {
  const sections = blocksOf(text)?.sections.map(({ name }) => name);
  const tree = sections ? null : treeOf(text);
  return sections ?? (tree && entriesOf(valueAt(tree, "applications")).map(({ key }) => key));
}

/** What of a text is not read here, as a sentence with its line; `null` where all of it is. */
export function unreadIn(text: string): string | null {
  const read = readTree(text.replace(/\r\n/g, "\n"));
  return "tree" in read ? null : `Line ${read.line} ${read.what}.`;
}

/** A document in blocks, as the agent would print it, with the written line of each of its lines; `null` where it is not read. */
function inBlocks(text: string): Merged | null {
  if (blocksOf(text)) return { text, origins: linesOf(text).map((_, at) => at + 1) };
  const tree = treeOf(text);
  if (tree?.kind !== "map") return null;
  const written = text.replace(/\r\n/g, "\n");
  const lines = tree.entries.flatMap(({ key, value, from }) => entryLines(key, value, from, 0));
  const lineOf = linesIn(written);
  return {
    text: `${lines.map((line) => line.text).join("\n")}\n`,
    origins: lines.map(({ from }) => lineOf(from)),
  };
}

/** An application's part of a document, its name's line first, shifted to the left; `null` where it is not there. */
export function partOf(text: string, name: string): string | null {
  const blocks = blocksOf(text);
  const section = blocks?.sections.find((each) => each.name === name);
  if (!blocks || !section) return null;
  return `${shifted(blocks.lines.slice(section.from, section.to), -blocks.indent).join("\n")}\n`;
}

const shifted = (lines: string[], by: number): string[] =>
  lines.map((line) => {
    if (line.trim() === "") return "";
    return by >= 0 ? " ".repeat(by) + line : line.slice(Math.min(-by, indentOf(line)));
  });

/** A document with a place for applications: one without any may leave it out. */
function withRoom(written: string): string {
  const text = unmarked(written);
  if (text.trim() === "") return "version: 1\napplications: {}\n";
  if (/^\s*[{[]/.test(text) || /^applications\b/m.test(text)) return text;
  return `${linesOf(text).join("\n")}\napplications: {}\n`;
}

/** Keys of a document beside its version and its applications: what is lost where only its applications are taken. */
export function otherKeys(text: string): string[] {
  const tree = treeOf(text);
  const keys = tree
    ? entriesOf(tree).map(({ key }) => key)
    : linesOf(text).flatMap((line) => /^["']?([A-Za-z_][\w-]*)["']?\s*:/.exec(line)?.[1] ?? []);
  return keys.filter((key) => key !== "version" && key !== "applications");
}

/**
 * A document with an application's part put in, in place of the one of that name where there is one. `part` begins with the
 * name's line. `null` where the document or the part is not in blocks.
 */
export function withPart(text: string, part: string): Merged | null {
  const blocks = blocksOf(withRoom(text));
  const written = linesOf(part);
  // A part without an application is no part: `applications:` with it below is a document again.
  const own = blocksOf(`applications:\n${shifted(written, INDENT).join("\n")}`);
  const [section, ...more] = own?.sections ?? [];
  if (!blocks || !own || !section || more.length > 0) return null;
  const put = shifted(written, blocks.isEmpty ? INDENT : blocks.indent);
  const old = blocks.sections.find(({ name }) => name === section.name);
  const [from, to] = old ? [old.from, old.to] : [blocks.end, blocks.end];
  const head = blocks.lines.map((line, at) =>
    at === blocks.head && blocks.isEmpty ? "applications:" : line,
  );
  const lines = [...head.slice(0, from), ...put, ...head.slice(to)];
  const origins = lines.map((_, at) => (at >= from && at < from + put.length ? at - from + 1 : null));
  return { text: `${lines.join("\n")}\n`, origins };
}

/** A document with the applications of another one put in. `null` where it is not in blocks, or the other one is not read. */
export function withDocument(text: string, added: string): Merged | null {
  const written = inBlocks(added);
  const blocks = blocksOf(written?.text ?? "");
  const begin = withRoom(text);
  if (!written || !blocks || blocksOf(begin) === null) return null;
  let merged: Merged = { text: begin, origins: linesOf(begin).map(() => null) };
  for (const { name, from } of blocks.sections) {
    const part = partOf(written.text, name);
    const next = part === null ? null : withPart(merged.text, part);
    if (!next) return null;
    merged = { text: next.text, origins: originsAfter(merged, next, from) };
  }
  const lineOf = (origin: number | null) => (origin === null ? null : (written.origins[origin - 1] ?? null));
  return { text: merged.text, origins: merged.origins.map(lineOf) };
}

/** Origins of the lines of a text to which a part was put that begins in the person's text at an index. */
function originsAfter(before: Merged, after: Merged, from: number): (number | null)[] {
  const put = after.origins.filter((origin) => origin !== null).length;
  const begin = after.origins.findIndex((origin) => origin !== null);
  const behind = after.origins.length - begin - put;
  const kept = before.origins.length - behind;
  return after.origins.map((origin, at) => {
    if (origin !== null) return origin + from;
    return before.origins[at < begin ? at : kept + (at - begin - put)] ?? null;
  });
}

/** A document with an application's `wish`: running, stopped or paused. `null` where it has no such part. */
export function withWish(text: string, name: string, wish: "running" | "stopped" | "paused"): string | null {
  const part = partOf(text, name);
  if (part === null) return null;
  const lines = linesOf(part);
  const own = indentOf(lines.slice(1).find((line) => !isBlank(line)) ?? " ".repeat(INDENT));
  const kept = lines.filter((line) => !(indentOf(line) === own && /^\s*wish:/.test(line)));
  const put = wish === "running" ? kept : [...kept, `${" ".repeat(own)}wish: ${wish}`];
  return withPart(text, put.join("\n"))?.text ?? null;
}
