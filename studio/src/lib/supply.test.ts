import { expect, it } from "vitest";
import type { SupplyInfo } from "../api/types";
import { percent, placesOf, shareOf, sumOf } from "./supply";

const CAP = "1000000000000000000000000000";

it("makes shares of amounts that no float holds", () => {
  expect(shareOf("200000000000000000000000000", CAP)).toBe(0.2);
  expect(shareOf("999999999999999999999999999", CAP)).toBe(0.9999);
  expect(shareOf("1", "0")).toBe(0);
  expect(percent("5000000000000000000000000", CAP)).toBe("0.5 %");
  expect(percent(CAP, CAP)).toBe("100 %");
  expect(percent("1", CAP)).toBe("under 0.01 %");
  expect(percent("0", CAP)).toBe("0 %");
});

it("names every place, and they sum to the cap", () => {
  const supply: SupplyInfo = {
    height: 7,
    cap: CAP,
    pools: "949999999999999999999999990",
    accounts: "50000000000000000000000000",
    deposits: "7",
    burnt: "3",
    groups: [],
  };
  expect(sumOf(placesOf(supply).map(({ amount }) => amount))).toBe(CAP);
});
