import { expect, it } from "vitest";
import type { UsagePoint } from "../api/xnode";
import { bits, highestOf, lineOf, newestOf, samplesOf, topOf } from "./usage";

const plot = { from: 0, to: 100_000, stepMs: 10_000, top: 10 };

it("draws a line, and leaves a gap where nobody looked", () => {
  const samples = [
    { at: 0, value: 0 },
    { at: 10_000, value: 5 },
    { at: 50_000, value: 10 },
    { at: 80_000, value: 20 },
    { at: 90_000, value: -1 },
  ];
  expect(lineOf(samples, plot)).toBe("M50 100L150 50M500 0L600 0M850 0L950 100");
  expect(lineOf([], plot)).toBe("");
  expect(lineOf([{ at: 0, value: 1 }], { ...plot, top: 0 })).toBe("M0 100L100 100");
});

it("has its edge at the limit where that is near, else above the highest", () => {
  expect(topOf(30, 100)).toBe(100);
  expect(topOf(120, 100)).toBe(120);
  expect(topOf(1, 100)).toBeCloseTo(1.1);
  expect(topOf(10, 0)).toBeCloseTo(11);
  expect(topOf(0, 100)).toBe(1);
});

it("says the highest of what runs now, and not of what ended", () => {
  const one = [
    { at: 0, value: 9 },
    { at: 60_000, value: 3 },
  ];
  const other = [{ at: 60_000, value: 5 }];
  const ended = [{ at: -60_000, value: 8 }];
  expect(newestOf([one, other, ended, []], 60_000)).toBe(5);
  expect(newestOf([ended], 60_000)).toBe(8);
  expect(newestOf([], 60_000)).toBe(0);
});

it("takes a figure out of the points, and says rates in words", () => {
  const points = [
    { at: "1970-01-01T00:00:10Z", memory_bytes: 7 },
    { at: "never", memory_bytes: 9 },
  ] as UsagePoint[];
  const samples = samplesOf(points, (point) => point.memory_bytes);
  expect(samples).toEqual([{ at: 10_000, value: 7 }]);
  expect(highestOf(samples)).toBe(7);
  expect([0, 999, 12_345, 2_500_000, 3_210_000_000].map(bits)).toEqual([
    "0 bit/s",
    "999 bit/s",
    "12.3 kbit/s",
    "2.5 Mbit/s",
    "3.21 Gbit/s",
  ]);
});
