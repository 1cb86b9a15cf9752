/**
 * The screen of a terminal: text and cursor by the commands that shells and simple programs send (ECMA-48, as far as it
 * goes). Programs that draw a whole screen (editors, `top`) work as far as they keep to cursor moves, erasing and the second
 * screen; mouse, tabs stops and character sets do not.
 */

/* eslint-disable no-control-regex -- what programs send to terminals is made of control characters */

/** Lines that have left the screen above and are kept. */
const HISTORY_LINES_MAX = 1_000;
/** Longest command that is waited for; more is no command, and is dropped. */
const COMMAND_CHARS_MAX = 256;

export interface Style {
  bold: boolean;
  inverse: boolean;
  /** 0 to 15 as terminals number them; `null` is the page's own. */
  color: number | null;
}

export interface Cell {
  char: string;
  style: Style;
}

/** Characters of one style in a row. */
export interface Run {
  text: string;
  style: Style;
}

const CONTROL = /[\x00-\x1f\x7f]/;
const TITLE = /^\x1b\][02];([^\x07\x1b]*)/;
/** A control sequence: private mark, numbers, final character. */
const SEQUENCE = /^\x1b\[([?>=]?)([\d;:]*)[ -/]*([@-~])$/;
const SEQUENCE_WHOLE = /^\x1b\[[0-?]*[ -/]*[@-~]/;
const SEQUENCE_PART = /^\x1b\[[0-?]*[ -/]*$/;
/** A text for the terminal, which ends with BEL or ESC \. */
const STRING_WHOLE = /^\x1b.[^\x07\x1b]*(?:\x07|\x1b\\)/s;
const STRING_PART = /^\x1b.[^\x07\x1b]*\x1b?$/s;

const PLAIN: Style = { bold: false, inverse: false, color: null };

/** A screen of rows and columns, which takes what a program writes. */
export class Screen {
  columns: number;
  rows: number;
  #lines: Cell[][];
  #history: Cell[][] = [];
  #other: Cell[][] | null = null;
  #row = 0;
  #column = 0;
  #saved = { row: 0, column: 0 };
  #style: Style = PLAIN;
  #rest = "";
  #title = "";
  /** Bytes for the program: answers to its questions. */
  #answers = "";

  constructor(columns: number, rows: number) {
    this.columns = columns;
    this.rows = rows;
    this.#lines = Array.from({ length: rows }, () => []);
  }

  get cursor(): { row: number; column: number } {
    return { row: this.#row, column: Math.min(this.#column, this.columns - 1) };
  }

  get title(): string {
    return this.#title;
  }

  /** Lines above the screen, then those of the screen, each as runs of one style. */
  lines(): Run[][] {
    const shown = this.#other ? this.#lines : [...this.#history, ...this.#lines];
    return shown.map(runsOf);
  }

  /** Lines that stand above the screen. */
  get above(): number {
    return this.#other ? 0 : this.#history.length;
  }

  /** The screen as text, without what is above it. */
  text(): string {
    const lines = this.#lines.map((line) =>
      line
        .map(({ char }) => char)
        .join("")
        .trimEnd(),
    );
    return lines.join("\n").trimEnd();
  }

  /** Takes another size. Lines are not broken anew: a program that draws the whole screen hears of it and does so again. */
  resize(columns: number, rows: number): void {
    // What stands below the cursor goes first, then what leaves above.
    while (this.#lines.length > rows && this.#row < this.#lines.length - 1) this.#lines.pop();
    while (this.#lines.length > rows) {
      this.#leaveAbove();
      this.#row -= 1;
    }
    this.#lines = fitted(this.#lines, rows);
    if (this.#other) this.#other = fitted(this.#other, rows);
    this.columns = columns;
    this.rows = rows;
    this.#moveTo(this.#row, this.#column);
  }

  /** What is to be sent to the program since the last call. */
  answers(): string {
    const answers = this.#answers;
    this.#answers = "";
    return answers;
  }

  /** Takes what a program writes; a command may come in parts. */
  write(text: string): void {
    let rest = this.#rest + text;
    this.#rest = "";
    while (rest !== "") {
      const at = rest.search(CONTROL);
      if (at < 0) return this.#print(rest);
      this.#print(rest.slice(0, at));
      rest = rest.slice(at);
      if (rest[0] !== "\x1b") {
        this.#control(rest[0] ?? "");
        rest = rest.slice(1);
        continue;
      }
      const command = commandOf(rest);
      if (command === null) {
        this.#rest = rest.length > COMMAND_CHARS_MAX ? "" : rest;
        return;
      }
      this.#command(command);
      rest = rest.slice(command.length);
    }
  }

  #print(text: string): void {
    for (const char of text) {
      if (this.#column >= this.columns) {
        this.#column = 0;
        this.#down();
      }
      const line = this.#line();
      while (line.length < this.#column) line.push({ char: " ", style: PLAIN });
      line[this.#column] = { char, style: this.#style };
      this.#column += 1;
    }
  }

  #line(): Cell[] {
    return this.#lines[this.#row] ?? [];
  }

  #down(): void {
    if (this.#row < this.rows - 1) {
      this.#row += 1;
      return;
    }
    this.#leaveAbove();
    this.#lines.push([]);
  }

  #leaveAbove(): void {
    const [first] = this.#lines.splice(0, 1);
    if (this.#other || !first) return;
    this.#history.push(first);
    if (this.#history.length > HISTORY_LINES_MAX) this.#history.shift();
  }

  #control(char: string): void {
    if (char === "\n" || char === "\v" || char === "\f") this.#down();
    else if (char === "\r") this.#column = 0;
    else if (char === "\b") this.#column = Math.max(0, Math.min(this.#column, this.columns - 1) - 1);
    else if (char === "\t") this.#column = Math.min(this.columns - 1, (Math.floor(this.#column / 8) + 1) * 8);
  }

  #command(command: string): void {
    const title = TITLE.exec(command);
    if (title) this.#title = title[1] ?? "";
    if (command === "\x1b7") this.#saved = { row: this.#row, column: this.#column };
    if (command === "\x1b8") this.#moveTo(this.#saved.row, this.#saved.column);
    if (command === "\x1bM") this.#up();
    if (command === "\x1bc") this.#clear();
    const [, mark = "", numbers = "", word = ""] = SEQUENCE.exec(command) ?? [];
    const given = numbers.split(/[;:]/).map((each) => (each === "" ? null : Number(each)));
    if (mark === "?") this.#mode(given, word === "h");
    else if (mark === "" && word !== "") this.#sequence(word, given);
  }

  #sequence(word: string, given: (number | null)[]): void {
    const one = Math.max(1, given[0] ?? 1);
    const { row, column } = this.cursor;
    const moves: Record<string, [number, number]> = {
      A: [row - one, column],
      B: [row + one, column],
      C: [row, column + one],
      D: [row, column - one],
      E: [row + one, 0],
      F: [row - one, 0],
      G: [row, one - 1],
      "`": [row, one - 1],
      d: [one - 1, column],
      H: [one - 1, Math.max(1, given[1] ?? 1) - 1],
      f: [one - 1, Math.max(1, given[1] ?? 1) - 1],
    };
    const move = moves[word];
    if (move) this.#moveTo(...move);
    else if (word === "m") this.#style = restyled(this.#style, given);
    else if (word === "J") this.#eraseScreen(given[0] ?? 0);
    else if (word === "K") this.#eraseLine(given[0] ?? 0);
    else if (word === "P") this.#line().splice(column, one);
    else if (word === "X") this.#blank(column, Math.min(this.columns, column + one));
    else if (word === "@") this.#insertCells(column, one);
    else if (word === "L" || word === "M") this.#moveLines(word === "L", one);
    else if (word === "n" && given[0] === 6) this.#answers += `\x1b[${row + 1};${column + 1}R`;
    else if (word === "c") this.#answers += "\x1b[?6c";
  }

  #moveTo(row: number, column: number): void {
    this.#row = Math.min(Math.max(row, 0), this.rows - 1);
    this.#column = Math.min(Math.max(column, 0), this.columns - 1);
  }

  /** The second screen, which editors draw on, leaves the first as it was. */
  #mode(given: (number | null)[], on: boolean): void {
    if (!given.some((each) => each === 47 || each === 1047 || each === 1049)) return;
    if (on && !this.#other) {
      this.#other = this.#lines;
      this.#saved = { row: this.#row, column: this.#column };
      this.#lines = Array.from({ length: this.rows }, () => []);
      this.#moveTo(0, 0);
    } else if (!on && this.#other) {
      this.#lines = this.#other;
      this.#other = null;
      this.#moveTo(this.#saved.row, this.#saved.column);
    }
  }

  #eraseScreen(which: number): void {
    if (which === 3) this.#history = [];
    if (which === 0) this.#eraseLine(0);
    if (which === 1) this.#eraseLine(1);
    for (let row = 0; row < this.rows; row += 1)
      if (which === 2 || (which === 0 && row > this.#row) || (which === 1 && row < this.#row))
        this.#lines[row] = [];
  }

  #eraseLine(which: number): void {
    const { column } = this.cursor;
    if (which === 0) this.#line().splice(column);
    else if (which === 1) this.#blank(0, column + 1);
    else if (which === 2) this.#lines[this.#row] = [];
  }

  #blank(from: number, to: number): void {
    const line = this.#line();
    for (let at = from; at < Math.min(to, line.length); at += 1) line[at] = { char: " ", style: PLAIN };
  }

  #insertCells(column: number, count: number): void {
    const line = this.#line();
    if (line.length <= column) return;
    const blanks = Math.min(count, this.columns - column);
    line.splice(column, 0, ...Array.from({ length: blanks }, () => ({ char: " ", style: PLAIN })));
    line.splice(this.columns);
  }

  #moveLines(insert: boolean, count: number): void {
    const room = Math.min(count, this.rows - this.#row);
    const blank = Array.from({ length: room }, (): Cell[] => []);
    if (insert) {
      this.#lines.splice(this.#row, 0, ...blank);
      this.#lines.splice(this.rows);
    } else {
      this.#lines.splice(this.#row, room);
      this.#lines.push(...blank);
    }
  }

  #up(): void {
    if (this.#row > 0) {
      this.#row -= 1;
      return;
    }
    this.#lines.unshift([]);
    this.#lines.pop();
  }

  #clear(): void {
    this.#lines = Array.from({ length: this.rows }, () => []);
    this.#style = PLAIN;
    this.#moveTo(0, 0);
  }
}

