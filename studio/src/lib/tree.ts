/**
 * Documents as a tree with places: YAML in blocks or flows, and JSON, which is a flow.
 *
 * The agent alone decides what a document means. This page reads one to draw it and to change single values of it, with everything
 * else staying as it was written; so a value knows where it stands, and is kept as it was written. What could not be put back in
 * the same way is not read: anchors, aliases, tags, merge keys, several documents, single values over several lines. Such a text is
 * said with its line.
 */

/** A single value. */
export interface Scalar {
  kind: "scalar";
  /** Its text, quotes and escapes taken off. */
  text: string;
  /** Written without quotes: only so is it a number, a truth value or nothing. */
  plain: boolean;
  /** Of a text in lines (`|`, `>`): its head, and its lines without their margin. */
  block: { head: string; lines: string[] } | null;
  from: number;
  /** Behind its last character. */
  to: number;
}

export interface Sequence {
  kind: "list";
  /** Between brackets. */
  flow: boolean;
  items: Tree[];
  /** Its bracket, or its first hyphen. */
  from: number;
  to: number;
}

export interface Entry {
  key: string;
  value: Tree;
  /** Begin of the key. */
  from: number;
  keyTo: number;
  to: number;
}

export interface Mapping {
  kind: "map";
  /** Between braces. */
  flow: boolean;
  entries: Entry[];
  from: number;
  to: number;
}

export type Tree = Scalar | Sequence | Mapping;

/** Line of a place, from 1. */
export function lineAt(text: string, at: number): number {
  let line = 1;
  for (let next = text.indexOf("\n"); next >= 0 && next < at; next = text.indexOf("\n", next + 1)) line += 1;
  return line;
}

/** Lines of places, from 1, which are asked for from the first to the last: the text is walked once for all of them. */
export function linesOf(text: string): (at: number) => number {
  let line = 1;
  let begin = 0;
  return (at) => {
    for (let end = text.indexOf("\n", begin); end >= 0 && end < at; end = text.indexOf("\n", begin)) {
      line += 1;
      begin = end + 1;
    }
    return line;
  };
}

/** Begin of a text, behind the byte order mark that some editors put before it: nobody sees it, and it is no column. */
export const textBegin = (text: string): number => (text.startsWith("\ufeff") ? 1 : 0);

/** Begin of the line of a place. */
export const lineBegin = (text: string, at: number): number => {
  const begin = at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;
  return begin === 0 ? textBegin(text) : begin;
};

/** End of the line of a place, its line feed not included. */
export function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** Nothing: `key:`, `~` or `null`. */
export const isNull = (tree: Tree): boolean =>
  tree.kind === "scalar" && tree.plain && ["", "~", "null", "Null", "NULL"].includes(tree.text);

/** The entry of a key; `null` where it is no mapping, or has none. */
export const entryOf = (tree: Tree | null, key: string): Entry | null =>
  tree?.kind === "map" ? (tree.entries.find((entry) => entry.key === key) ?? null) : null;

/** The value below some keys; `null` where there is none. */
export const valueAt = (tree: Tree | null, ...path: string[]): Tree | null =>
  path.reduce<Tree | null>((at, key) => entryOf(at, key)?.value ?? null, tree);

/** A single value's text; `null` for everything else and for nothing. */
export const textOf = (tree: Tree | null): string | null =>
  tree?.kind === "scalar" && !isNull(tree) ? tree.text : null;

/** Entries of a mapping; none where it is something else. */
export const entriesOf = (tree: Tree | null): readonly Entry[] => (tree?.kind === "map" ? tree.entries : []);

/** Texts of a list; what is no single value is left out. */
export const wordsOf = (tree: Tree | null): string[] =>
  tree?.kind === "list" ? tree.items.map(textOf).filter((text) => text !== null) : [];

/** The same text for two values that mean the same, whatever their form and the order of their keys. */
export function canonical(tree: Tree): string {
  switch (tree.kind) {
    case "scalar":
      return isNull(tree) ? "~" : JSON.stringify(tree.text);
    case "list":
      return `[${tree.items.map(canonical).join(",")}]`;
    case "map": {
      const pairs = tree.entries.map(({ key, value }) => `${JSON.stringify(key)}:${canonical(value)}`);
      return `{${pairs.sort().join(",")}}`;
    }
  }
}
