import { expect, it } from "vitest";
import { suggested, writable, wrongFees } from "./fees";

const action = { fee_min: "1000000000000" };

it("suggests what the node estimates", () => {
  expect(suggested(action)).toEqual({ maxFee: "2100000000000", tip: "100000000000" });
  expect(writable("2100000000000")).toBe("0.0000021");
});

it("says what is wrong with fees", () => {
  const wrong = (maxFee: string, tip: string) => wrongFees(action, { maxFee, tip });
  expect(wrong("0.000001", "0")).toEqual({});
  expect(wrong("0.0000009", "0").maxFee).toMatch(/base fee of the next block is 0.000001 OPEN/);
  expect(wrong("many", "x")).toEqual({
    maxFee: "A fee is a number of OPEN.",
    tip: "A tip is a number of OPEN.",
  });
  expect(wrong("1", "1.1")).toEqual({ tip: "The tip is a part of the highest fee." });
});
