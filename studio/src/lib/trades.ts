import type { TradeView } from "../api/types";

/** A trade of the stream with its time in milliseconds. */
export interface LiveTrade extends TradeView {
  at: number;
}

/** One trade is another: by the venue's id, or without one by all that is known of it. */
const isSame = (a: TradeView, b: TradeView) =>
  typeof a.id === "string" && typeof b.id === "string"
    ? a.id === b.id
    : a.side === b.side &&
      a.price === b.price &&
      a.size === b.size &&
      Date.parse(a.time) === Date.parse(b.time);

/**
 * The trades that came after one which the node has counted already, in order of arrival. Where that one is not among them, those
 * that are later.
 */
export function after<T extends TradeView>(trades: readonly T[], counted: TradeView): T[] {
  const at = trades.findLastIndex((each) => isSame(each, counted));
  if (at >= 0) return trades.slice(at + 1);
  const border = Date.parse(counted.time);
  return trades.filter((each) => Date.parse(each.time) > border);
}
