import { describe, expect, it } from "vitest";
import { age, bytes, clock, compareDecimals, decimal, duration, instant, lasting, open } from "./format";
import { ageOf } from "./staleness";

describe("numbers", () => {
  it("groups decimals without changing a digit", () => {
    expect(decimal("1234567.000100")).toBe("1,234,567.000100");
    expect(decimal("-1000")).toBe("-1,000");
    expect(decimal("0.00000001")).toBe("0.00000001");
    expect(decimal("n/a")).toBe("n/a");
  });
  it("compares decimals beyond the precision of floats", () => {
    expect(compareDecimals("9007199254740993", "9007199254740992")).toBe(1);
    expect(compareDecimals("0.1000000000000000001", "0.1")).toBe(1);
    expect(compareDecimals("10", "9.5")).toBe(1);
    expect(compareDecimals("-2", "-10")).toBe(1);
    expect(compareDecimals("1.50", "1.5")).toBe(0);
    expect(compareDecimals("-0.0", "0")).toBe(0);
    expect(compareDecimals("NaN", "1")).toBe(1);
  });
  it("says amounts exactly", () => {
    expect(open("1000000000000000000")).toBe("1 OPEN");
    expect(open("1")).toBe("0.000000000000000001 OPEN");
    expect(open("1500000000000000000000")).toBe("1,500 OPEN");
  });
  it("says sizes and durations", () => {
    expect([bytes(999), bytes(1_500), bytes(2_000_000)]).toEqual(["999 B", "1.5 kB", "2.0 MB"]);
    expect([duration(12), duration(1_000), duration(1_520), duration(90_000)]).toEqual([
      "12 ms",
      "1 s",
      "1.52 s",
      "1.5 min",
    ]);
  });
});

describe("times", () => {
  it("says for how long something lasts, without a jump back", () => {
    expect([-5, 900, 59_999, 61_000, 3_600_000 * 25].map(lasting)).toEqual([
      "0 s",
      "0 s",
      "59 s",
      "1 min 1 s",
      "25 h 0 min",
    ]);
  });
  it("understands every form that the API sends", () => {
    const expected = Date.UTC(2026, 0, 2, 3, 4, 5);
    expect(instant("2026-01-02T03:04:05Z")).toBe(expected);
    expect(instant("2026-01-02 03:04:05")).toBe(expected);
    expect(instant("2026-01-02T05:04:05+02:00")).toBe(expected);
    expect(instant(String(expected / 1_000))).toBe(expected);
    expect(instant("yesterday")).toBeNull();
    expect(instant(null)).toBeNull();
  });
  it("says ages, and takes a clock ahead of ours as now", () => {
    expect(age(-5_000)).toBe("now");
    expect(age(999)).toBe("now");
    expect(age(59_999)).toBe("59 s ago");
    expect(age(60_000)).toBe("1 min ago");
    expect(age(3_600_000)).toBe("1 h ago");
    expect(age(3_660_000)).toBe("1 h 1 min ago");
    expect(age(72 * 3_600_000)).toBe("3 days ago");
  });
  it("says moments in UTC, with the date where it is another day", () => {
    const at = Date.UTC(2026, 0, 2, 23, 59, 58);
    expect(clock(at, at + 1_000)).toBe("23:59:58");
    expect(clock(at, at + 60_000)).toBe("2026-01-02 23:59:58");
  });
  it("marks as stale only what is older than the limit", () => {
    expect(ageOf(null, 10_000, 5_000)).toBeNull();
    expect(ageOf(5_000, 10_000, 5_000)).toEqual({ ms: 5_000, stale: false });
    expect(ageOf(4_999, 10_000, 5_000)).toEqual({ ms: 5_001, stale: true });
    expect(ageOf(11_000, 10_000, 5_000)).toEqual({ ms: 0, stale: false });
  });
});
