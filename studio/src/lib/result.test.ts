import { describe, expect, it } from "vitest";
import type { SqlValue } from "../api/types";
import { csv, isNumeric, nextOrder, picture, sortRows } from "./result";

const columns = [
  { name: "at", type: "TIMESTAMP" },
  { name: "price", type: "DECIMAL(38,18)" },
  { name: "note", type: "TEXT" },
];
const rows = [
  ["2026-01-01T00:00:02Z", "10.5", "b"],
  ["2026-01-01T00:00:01Z", "9.25", null],
  ["2026-01-01T00:00:03Z", null, "a"],
];

it("knows which types are numbers", () => {
  const numeric = (type: string) => isNumeric({ name: "c", type });
  expect(["DECIMAL(38,18)", "BIGINT", "INTEGER", "SMALLINT", "DOUBLE"].every(numeric)).toBe(true);
  expect(["INTERVAL", "TEXT", "TIMESTAMP", "BOOLEAN"].some(numeric)).toBe(false);
});

describe("sorting", () => {
  it("goes by value for numbers, with nothing last in both directions", () => {
    const prices = (descending: boolean) =>
      sortRows(columns, rows, { column: 1, descending }).map((row) => row[1]);
    expect(prices(false)).toEqual(["9.25", "10.5", null]);
    expect(prices(true)).toEqual(["10.5", "9.25", null]);
  });
  it("goes by letters for text and leaves the rows alone without an order", () => {
    expect(sortRows(columns, rows, { column: 2, descending: false }).map((row) => row[2])).toEqual([
      "a",
      "b",
      null,
    ]);
    expect(sortRows(columns, rows, null)).toBe(rows);
  });
  it("turns from ascending to descending to none", () => {
    const first = nextOrder(null, 1);
    expect(first).toEqual({ column: 1, descending: false });
    expect(nextOrder(first, 1)).toEqual({ column: 1, descending: true });
    expect(nextOrder({ column: 1, descending: true }, 1)).toBeNull();
    expect(nextOrder(first, 2)).toEqual({ column: 2, descending: false });
  });
});

describe("CSV", () => {
  it("quotes, keeps digits, and disarms formulas", () => {
    const text = csv(columns, [
      ["t", "-1.10", '=cmd|"x"'],
      ["u", null, "a,b\nc"],
    ]);
    expect(text).toBe('at,price,note\r\nt,-1.10,"\'=cmd|""x"""\r\nu,,"a,b\nc"\r\n');
  });
});

describe("picture", () => {
  it("draws lines in the order of time", () => {
    const drawn = picture({ columns, rows });
    expect(drawn).toMatchObject({ kind: "line", time: "at", series: [{ name: "price", pane: 0 }] });
    expect(drawn?.kind === "line" && drawn.series[0]?.points.map((each) => each.value)).toEqual([9.25, 10.5]);
  });
  it("draws one line for each symbol, not one that jumps between them", () => {
    const named = [...columns.slice(0, 2), { name: "symbol", type: "TEXT" }];
    const trades = (count: number) =>
      Array.from({ length: count }, (_, at): SqlValue[] => [
        `2026-01-01T00:00:0${at}Z`,
        at % 2 === 0 ? "65000.5" : "2600.25",
        at % 2 === 0 ? "BTC" : "ETH",
      ]);
    const drawn = picture({ columns: named, rows: trades(6) });
    expect(drawn).toMatchObject({
      series: [
        { name: "BTC", digits: 1, pane: 0 },
        { name: "ETH", digits: 2, pane: 0 },
      ],
      left: 0,
      value: "price",
      hidden: 0,
    });
    expect(drawn?.kind === "line" && drawn.series[1]?.points.map((each) => each.value)).toEqual([
      2600.25, 2600.25, 2600.25,
    ]);
  });
  it("draws every row of a second, so that a spike within it is seen", () => {
    const times = ["2026-01-01T00:00:01.9Z", "2026-01-01T00:00:01.1Z", "2026-01-01T00:00:00Z"];
    const drawn = picture({ columns, rows: times.map((time, at) => [time, String(at), "x"]) });
    expect(drawn).toMatchObject({ hidden: 0 });
    const start = Date.UTC(2026, 0, 1) / 1_000;
    expect(drawn?.kind === "line" && drawn.series[0]?.points).toEqual([
      { time: start, value: 2 },
      { time: start + 1.1, value: 1 },
      { time: start + 1.9, value: 0 },
    ]);
  });
  it("draws rows of one millisecond one after another, and nothing as often as null", () => {
    const times = ["00:00:01Z", "00:00:02.0001Z", "00:00:02.0002Z", "00:00:02.0003Z", "00:00:03Z"];
    const values = ["1", "90", "3", null, "5"];
    const rising = times.map((time, at): SqlValue[] => [`2026-01-01T${time}`, values[at] ?? null, "x"]);
    for (const some of [rising, rising.toReversed()]) {
      const drawn = picture({ columns, rows: some });
      const points = (drawn?.kind === "line" && drawn.series[0]?.points) || [];
      expect(drawn).toMatchObject({ hidden: 0 });
      expect(points.map((each) => each.value)).toEqual([1, 90, 3, 5]);
      expect(points.every((each, at) => at === 0 || each.time > (points[at - 1]?.time ?? 0))).toBe(true);
    }
  });
  it("counts what is too much for one millisecond, and draws no line of a single moment", () => {
    const row = (time: string, at: number): SqlValue[] => [`2026-01-01T${time}`, String(at), `x${at}`];
    const burst = Array.from({ length: 130 }, (_, at) => row("00:00:01Z", at));
    expect(picture({ columns, rows: burst })).toBeNull();
    const drawn = picture({ columns, rows: [...burst, row("00:00:02Z", 7)] });
    expect(drawn).toMatchObject({ hidden: 30 });
    expect(drawn?.kind === "line" && drawn.series[0]?.points.length).toBe(101);
  });
  it("gives lines that would flatten one another scales of their own", () => {
    const more = [...columns, { name: "n", type: "BIGINT" }, { name: "bid", type: "BIGINT" }];
    const drawn = picture({
      columns: more,
      rows: rows.map((row, at) => [...row, String(1_000 + at), String(9 + at)]),
    });
    expect(drawn?.kind === "line" && drawn.series.map((each) => each.pane)).toEqual([0, 1, 0]);
  });
  it("draws candles where the four prices are there", () => {
    const names = ["start", "open", "high", "low", "close"];
    const candles = names.map((name, at) => ({ name, type: at === 0 ? "TIMESTAMP" : "DECIMAL(38,18)" }));
    const drawn = picture({
      columns: candles,
      rows: [
        ["2026-01-01T00:01:00Z", "2", "4", "1", "3"],
        ["2026-01-01T00:00:00Z", "1", "2", "1", "2"],
      ],
    });
    expect(drawn).toMatchObject({ kind: "candles", hidden: 0 });
    expect(drawn?.kind === "candles" && drawn.bars.map((bar) => bar.close)).toEqual([2, 3]);
  });
  it("draws nothing without times or without numbers", () => {
    expect(picture({ columns: columns.slice(1), rows: rows.map((row) => row.slice(1)) })).toBeNull();
    expect(picture({ columns: columns.slice(0, 1), rows: rows.map((row) => row.slice(0, 1)) })).toBeNull();
  });
});
