import { expect, it } from "vitest";
import { Heights } from "./heights";

it("counts from the last new height, not from the last message", () => {
  const heights = new Heights();
  expect(heights.still(5)).toBeNull();
  heights.heard(7, 1_000);
  heights.heard(7, 9_000);
  expect(heights.still(11_000)).toBe(10_000);
  heights.heard(8, 12_000);
  expect(heights.still(12_500)).toBe(500);
});
