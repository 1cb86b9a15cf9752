import type { Level, MarketEvent } from "../api/types";
import { compareDecimals } from "./format";

/** An order book in the browser. `null` until the first snapshot: deltas alone are not a book. */
export interface Book {
  bids: ReadonlyMap<string, string>;
  asks: ReadonlyMap<string, string>;
}

/** A level as it is drawn: size, and the running total from the best price. */
export interface Depth {
  price: string;
  size: string;
  total: number;
}

const isZero = (size: string) => /^-?0*(\.0*)?$/.test(size);

/** The price as a key: `1.50` and `1.5` are one level. */
const keyOf = (price: string) => (price.includes(".") ? price.replace(/\.?0+$/, "") : price);

function merge(side: ReadonlyMap<string, string>, levels: Level[]): Map<string, string> {
  const merged = new Map(side);
  for (const [price, size] of levels) {
    if (isZero(size)) merged.delete(keyOf(price));
    else merged.set(keyOf(price), size);
  }
  return merged;
}

/** The book after an event. A snapshot replaces it, a delta changes it, size 0 removes a level. */
export function applyBookEvent(book: Book | null, event: MarketEvent): Book | null {
  if (event.type === "book_snapshot") {
    return { bids: merge(new Map(), event.bids), asks: merge(new Map(), event.asks) };
  }
  if (event.type === "book_delta" && book) {
    return { bids: merge(book.bids, event.bids), asks: merge(book.asks, event.asks) };
  }
  return book;
}

/** The best `count` levels of a side, best first, with running totals for the depth bars. */
export function depth(side: ReadonlyMap<string, string>, descending: boolean, count: number): Depth[] {
  const prices = [...side.keys()].sort(compareDecimals);
  if (descending) prices.reverse();
  let total = 0;
  return prices.slice(0, count).map((price) => {
    const size = side.get(price) ?? "0";
    total += Number(size);
    return { price, size, total };
  });
}

/** Difference of the best prices, in the quote asset and in basis points of the middle. */
export function spread(bid: string, ask: string): { absolute: string; basisPoints: number } {
  const digits = Math.max(fractionDigits(bid), fractionDigits(ask));
  const difference = Number(ask) - Number(bid);
  const middle = (Number(ask) + Number(bid)) / 2;
  return {
    absolute: difference.toFixed(digits),
    basisPoints: middle > 0 ? (difference / middle) * 10_000 : 0,
  };
}

export function fractionDigits(text: string): number {
  const point = text.indexOf(".");
  return point < 0 ? 0 : text.length - point - 1;
}
