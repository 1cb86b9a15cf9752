import { describe, expect, it } from "vitest";
import type { Level, MarketEvent } from "../api/types";
import { aligned, applyBookEvent, depth, spread } from "./book";

const event = (type: "book_snapshot" | "book_delta", bids: Level[], asks: Level[]): MarketEvent => ({
  exchange: "kraken",
  symbol: "BTC.USD",
  ts_exchange: "1",
  ts_capture: "1",
  origin: "simulated",
  type,
  bids,
  asks,
  sequence: null,
  checksum: null,
});

const snapshot = event(
  "book_snapshot",
  [
    ["100.0", "1"],
    ["99.5", "2"],
  ],
  [
    ["100.5", "3"],
    ["101", "4"],
  ],
);

describe("order book", () => {
  it("is none before a snapshot", () => {
    expect(applyBookEvent(null, event("book_delta", [["1", "1"]], []))).toBeNull();
  });
  it("changes, adds and removes levels, also where the price is written otherwise", () => {
    const book = applyBookEvent(
      applyBookEvent(null, snapshot),
      event(
        "book_delta",
        [
          ["100.00", "0.000"],
          ["99.5", "7"],
          ["9.5", "1"],
        ],
        [["100.75", "1"]],
      ),
    );
    if (!book) throw new Error("no book");
    expect(depth(book.bids, true, 5).map(({ price, size }) => [price, size])).toEqual([
      ["99.5", "7"],
      ["9.5", "1"],
    ]);
    expect(depth(book.asks, false, 5).map((each) => each.price)).toEqual(["100.5", "100.75", "101"]);
  });
  it("adds up totals from the best price on", () => {
    const book = applyBookEvent(null, snapshot);
    expect(depth(book?.asks ?? new Map(), false, 5).map((each) => each.total)).toEqual(["3", "7"]);
    expect(depth(book?.asks ?? new Map(), false, 1)).toHaveLength(1);
  });
  it("adds up exactly, and stands point under point", () => {
    const book = applyBookEvent(
      null,
      event(
        "book_snapshot",
        [
          ["65404", "0.1"],
          ["65403.7", "0.25"],
        ],
        [],
      ),
    );
    const [bids] = aligned([depth(book?.bids ?? new Map(), true, 5)]);
    expect(bids).toEqual([
      { price: "65404.0", size: "0.10", total: "0.10" },
      { price: "65403.7", size: "0.25", total: "0.35" },
    ]);
  });
  it("follows from its events alone, whatever the venue: a level goes when it is removed", () => {
    const levels = Array.from({ length: 10 }, (_, at): Level => [String(100 - at), "1"]);
    const before = applyBookEvent(null, event("book_snapshot", levels, []));
    expect(applyBookEvent(before, event("book_delta", [["101", "1"]], []))?.bids.size).toBe(11);
    const removal: Level[] = [
      ["101", "1"],
      ["91", "0"],
    ];
    const after = applyBookEvent(before, event("book_delta", removal, []));
    expect(after?.bids.size).toBe(10);
    expect(depth(after?.bids ?? new Map(), true, 20).at(-1)?.price).toBe("92");
  });
  it("is replaced by a new snapshot", () => {
    const book = applyBookEvent(applyBookEvent(null, snapshot), event("book_snapshot", [["1", "1"]], []));
    expect([book?.bids.size, book?.asks.size]).toEqual([1, 0]);
  });
  it("says the spread with the venue's digits", () => {
    expect(spread("100.0", "100.25")).toEqual({ absolute: "0.25", basisPoints: expect.closeTo(24.97, 2) });
  });
});
