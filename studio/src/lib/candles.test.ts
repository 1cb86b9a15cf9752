import { describe, expect, it } from "vitest";
import { withTrade } from "./candles";

const candle = {
  start: "2026-01-01T00:00:00Z",
  open: "10",
  high: "10.5",
  low: "9.9",
  close: "10",
  volume: "3",
  trades: 2,
};
const at = (second: number) => Date.UTC(2026, 0, 1, 0, 0, second);

describe("candles", () => {
  it("grow with a trade in the same interval", () => {
    const [grown] = withTrade([candle], { at: at(59), price: "10.75", size: "1" }, 60);
    expect(grown).toMatchObject({
      open: "10",
      high: "10.75",
      low: "9.9",
      close: "10.75",
      volume: "4",
      trades: 3,
    });
  });
  it("begin anew at the border", () => {
    const both = withTrade([candle], { at: at(60), price: "9", size: "0.5" }, 60);
    expect(both[1]).toMatchObject({ start: "2026-01-01T00:01:00.000Z", open: "9", low: "9", volume: "0.5" });
    expect(both[0]).toBe(candle);
  });
  it("do not change for a trade that is older than the last", () => {
    const list = [candle];
    expect(withTrade(list, { at: at(-1), price: "1", size: "1" }, 60)).toBe(list);
  });
});
