/** Values as text: in blocks of two spaces, as the agent prints a document, and as JSON. */
import { isNull, type Entry, type Mapping, type Scalar, type Sequence, type Tree } from "./tree";

/** Indentation of each step inwards. */
export const INDENT = 2;

/** A line, with the place in the text that it is made of. */
export interface Line {
  text: string;
  from: number;
}

/** A text, in quotes where it needs them. */
export const word = (text: string): Scalar => ({
  kind: "scalar",
  text,
  plain: false,
  block: null,
  from: 0,
  to: 0,
});

/** A list of texts. */
export const listOf = (texts: readonly string[]): Sequence => ({
  kind: "list",
  flow: false,
  items: texts.map(word),
  from: 0,
  to: 0,
});

/** A mapping of some values; an empty one is `{}`. */
export const mapOf = (values: Readonly<Record<string, Tree>>): Mapping => ({
  kind: "map",
  flow: false,
  entries: Object.entries(values).map(([key, value]): Entry => ({ key, value, from: 0, keyTo: 0, to: 0 })),
  from: 0,
  to: 0,
});

/** A key with its value in blocks, at an indentation. */
export function entryLines(key: string, value: Tree, from: number, indent: number): Line[] {
  const head = `${" ".repeat(indent)}${scalarText(word(key))}:`;
  if (isFilled(value)) return [{ text: head, from }, ...blockLines(value, indent + INDENT)];
  const [first = "", ...more] = singleLines(value);
  return [
    { text: first === "" ? head : `${head} ${first}`, from },
    ...more.map((line) => ({ text: line === "" ? "" : " ".repeat(indent + INDENT) + line, from })),
  ];
}

const isFilled = (value: Tree): value is Mapping | Sequence =>
  (value.kind === "map" && value.entries.length > 0) || (value.kind === "list" && value.items.length > 0);

/** Lines of a mapping or a list that is not empty. */
const blockLines = (value: Mapping | Sequence, indent: number): Line[] =>
  value.kind === "map"
    ? value.entries.flatMap((entry) => entryLines(entry.key, entry.value, entry.from, indent))
    : value.items.flatMap((item) => itemLines(item, indent));

function itemLines(item: Tree, indent: number): Line[] {
  const margin = " ".repeat(indent + INDENT);
  const inner = isFilled(item)
    ? blockLines(item, indent + INDENT)
    : singleLines(item).map((line) => ({ text: line === "" ? "" : margin + line, from: item.from }));
  return inner.map(({ text, from }, at) => ({
    text: at > 0 ? text : `${" ".repeat(indent)}- ${text.slice(margin.length)}`.trimEnd(),
    from,
  }));
}

/** Lines of a value that stands beside its key; those behind the first have no margin. */
function singleLines(value: Tree): string[] {
  if (value.kind === "map") return ["{}"];
  if (value.kind === "list") return ["[]"];
  return value.block ? [value.block.head, ...value.block.lines] : [scalarText(value)];
}

/** A value of one line in blocks. */
export const scalarText = (value: Scalar): string =>
  value.plain || isCalm(value.text) ? value.text : quoted(value.text);

const RESERVED = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/** A text that no reader of YAML 1.1 or 1.2 could take for something else, by the rule of the agent's printer. */
function isCalm(text: string): boolean {
  const begins = /^[A-Za-z/]/.test(text);
  // `5 GiB`, `10s`: begins with a digit, and a letter makes it text. `1e5` and `0x1f` are numbers.
  const isQuantity = /^[1-9]/.test(text) && /[Bsmhdt]$/.test(text) && !text.includes(":");
  const inner = isQuantity ? /^[A-Za-z0-9\-_./@+ ]+$/ : /^[A-Za-z0-9\-_./@+:]+$/;
  return (
    (begins || isQuantity) &&
    inner.test(text) &&
    /[A-Za-z0-9\-_./@+]$/.test(text) &&
    !RESERVED.includes(text.toLowerCase())
  );
}

/** A text in double quotes as JSON has it, which YAML reads in the same way. */
function quoted(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;

/**
 * A value as JSON: in lines that begin at an indentation, or in one line where that is `null`. `null` for a text in folded lines
 * (`>`), which is kept as it was written and cannot be said otherwise.
 */
export function flowText(value: Tree, indent: number | null): string | null {
  if (value.kind === "scalar") return flowScalar(value);
  const inner = indent === null ? null : indent + INDENT;
  const [open, close] = value.kind === "map" ? ["{", "}"] : ["[", "]"];
  const parts =
    value.kind === "map"
      ? value.entries.map(({ key, value: below }) => {
          const text = flowText(below, inner);
          return text === null ? null : `${quoted(key)}: ${text}`;
        })
      : value.items.map((item) => flowText(item, inner));
  if (parts.some((part) => part === null)) return null;
  if (parts.length === 0) return `${open}${close}`;
  if (indent === null) return `${open}${parts.join(", ")}${close}`;
  const margin = " ".repeat(indent);
  const lines = parts.map((part) => `${margin}${" ".repeat(INDENT)}${part ?? ""}`);
  return `${open}\n${lines.join(",\n")}\n${margin}${close}`;
}

function flowScalar(value: Scalar): string | null {
  if (value.block?.head.startsWith(">")) return null;
  if (!value.plain) return quoted(value.text);
  if (isNull(value)) return "null";
  const isWord = JSON_NUMBER.test(value.text) || value.text === "true" || value.text === "false";
  return isWord ? value.text : quoted(value.text);
}