/** The last lines of a screen, as many as it has rows. */
const fitted = (lines: Cell[][], rows: number): Cell[][] => [
  ...lines.slice(-rows),
  ...Array.from({ length: Math.max(0, rows - lines.length) }, (): Cell[] => []),
];

/** The command with which a text begins; `null` where its end has not come yet. */
function commandOf(text: string): string | null {
  const second = text[1];
  if (second === undefined) return null;
  if (second === "[") return SEQUENCE_WHOLE.exec(text)?.[0] ?? (SEQUENCE_PART.test(text) ? null : "\x1b[");
  if ("]PX^_".includes(second))
    return STRING_WHOLE.exec(text)?.[0] ?? (STRING_PART.test(text) ? null : text.slice(0, 2));
  if ("()*+#%".includes(second)) return text.length < 3 ? null : text.slice(0, 3);
  return text.slice(0, 2);
}

/** A style after the numbers of one command; a colour of 256 or of millions brings numbers of its own. */
function restyled(style: Style, given: readonly (number | null)[]): Style {
  let now = style;
  for (let at = 0; at < given.length; at += 1) {
    const code = given[at] ?? 0;
    if (code !== 38 && code !== 48) {
      now = styled(now, code);
      continue;
    }
    const isIndexed = given[at + 1] === 5;
    const index = given[at + 2] ?? 0;
    if (code === 38) now = { ...now, color: isIndexed && index < 16 ? index : null };
    at += isIndexed ? 2 : 4;
  }
  return now;
}

