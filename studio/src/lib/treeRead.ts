/** Reads YAML and JSON into a tree with places; see `tree.ts` for what is read and why. Source: YAML 1.2.2, RFC 8259. */
import {
  lineAt,
  lineBegin,
  lineEnd,
  textBegin,
  type Entry,
  type Mapping,
  type Scalar,
  type Sequence,
  type Tree,
} from "./tree";

/** A tree, or the line (from 1) that is not read, and why. */
export type Read = { tree: Tree } | { line: number; what: string };

/** Deepest nesting, as the agent has it. */
const DEPTH_MAX = 32;

/** A place that is not read. */
class Unread extends Error {
  readonly at: number;

  constructor(at: number, what: string) {
    super(what);
    this.at = at;
  }
}

/** Reads a text whose lines end with line feeds. */
export function readTree(text: string): Read {
  try {
    return { tree: new Reader(text).document() };
  } catch (error) {
    if (!(error instanceof Unread)) throw error;
    return { line: lineAt(text, error.at), what: error.message };
  }
}

const isGap = (char: string | undefined): boolean =>
  char === undefined || char === " " || char === "\n" || char === "\t";

/** Begin of a value that means something else than its letters. */
const MARKS: Record<string, string | undefined> = {
  "&": "has an anchor (`&`)",
  "*": "refers to an anchor (`*`)",
  "!": "has a tag (`!`)",
  "?": "has a key that is not a single value (`?`)",
};

/** Place behind the closing quote of a text that begins here; -1 where it is not closed on its line. */
function closing(text: string, from: number): number {
  const quote = text[from];
  for (let at = from + 1; at < text.length && text[at] !== "\n"; at += 1) {
    if (quote === '"' && text[at] === "\\") at += 1;
    else if (text[at] === quote && quote === "'" && text[at + 1] === "'") at += 1;
    else if (text[at] === quote) return at + 1;
  }
  return -1;
}

const ESCAPES: Record<string, string | undefined> = {
  "0": "\0",
  a: "\x07",
  b: "\b",
  t: "\t",
  n: "\n",
  v: "\v",
  f: "\f",
  r: "\r",
  e: "\x1b",
  " ": " ",
  '"': '"',
  "/": "/",
  "\\": "\\",
  N: "\x85",
  _: "\xa0",
  L: "\u2028",
  P: "\u2029",
};
const CODE_MAX = 0x10ffff;

const ESCAPE = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|(.))/g;

/** What stands between two quotes. `at` is its place, for what is not read. */
function unquoted(written: string, at: number): string {
  const inner = written.slice(1, -1);
  if (written.startsWith("'")) return inner.replaceAll("''", "'");
  return inner.replace(ESCAPE, (found: string, ...parts) => {
    const [two, four, eight, letter] = parts as (string | undefined)[];
    const digits = two ?? four ?? eight;
    const known = letter === undefined ? undefined : ESCAPES[letter];
    if (known !== undefined) return known;
    const code = digits === undefined ? NaN : parseInt(digits, 16);
    // `fromCharCode` also takes the halves of a pair, each of which JSON writes for itself.
    if (code <= 0xffff) return String.fromCharCode(code);
    if (code <= CODE_MAX) return String.fromCodePoint(code);
    throw new Unread(at, `has an escape that is none (\`${found}\`)`);
  });
}

class Reader {
  readonly #text: string;
  #at: number;
  #depth = 0;

  constructor(text: string) {
    this.#text = text;
    this.#at = textBegin(text);
  }

  document(): Tree {
    this.#toContent();
    const tree = this.#at >= this.#text.length ? this.#nothing(textBegin(this.#text)) : this.#block(-1);
    this.#toContent();
    if (this.#at < this.#text.length) throw this.#unread("stands where nothing is expected");
    return tree;
  }

  #unread(what: string, at = this.#at): Unread {
    return new Unread(at, what);
  }

