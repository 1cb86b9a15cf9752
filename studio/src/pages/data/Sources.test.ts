import { expect, it } from "vitest";
import type { SourceInfo } from "../../api/types";
import { entriesOf } from "./Sources";

const source = (id: string, more: Partial<SourceInfo>) =>
  ({
    id,
    exchange: id,
    kind: "market",
    symbols: ["BTC.USD"],
    feeds: ["trades"],
    stale: false,
    ...more,
  }) as SourceInfo;

it("filters instruments by exchange, feed, text and state", () => {
  const all = [
    source("kraken", {}),
    source("okx", { stale: true }),
    source("bybit", {
      feeds: ["book"],
      collection: { troubles: [{ kind: "banned" }] } as unknown as NonNullable<SourceInfo["collection"]>,
    }),
  ];
  const ids = (filter: Partial<Parameters<typeof entriesOf>[1]>) =>
    entriesOf(all, { exchange: "", feed: "", text: "", ...filter }).map((each) => each.source.id);
  expect(ids({})).toEqual(["kraken", "okx", "bybit"]);
  expect(ids({ state: "trouble" })).toEqual(["okx", "bybit"]);
  expect(ids({ state: "heard" })).toEqual(["kraken"]);
  expect(ids({ feed: "book" })).toEqual(["bybit"]);
  expect(ids({ text: "btc okx" })).toEqual(["okx"]);
});
