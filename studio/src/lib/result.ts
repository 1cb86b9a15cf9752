/** What is done with the result of a query: ordering, CSV, and finding what can be drawn. */
import type { SqlColumn, SqlResponse, SqlValue } from "../api/types";
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

export type Point = { time: number; value: number };
export type Bar = { time: number; open: number; high: number; low: number; close: number };
export type Picture =
  | { kind: "line"; series: { name: string; points: Point[]; small: boolean }[]; time: string }
  | { kind: "candles"; bars: Bar[]; time: string };

/** Most lines in one picture: more cannot be told apart. */
const LINES_MAX = 5;

/** A line this many times smaller than the largest gets a scale of its own: it would be flat otherwise. */
const SMALLER = 20;

/** What can be drawn: needs a column of times, and numbers. Candles where the four prices are there. */
export function picture(result: Pick<SqlResponse, "columns" | "rows">): Picture | null {
  const { columns, rows } = result;
  const at = columns.findIndex(isTemporal);
  const time = columns[at];
  if (!time || rows.length < 2) return null;
  // The library wants rising times without repetition: of several rows at one second the last stays.
  const bySecond = new Map<number, SqlValue[]>();
  for (const row of rows) {
    const ms = instant(text(row[at] ?? null));
    if (ms !== null) bySecond.set(Math.floor(ms / 1_000), row);
  }
  const ordered = [...bySecond].sort(([a], [b]) => a - b);
  if (ordered.length < 2) return null;
  const find = (name: string) => columns.findIndex((column) => column.name.toLowerCase() === name);
  const prices = ["open", "high", "low", "close"].map(find);
  if (prices.every((index) => index >= 0)) {
    const bars = ordered.flatMap(([second, row]) => {
      const [open, high, low, close] = prices.map((index) => numberOf(row[index]));
      return open === null || high === null || low === null || close === null
        ? []
        : [{ time: second, open: open ?? 0, high: high ?? 0, low: low ?? 0, close: close ?? 0 }];
    });
    return { kind: "candles", bars, time: time.name };
  }
  const numbers = columns.flatMap((column, index) => (isNumeric(column) ? [{ column, index }] : []));
  if (numbers.length === 0) return null;
  const lines = numbers.slice(0, LINES_MAX).map(({ column, index }) => {
    const points = ordered.flatMap(([second, row]) => {
      const value = numberOf(row[index]);
      return value === null ? [] : [{ time: second, value }];
    });
    return { name: column.name, points, size: Math.max(0, ...points.map((point) => Math.abs(point.value))) };
  });
  const largest = Math.max(...lines.map((line) => line.size));
  const series = lines.map(({ name, points, size }) => ({ name, points, small: size * SMALLER < largest }));
  return { kind: "line", series, time: time.name };
}

function numberOf(value: SqlValue | undefined): number | null {
  if (value === null || value === undefined || value === "") return null;
  const number = Number(value);
  return Number.isFinite(number) ? number : null;
}
