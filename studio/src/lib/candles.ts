import type { CandleView } from "../api/types";
import { add } from "./decimals";
import { compareDecimals, instant } from "./format";

export const INTERVALS = ["1s", "5s", "15s", "1m", "5m", "15m", "1h", "1d"] as const;
export type Interval = (typeof INTERVALS)[number];

const SECONDS: Record<Interval, number> = {
  "1s": 1,
  "5s": 5,
  "15s": 15,
  "1m": 60,
  "5m": 300,
  "15m": 900,
  "1h": 3_600,
  "1d": 86_400,
};

export const secondsOf = (interval: Interval): number => SECONDS[interval];

/** The candles after one more trade. A trade older than the last candle changes nothing here: the next answer has it. */
export function withTrade(
  candles: CandleView[],
  trade: { at: number; price: string; size: string },
  seconds: number,
): CandleView[] {
  const start = Math.floor(trade.at / (seconds * 1_000)) * seconds * 1_000;
  const last = candles.at(-1);
  const lastStart = last ? (instant(last.start) ?? 0) : -Infinity;
  if (start < lastStart) return candles;
  if (last && start === lastStart) {
    const changed: CandleView = {
      ...last,
      high: compareDecimals(trade.price, last.high) > 0 ? trade.price : last.high,
      low: compareDecimals(trade.price, last.low) < 0 ? trade.price : last.low,
      close: trade.price,
      volume: add(last.volume, trade.size) ?? last.volume,
      trades: last.trades + 1,
    };
    return [...candles.slice(0, -1), changed];
  }
  const { price, size } = trade;
  return [
    ...candles,
    {
      start: new Date(start).toISOString(),
      open: price,
      high: price,
      low: price,
      close: price,
      volume: size,
      trades: 1,
    },
  ];
}
