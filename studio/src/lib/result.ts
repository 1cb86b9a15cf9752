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

/** Times are in seconds, with milliseconds and what tells rows of one millisecond apart behind the point. */
export type Point = { time: number; value: number };
export type Bar = { time: number; open: number; high: number; low: number; close: number };
export interface Line {
  name: string;
  points: Point[];
  /** Which of the pictures above one another it is in: on a scale of much larger numbers it would be flat. */
  pane: number;
  /** Digits behind the point, for the scale's labels. */
  digits: number;
}
export type Picture = {
  /** The column of times. */
  time: string;
  /** Values that are not drawn, because too many rows of the same line have the same millisecond. */
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
/** Lines share a scale where each still fills this part of it. */
const FILLED_MIN = 1 / 6;
/** Rows of one millisecond that are drawn one after another: a burst is seen, and a result without times is no line. */
const ROWS_IN_MS_MAX = 100;
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
    const { placed, hidden } = inTime(rows, at);
    const bars = placed.flatMap(({ time: moment, row }): Bar[] => {
      const [open, high, low, close] = prices.map((index) => numberOf(row[index]));
      return typeof open !== "number" ||
        typeof high !== "number" ||
        typeof low !== "number" ||
        typeof close !== "number"
        ? []
        : [{ time: moment, open, high, low, close }];
    });
    const digits = Math.max(...prices.map((index) => digitsOf(rows, index)));
    return moves(bars) ? { kind: "candles", bars, time: time.name, digits, hidden: hidden.length } : null;
  }
  const numbers = columns.flatMap((column, index) => (isNumeric(column) ? [{ column, index }] : []));
  if (numbers.length === 0) return null;
  const { lines: all, value } = named
    ? linesByName(numbers, rows, at, named)
    : { lines: linesByColumn(numbers, rows, at), value: null };
  const lines = all.slice(0, LINES_MAX).filter((line) => line.points.length > 0);
  if (!lines.some((line) => moves(line.points))) return null;
  const panes = panesOf(lines);
  return {
    kind: "line",
    series: lines.map(({ name, points, digits }, index) => ({
      name,
      points,
      digits,
      pane: panes[index] ?? 0,
    })),
    time: time.name,
    left: Math.max(0, all.length - LINES_MAX),
    value,
    hidden: lines.reduce((sum, line) => sum + line.hidden, 0),
  };
}

/** Puts each line into the first pane whose scale flattens neither it nor what is there. */
function panesOf(lines: Unscaled[]): number[] {
  const panes: { low: number; high: number; narrowest: number }[] = [];
  return lines.map(({ points }) => {
    const values = points.map((point) => point.value);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    // A line that does not move needs no room.
    const narrow = high > low ? high - low : Infinity;
    for (const [index, pane] of panes.entries()) {
      const [lower, higher] = [Math.min(pane.low, low), Math.max(pane.high, high)];
      const narrowest = Math.min(pane.narrowest, narrow);
      if (narrowest < (higher - lower) * FILLED_MIN) continue;
      panes[index] = { low: lower, high: higher, narrowest };
      return index;
    }
    return panes.push({ low, high, narrowest: narrow }) - 1;
  });
}

type Numbers = { column: SqlColumn; index: number }[];
type Unscaled = Omit<Line, "pane"> & { hidden: number };

const lineOf = (name: string, { placed, hidden }: Placed, index: number): Unscaled => ({
  name,
  points: placed.flatMap(({ time, row }) => {
    const value = numberOf(row[index]);
    return value === null ? [] : [{ time, value }];
  }),
  hidden: hidden.filter((row) => numberOf(row[index]) !== null).length,
  digits: digitsOf([...placed.map(({ row }) => row), ...hidden], index),
});

function linesByColumn(numbers: Numbers, rows: SqlValue[][], at: number): Unscaled[] {
  const placed = inTime(rows, at);
  return numbers.map(({ column, index }) => lineOf(column.name, placed, index));
}

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
    return lineOf(name, inTime(own, at), known?.index ?? 0);
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

interface Placed {
  placed: { time: number; row: SqlValue[] }[];
  hidden: SqlValue[][];
}

/**
 * Rows at their times, rising. The library wants no time twice, so that rows of one millisecond stand within it one after
 * another, in the query's order. What is too much for a millisecond is counted, so that the picture can say so.
 */
function inTime(rows: SqlValue[][], at: number): Placed {
  const byTime = new Map<number, SqlValue[][]>();
  for (const row of rising(rows, at)) {
    const ms = instant(text(row[at] ?? null));
    if (ms === null) continue;
    const same = byTime.get(ms);
    if (same) same.push(row);
    else byTime.set(ms, [row]);
  }
  const moments = [...byTime].sort(([a], [b]) => a - b);
  return {
    placed: moments.flatMap(([ms, same]) => {
      const drawn = same.slice(-ROWS_IN_MS_MAX);
      return drawn.map((row, index) => ({ time: (ms + index / drawn.length) / 1_000, row }));
    }),
    hidden: moments.flatMap(([, same]) => same.slice(0, -ROWS_IN_MS_MAX)),
  };
}

/** A result that falls in time is turned, so that also within a millisecond its order is that of time. */
function rising(rows: SqlValue[][], at: number): SqlValue[][] {
  const first = instant(text(rows[0]?.[at] ?? null));
  const last = instant(text(rows.at(-1)?.[at] ?? null));
  return first !== null && last !== null && last < first ? rows.toReversed() : rows;
}

/** Whether there are two moments at all: a picture of one has no direction. */
const moves = (items: readonly { time: number }[]) =>
  Math.floor((items.at(-1)?.time ?? 0) * 1_000) > Math.floor((items[0]?.time ?? 0) * 1_000);

const digitsOf = (rows: SqlValue[][], index: number) =>
  Math.min(DIGITS_MAX, Math.max(0, ...rows.map((row) => fractionDigits(text(row[index] ?? null)))));

function numberOf(value: SqlValue | undefined): number | null {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}
