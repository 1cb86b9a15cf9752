/** What is done with the result of a query: ordering, CSV, and finding what can be drawn. */
import type { SqlColumn, SqlResponse, SqlValue } from "../api/types";
import { fractionDigits } from "./decimals";
import { compareDecimals, instant } from "./format";

/** The node's words for types (`SqlColumn.type`). */
const NUMERIC = /^(DECIMAL|NUMERIC|BIGINT|SMALLINT|INTEGER|DOUBLE)\b/i;
const TEMPORAL = /^(TIMESTAMP|DATE)\b/i;

export const isNumeric = (column: SqlColumn) => NUMERIC.test(column.type);
export const isTemporal = (column: SqlColumn) => TEMPORAL.test(column.type);

export function text(value: SqlValue): string {
  if (value === null) return "";
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

export interface Order {
  column: number;
  descending: boolean;
}

/** Rows in the order of one column: numbers by value, the rest as text; nothing (`null`) always last. */
export function sortRows(columns: SqlColumn[], rows: SqlValue[][], order: Order | null): SqlValue[][] {
  const column = order ? columns[order.column] : undefined;
  if (!order || !column) return rows;
  const numeric = isNumeric(column);
  const sign = order.descending ? -1 : 1;
  return [...rows].sort((a, b) => {
    const left = a[order.column] ?? null;
    const right = b[order.column] ?? null;
    if (left === null || right === null) return left === right ? 0 : left === null ? 1 : -1;
    const x = text(left);
    const y = text(right);
    return sign * (numeric ? compareDecimals(x, y) : x < y ? -1 : x > y ? 1 : 0);
  });
}

/** The next order after a click on a header: ascending, descending, as it came. */
export function nextOrder(order: Order | null, column: number): Order | null {
  if (order?.column !== column) return { column, descending: false };
  return order.descending ? null : { column, descending: true };
}

/**
 * RFC 4180. A text cell that a spreadsheet would take for a formula gets an apostrophe in front, because symbols and
 * details come from strangers; numbers stay as they are.
 */
export function csv(columns: SqlColumn[], rows: SqlValue[][]): string {
  const quote = (cell: string) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const cellOf = (value: SqlValue, column: SqlColumn | undefined) => {
    const plain = text(value);
    const harmless = typeof value !== "string" || (column !== undefined && isNumeric(column));
    return quote(!harmless && /^[=+\-@\t\r]/.test(plain) ? `'${plain}` : plain);
  };
  const lines = [columns.map((column) => quote(column.name)).join(",")];
  for (const row of rows) lines.push(row.map((value, at) => cellOf(value, columns[at])).join(","));
  return lines.join("\r\n") + "\r\n";
}

/** Times are in seconds, with milliseconds behind the point. */
export type Point = { time: number; value: number };
export type Bar = { time: number; open: number; high: number; low: number; close: number };
export interface Line {
  name: string;
  points: Point[];
  /** Much smaller than the largest: it gets a scale of its own, where it would otherwise be flat. */
  small: boolean;
  /** Digits behind the point, for the scale's labels. */
  digits: number;
}
export type Picture = {
  /** The column of times. */
  time: string;
  /** Values that are not drawn, because a later row of the same line has the same millisecond. */
  hidden: number;
} & (
  | {
      kind: "line";
      series: Line[];
      /** Lines that are not drawn, because more cannot be told apart. */
      left: number;
      /** The column that is drawn, where lines are named by the words of another. */
      value: string | null;
    }
  | { kind: "candles"; bars: Bar[]; digits: number }
);

/** Most lines in one picture: more cannot be told apart. */
const LINES_MAX = 5;
/** Most words of a column that are still taken for names of lines, such as symbols; more are taken for mere text. */
const NAMES_MAX = 40;
/** Columns whose words are taken for names of lines before others'. */
const NAMES_FIRST = ["symbol", "instrument", "exchange", "source", "validator"];
/** Columns that are drawn before others where only one is. */
const VALUES_FIRST = ["price", "close", "last", "value"];
/** A line this many times smaller than the largest gets a scale of its own. */
const SMALLER = 20;
/** Most digits behind the point on a scale. */
const DIGITS_MAX = 8;

/** What can be drawn: needs a column of times, and numbers. Candles where the four prices are there. */
export function picture(result: Pick<SqlResponse, "columns" | "rows">): Picture | null {
  const { columns, rows } = result;
  const at = columns.findIndex(isTemporal);
  const time = columns[at];
  if (!time || rows.length < 2) return null;
  const named = namesOf(columns, rows);
  const prices = ["open", "high", "low", "close"].map((name) =>
    columns.findIndex((column) => column.name.toLowerCase() === name),
  );
  if (prices.every((index) => index >= 0) && !named) {
    const { items: bars, hidden } = inTime(rows, at, (row) => {
      const [open, high, low, close] = prices.map((index) => numberOf(row[index]));
      return typeof open !== "number" ||
        typeof high !== "number" ||
        typeof low !== "number" ||
        typeof close !== "number"
        ? null
        : { open, high, low, close };
    });
    const digits = Math.max(...prices.map((index) => digitsOf(rows, index)));
    return bars.length < 2 ? null : { kind: "candles", bars, time: time.name, digits, hidden };
  }
  const numbers = columns.flatMap((column, index) => (isNumeric(column) ? [{ column, index }] : []));
  if (numbers.length === 0) return null;
  const { lines: all, value } = named
    ? linesByName(numbers, rows, at, named)
    : { lines: linesByColumn(numbers, rows, at), value: null };
  const lines = all.slice(0, LINES_MAX).filter((line) => line.points.length > 0);
  if (!lines.some((line) => line.points.length > 1)) return null;
  const sizes = lines.map((line) => Math.max(0, ...line.points.map((point) => Math.abs(point.value))));
  const largest = Math.max(...sizes);
  return {
    kind: "line",
    series: lines.map(({ name, points, digits }, index) => ({
      name,
      points,
      digits,
      small: (sizes[index] ?? 0) * SMALLER < largest,
    })),
    time: time.name,
    left: Math.max(0, all.length - LINES_MAX),
    value,
    hidden: lines.reduce((sum, line) => sum + line.hidden, 0),
  };
}

type Numbers = { column: SqlColumn; index: number }[];
type Unscaled = Omit<Line, "small"> & { hidden: number };

const lineOf = (name: string, rows: SqlValue[][], at: number, index: number): Unscaled => {
  const { items, hidden } = inTime(rows, at, (row) => {
    const value = numberOf(row[index]);
    return value === null ? null : { value };
  });
  return { name, points: items, hidden, digits: digitsOf(rows, index) };
};

const linesByColumn = (numbers: Numbers, rows: SqlValue[][], at: number): Unscaled[] =>
  numbers.map(({ column, index }) => lineOf(column.name, rows, at, index));

/** One line for each name: prices of two instruments are two lines, not one that jumps between them. */
function linesByName(
  numbers: Numbers,
  rows: SqlValue[][],
  at: number,
  named: { index: number; names: string[] },
): { lines: Unscaled[]; value: string | null } {
  const known = numbers.find(({ column }) => VALUES_FIRST.includes(column.name.toLowerCase())) ?? numbers[0];
  const lines = named.names.map((name) => {
    const own = rows.filter((row) => text(row[named.index] ?? null) === name);
    return lineOf(name, own, at, known?.index ?? 0);
  });
  return { lines, value: known?.column.name ?? null };
}

/** A column of words that come again and again, with its words, the commonest first. */
function namesOf(columns: SqlColumn[], rows: SqlValue[][]): { index: number; names: string[] } | null {
  const found = columns.flatMap((column, index) => {
    if (isNumeric(column) || isTemporal(column)) return [];
    const counts = new Map<string, number>();
    for (const row of rows) {
      const name = text(row[index] ?? null);
      counts.set(name, (counts.get(name) ?? 0) + 1);
    }
    const names = [...counts].sort(([, a], [, b]) => b - a).map(([name]) => name);
    return names.length > 1 && names.length <= NAMES_MAX && names.length * 2 <= rows.length
      ? [{ index, names }]
      : [];
  });
  // The instrument tells most apart; a CID or a side that happens to repeat says little.
  const rank = ({ index }: { index: number }) => {
    const at = NAMES_FIRST.indexOf(columns[index]?.name.toLowerCase() ?? "");
    return at < 0 ? NAMES_FIRST.length : at;
  };
  return found.sort((a, b) => rank(a) - rank(b) || b.names.length - a.names.length)[0] ?? null;
}

/**
 * What rows show at their times, rising. The library wants no time twice: of several rows within one millisecond the last
 * stays, and the others are counted, so that the picture can say what it leaves out.
 */
function inTime<T extends object>(
  rows: SqlValue[][],
  at: number,
  read: (row: SqlValue[]) => T | null,
): { items: (T & { time: number })[]; hidden: number } {
  const byTime = new Map<number, T>();
  let drawable = 0;
  for (const row of inOrder(rows, at)) {
    const ms = instant(text(row[at] ?? null));
    const item = read(row);
    if (ms === null || item === null) continue;
    drawable += 1;
    byTime.set(ms, item);
  }
  const items = [...byTime].sort(([a], [b]) => a - b).map(([ms, item]) => ({ ...item, time: ms / 1_000 }));
  return { items, hidden: drawable - items.length };
}

/** A result that falls in time is turned, so that the last of a millisecond is also the last of the query's own order. */
function inOrder(rows: SqlValue[][], at: number): SqlValue[][] {
  const first = instant(text(rows[0]?.[at] ?? null));
  const last = instant(text(rows.at(-1)?.[at] ?? null));
  return first !== null && last !== null && last < first ? rows.toReversed() : rows;
}

const digitsOf = (rows: SqlValue[][], index: number) =>
  Math.min(DIGITS_MAX, Math.max(0, ...rows.map((row) => fractionDigits(text(row[index] ?? null)))));

function numberOf(value: SqlValue | undefined): number | null {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}
