import { describe, expect, it } from "vitest";
import type { TradeView } from "../api/types";
import { after } from "./trades";

const trade = (id: string | null, second: number, price = "1"): TradeView => ({
  time: `2026-01-01T00:00:0${second}Z`,
  side: "buy",
  price,
  size: "1",
  id,
});

describe("trades that are not counted yet", () => {
  const stream = [trade("7", 1), trade("9", 2), trade("8", 2)];
  it("are those that came after the last counted one, in order of arrival", () => {
    expect(after(stream, trade("9", 2)).map((each) => each.id)).toEqual(["8"]);
    expect(after(stream, trade("8", 2))).toEqual([]);
  });
  it("are the later ones where the stream never brought that one", () => {
    expect(after(stream, trade("1", 1)).map((each) => each.id)).toEqual(["9", "8"]);
  });
  it("are told apart without ids too, however the time is written", () => {
    const nameless = [trade(null, 1), trade(null, 1, "2")];
    expect(after(nameless, { ...trade(null, 1), time: "2026-01-01T00:00:01.000000000Z" })).toEqual([
      nameless[1],
    ]);
  });
});