  #char(): string | undefined {
    return this.#text[this.#at];
  }

  /** Column of the present place, from 0. */
  #column(): number {
    return this.#at - lineBegin(this.#text, this.#at);
  }

  #nothing(at: number): Scalar {
    return { kind: "scalar", text: "", plain: true, block: null, from: at, to: at };
  }

  /** Whether a comment begins here. */
  #isComment(): boolean {
    const isFirst = this.#at === textBegin(this.#text);
    return this.#char() === "#" && (isFirst || isGap(this.#text[this.#at - 1]));
  }

  #skipBlanks(): void {
    while (this.#char() === " ") this.#at += 1;
  }

  /** Goes to the next character that is neither blank nor comment. */
  #toContent(): void {
    for (;;) {
      if (this.#char() === " " || this.#char() === "\n") this.#at += 1;
      else if (this.#isComment()) this.#at = lineEnd(this.#text, this.#at);
      else break;
    }
    if (this.#char() === "\t") throw this.#unread("has a tab where spaces are expected");
    if (this.#column() === 0 && /^(---|\.\.\.)(\s|$)/.test(this.#text.slice(this.#at, this.#at + 4)))
      throw this.#unread("is one of several documents (`---`)");
    if (this.#column() === 0 && this.#char() === "%") throw this.#unread("is a directive (`%`)");
  }

  /** The same within brackets, where a tab is a blank. */
  #toFlowContent(): void {
    for (;;) {
      if (" \n\t".includes(this.#char() ?? "#")) this.#at += 1;
      else if (this.#isComment()) this.#at = lineEnd(this.#text, this.#at);
      else return;
    }
  }

  /** What follows a value on its line is blank, or a comment. */
  #endLine(): void {
    this.#skipBlanks();
    if (this.#char() !== undefined && this.#char() !== "\n" && !this.#isComment())
      throw this.#unread("goes on behind its value");
  }

  #isDash(): boolean {
    return this.#char() === "-" && isGap(this.#text[this.#at + 1]);
  }

  /** Place of the colon of a key that begins here; -1 where none does. */
  #colon(): number {
    const end = lineEnd(this.#text, this.#at);
    let at = this.#at;
    if (this.#char() === '"' || this.#char() === "'") {
      at = closing(this.#text, at);
      if (at < 0) return -1;
      while (this.#text[at] === " ") at += 1;
      return this.#text[at] === ":" && isGap(this.#text[at + 1]) ? at : -1;
    }
    for (; at < end; at += 1) {
      if (this.#text[at] === ":" && isGap(this.#text[at + 1])) return at;
      if (this.#text[at] === "#" && isGap(this.#text[at - 1])) return -1;
    }
    return -1;
  }

  /** A value in blocks that begins here. What belongs to it stands further right than the column `parent`. */
  #block(parent: number): Tree {
    if (this.#char() === "{" || this.#char() === "[") {
      const flow = this.#flow();
      this.#endLine();
      return flow;
    }
    if (this.#isDash()) return this.#deeper(() => this.#sequence(this.#column()));
    if (this.#colon() >= 0) return this.#deeper(() => this.#mapping(this.#column()));
    return this.#single(parent);
  }

  #deeper<T>(read: () => T): T {
    this.#depth += 1;
    if (this.#depth > DEPTH_MAX) throw this.#unread(`is nested deeper than ${DEPTH_MAX}`);
    const found = read();
    this.#depth -= 1;
    return found;
  }

  #mapping(column: number): Mapping {
    const from = this.#at;
    const entries: Entry[] = [];
    const seen = new Set<string>();
    let to = from;
    for (;;) {
      const entry = this.#entry(column);
      if (seen.has(entry.key)) throw this.#unread(`has \`${entry.key}\` twice`, entry.from);
      seen.add(entry.key);
      entries.push(entry);
      to = entry.to;
      this.#toContent();
      if (this.#at >= this.#text.length || this.#column() < column) break;
      if (this.#column() > column) throw this.#unread("stands further right than what it belongs to");
    }
    return { kind: "map", flow: false, entries, from, to };
  }

  #entry(column: number): Entry {
    const from = this.#at;
    const colon = this.#colon();
    if (colon < 0 || this.#isDash()) throw this.#unread("is no key with a value");
    const written = this.#text.slice(from, colon).trimEnd();
    const key = this.#key(written, from);
    this.#at = colon + 1;
    const value = this.#valueBehind(column, colon + 1);
    return { key, value, from, keyTo: from + written.length, to: Math.max(colon + 1, value.to) };
  }

  #key(written: string, at: number): string {
    const quoted = /^["']/.test(written);
    if (!quoted) this.#plainBegin(written, at);
    if (written === "<<") throw this.#unread("merges another mapping (`<<`)", at);
    return quoted ? unquoted(written, at) : written;
  }

  /** Refuses a plain text whose first character means something else. */
  #plainBegin(written: string, at: number): void {
    const first = written[0] ?? "";
    const mark = MARKS[first];
    if (mark !== undefined && (first !== "?" || isGap(written[1]))) throw this.#unread(mark, at);
    if (first === "" || ",[]{}#|>%@`\"'".includes(first))
      throw this.#unread("is not written as a value is", at);
  }

  /** The value of a key whose colon ends at `behind`. */
  #valueBehind(column: number, behind: number): Tree {
    this.#skipBlanks();
    if (this.#char() === "\t") throw this.#unread("has a tab where spaces are expected");
    if (this.#char() === undefined || this.#char() === "\n" || this.#isComment()) {
      this.#toContent();
      const below = this.#at >= this.#text.length ? -1 : this.#column();
      if (below > column) return this.#block(column);
      // A list may stand at the column of its key.
      if (below === column && this.#isDash()) return this.#deeper(() => this.#sequence(column));
      return this.#nothing(behind);
    }
    if (this.#char() === "|" || this.#char() === ">") return this.#lines(column);
    if (this.#char() !== "{" && this.#char() !== "[" && (this.#colon() >= 0 || this.#isDash()))
      throw this.#unread("has a value that begins on a line of its own");
    return this.#block(column);
  }

  #sequence(column: number): Sequence {
    const from = this.#at;
    const items: Tree[] = [];
    let to = from;
    for (;;) {
      const dash = this.#at;
      this.#at += 1;
      this.#skipBlanks();
      const item = this.#item(column, dash + 1);
      items.push(item);
      to = Math.max(dash + 1, item.to);
      this.#toContent();
      if (this.#at >= this.#text.length || this.#column() < column) break;
      if (this.#column() > column) throw this.#unread("stands further right than what it belongs to");
      if (!this.#isDash()) break;
    }
    return { kind: "list", flow: false, items, from, to };
  }

  #item(column: number, behind: number): Tree {
    if (this.#char() === "\t") throw this.#unread("has a tab where spaces are expected");
    if (this.#char() === "|" || this.#char() === ">") return this.#lines(column);
    if (this.#char() !== undefined && this.#char() !== "\n" && !this.#isComment()) return this.#block(column);
    this.#toContent();
    return this.#at < this.#text.length && this.#column() > column
      ? this.#block(column)
      : this.#nothing(behind);
  }

  /** A single value on one line. */
  #single(parent: number): Scalar {
    const from = this.#at;
    if (this.#char() === '"' || this.#char() === "'") {
      const quoted = this.#quoted();
      this.#endLine();
      return quoted;
    }
    let to = from;
    const end = lineEnd(this.#text, from);
    while (to < end && !(this.#text[to] === "#" && isGap(this.#text[to - 1]))) to += 1;
    const text = this.#text.slice(from, to).trimEnd();
    this.#plainBegin(text, from);
    this.#at = to;
    this.#toContent();
    if (this.#at < this.#text.length && this.#column() > parent)
      throw this.#unread("goes on in the next line", from);
    return { kind: "scalar", text, plain: true, block: null, from, to: from + text.length };
  }

  #quoted(): Scalar {
    const from = this.#at;
    const to = closing(this.#text, from);
    if (to < 0) throw this.#unread("has a quote that is not closed on its line");
    this.#at = to;
    const text = unquoted(this.#text.slice(from, to), from);
    return { kind: "scalar", text, plain: false, block: null, from, to };
  }

  /** A text in lines, which stand further right than `parent`. */
  #lines(parent: number): Scalar {
    const from = this.#at;
    const headTo = lineEnd(this.#text, from);
    const head = /^([|>][+-]?)\s*(#.*)?$/.exec(this.#text.slice(from, headTo))?.[1];
    if (head === undefined) throw this.#unread("says how far its lines are indented");
    const lines: string[] = [];
    let [margin, to, next] = [0, headTo, headTo + 1];
    while (next < this.#text.length) {
      const end = lineEnd(this.#text, next);
      const line = this.#text.slice(next, end);
      const own = line.length - line.trimStart().length;
      if (line.trim() !== "") {
        if (own <= parent) break;
        if (margin === 0) margin = own;
        if (own < margin) throw this.#unread("stands further left than the lines before", next);
        to = end;
      }
      lines.push(line.slice(margin));
      next = end + 1;
    }
    while (!head.endsWith("+") && lines.at(-1)?.trim() === "") lines.pop();
    if (head.endsWith("+")) to = Math.max(headTo, next - 1);
    this.#at = Math.min(next, this.#text.length);
    return { kind: "scalar", text: joined(head, lines), plain: false, block: { head, lines }, from, to };
  }

  #flow(): Mapping | Sequence {
    return this.#deeper(() => (this.#char() === "{" ? this.#flowMapping() : this.#flowSequence()));
  }

  #flowMapping(): Mapping {
    const from = this.#at;
    const entries: Entry[] = [];
    const seen = new Set<string>();
    this.#each("}", from, () => {
      const entry = this.#flowEntry();
      if (seen.has(entry.key)) throw this.#unread(`has \`${entry.key}\` twice`, entry.from);
      seen.add(entry.key);
      entries.push(entry);
    });
    return { kind: "map", flow: true, entries, from, to: this.#at };
  }

  #flowSequence(): Sequence {
    const from = this.#at;
    const items: Tree[] = [];
    this.#each("]", from, () => items.push(this.#flowValue()));
    return { kind: "list", flow: true, items, from, to: this.#at };
  }

  /** Reads what stands between two brackets, with commas between. */
  #each(close: string, from: number, read: () => void): void {
    this.#at += 1;
    for (;;) {
      this.#toFlowContent();
      if (this.#char() === undefined) throw this.#unread("has a bracket that is not closed", from);
      if (this.#char() === close) break;
      read();
      this.#toFlowContent();
      const next = this.#char();
      if (next === ",") this.#at += 1;
      else if (next !== close && next !== undefined) throw this.#unread(`needs a comma or \`${close}\` here`);
    }
    this.#at += 1;
  }

  #flowEntry(): Entry {
    const from = this.#at;
    const isQuoted = this.#char() === '"' || this.#char() === "'";
    const key = isQuoted ? this.#quoted().text : this.#flowPlain().text;
    if (!isQuoted && key === "<<") throw this.#unread("merges another mapping (`<<`)", from);
    const keyTo = this.#at;
    this.#toFlowContent();
    if (this.#char() !== ":") return { key, value: this.#nothing(keyTo), from, keyTo, to: keyTo };
    const behind = this.#at + 1;
    this.#at = behind;
    this.#toFlowContent();
    const isLeftOut = this.#char() === "," || this.#char() === "}";
    const value = isLeftOut ? this.#nothing(behind) : this.#flowValue();
    return { key, value, from, keyTo, to: Math.max(behind, value.to) };
  }

  #flowValue(): Tree {
    if (this.#char() === "{" || this.#char() === "[") return this.#flow();
    const value = this.#char() === '"' || this.#char() === "'" ? this.#quoted() : this.#flowPlain();
    this.#toFlowContent();
    if (this.#char() === ":") throw this.#unread("is a pair where a single value is expected", value.from);
    return value;
  }

  #flowPlain(): Scalar {
    const from = this.#at;
    let to = from;
    for (; to < this.#text.length; to += 1) {
      const char = this.#text[to] ?? "";
      const next = this.#text[to + 1];
      if (",[]{}\n".includes(char) || (char === "#" && isGap(this.#text[to - 1]))) break;
      if (char === ":" && (isGap(next) || ",[]{}".includes(next ?? ""))) break;
    }
    const text = this.#text.slice(from, to).trimEnd();
    this.#plainBegin(text, from);
    this.#at = from + text.length;
    return { kind: "scalar", text, plain: true, block: null, from, to: from + text.length };
  }
}

/** The text of lines below `|`; below `>` its lines as they are, which only this page compares. */
function joined(head: string, lines: readonly string[]): string {
  const text = lines.join("\n");
  return head.endsWith("-") || text === "" ? text : `${text}\n`;
}