function styled(style: Style, code: number): Style {
  if (code === 0) return PLAIN;
  if (code === 1) return { ...style, bold: true };
  if (code === 7) return { ...style, inverse: true };
  if (code === 22) return { ...style, bold: false };
  if (code === 27) return { ...style, inverse: false };
  if (code === 39) return { ...style, color: null };
  if (code >= 30 && code <= 37) return { ...style, color: code - 30 };
  if (code >= 90 && code <= 97) return { ...style, color: code - 82 };
  return style;
}

function runsOf(line: Cell[]): Run[] {
  const runs: Run[] = [];
  for (const { char, style } of line) {
    const last = runs.at(-1);
    if (last && last.style === style) last.text += char;
    else runs.push({ text: char, style });
  }
  return runs;
}

/** What a key sends to a program; `null` where it is the browser's. */
export function keyBytes(key: {
  key: string;
  ctrlKey: boolean;
  altKey: boolean;
  metaKey: boolean;
}): string | null {
  if (key.metaKey) return null;
  const named = KEYS[key.key];
  if (named !== undefined) return named;
  if ([...key.key].length !== 1) return null;
  if (key.ctrlKey && !key.altKey) {
    const code = key.key.toUpperCase().charCodeAt(0);
    if (key.key === " ") return "\x00";
    return code >= 64 && code <= 95 ? String.fromCharCode(code - 64) : null;
  }
  // AltGr gives a character of its own with both keys held.
  return key.altKey && !key.ctrlKey ? `\x1b${key.key}` : key.key;
}

const KEYS: Record<string, string | undefined> = {
  Enter: "\r",
  Backspace: "\x7f",
  Escape: "\x1b",
  ArrowUp: "\x1b[A",
  ArrowDown: "\x1b[B",
  ArrowRight: "\x1b[C",
  ArrowLeft: "\x1b[D",
  Home: "\x1b[H",
  End: "\x1b[F",
  Delete: "\x1b[3~",
  PageUp: "\x1b[5~",
  PageDown: "\x1b[6~",
};
