import { expect, it } from "vitest";
import { add, digitsThatMatter, padded, subtract, units } from "./decimals";

it("adds and subtracts without losing a digit", () => {
  expect(add("0.1", "0.2")).toBe("0.3");
  expect(add("12345678901234567.123456789", "0.000000001")).toBe("12345678901234567.123456790");
  expect(subtract("65282.6", "65265.55")).toBe("17.05");
  expect(subtract("1", "1.5")).toBe("-0.5");
  expect(add("1", "1e3")).toBeNull();
});

it("shows as many digits as matter in a column", () => {
  const column = ["355.63000000", "293.02850000", "100.000", "7"];
  const digits = digitsThatMatter(column);
  expect(digits).toBe(4);
  expect(column.map((each) => padded(each, digits))).toEqual(["355.6300", "293.0285", "100.0000", "7.0000"]);
  expect([padded("100.000", digitsThatMatter(["100.000"])), digitsThatMatter([])]).toEqual(["100", 0]);
});

it("pads, and cuts nothing but zeros", () => {
  expect(padded("65404", 1)).toBe("65404.0");
  expect(padded("65404.25", 1)).toBe("65404.25");
  expect(padded("x", 2)).toBe("x");
});

it("reads an amount of OPEN exactly", () => {
  expect(units("1.5")).toBe("1500000000000000000");
  expect(units(" 100000000 ")).toBe("100000000000000000000000000");
  expect(units("0.000000000000000001")).toBe("1");
  expect(units("0.0000000000000000010")).toBe("1");
  for (const wrong of ["0.0000000000000000001", "-1", "1,5", "", "1e3", ".5"])
    expect(units(wrong)).toBeNull();
});
