import type { Level, MarketEvent } from "../api/types";
import { add, digitsThatMatter, padded, subtract } from "./decimals";
import { compareDecimals } from "./format";

/** A side of a book: by the price's value, what the venue wrote. */
type Side = ReadonlyMap<string, Level>;

/** An order book in the browser. `null` until the first snapshot: deltas alone are not a book. */
export interface Book {
  bids: Side;
  asks: Side;
}

/** A level as it is drawn, with the exact running total from the best price. */
export interface Depth {
  price: string;
  size: string;
  total: string;
}

const isZero = (size: string) => /^-?0*(\.0*)?$/.test(size);

/** The price as a key: `1.50` and `1.5` are one level. */
const keyOf = (price: string) => (price.includes(".") ? price.replace(/\.?0+$/, "") : price);

function merge(side: Side, levels: readonly Level[]): Map<string, Level> {
  const merged = new Map(side);
  for (const [price, size] of levels) {
    if (isZero(size)) merged.delete(keyOf(price));
    else merged.set(keyOf(price), [price, size]);
  }
  return merged;
}

const byPrice = (side: Side, descending: boolean): Level[] => {
  const levels = [...side.values()].sort(([a], [b]) => compareDecimals(a, b));
  return descending ? levels.reverse() : levels;
};

/** The book after an event. A snapshot replaces it, a delta changes it, size 0 removes a level. */
export function applyBookEvent(book: Book | null, event: MarketEvent): Book | null {
  if (event.type === "book_snapshot") return bookOf(event.bids, event.asks);
  if (event.type === "book_delta" && book)
    return { bids: merge(book.bids, event.bids), asks: merge(book.asks, event.asks) };
  return book;
}

/** A book that came as a whole. */
export const bookOf = (bids: readonly Level[], asks: readonly Level[]): Book => ({
  bids: merge(new Map(), bids),
  asks: merge(new Map(), asks),
});

/** The best `count` levels of a side, best first, with running totals for the depth bars. */
export function depth(side: Side, descending: boolean, count: number): Depth[] {
  let total = "0";
  return byPrice(side, descending)
    .slice(0, count)
    .map(([price, size]) => {
      total = add(total, size) ?? total;
      return { price, size, total };
    });
}

/** Both sides with as many digits in each column as matter in one of its numbers, so that points stand under points. */
export function aligned(sides: Depth[][]): Depth[][] {
  const digits = (of: (level: Depth) => string) => digitsThatMatter(sides.flat().map(of));
  const price = digits((level) => level.price);
  const size = digits((level) => level.size);
  return sides.map((side) =>
    side.map((level) => ({
      price: padded(level.price, price),
      size: padded(level.size, size),
      total: padded(level.total, size),
    })),
  );
}

/** Difference of the best prices, exact, and in basis points of the middle. */
export function spread(bid: string, ask: string): { absolute: string; basisPoints: number } {
  const middle = (Number(ask) + Number(bid)) / 2;
  return {
    absolute: subtract(ask, bid) ?? "?",
    basisPoints: middle > 0 ? ((Number(ask) - Number(bid)) / middle) * 10_000 : 0,
  };
}
