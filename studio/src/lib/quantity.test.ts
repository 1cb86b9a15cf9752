import { expect, it } from "vitest";
import { binary, readSize } from "./quantity";

const bytesOf = (text: string) => {
  const read = readSize(text);
  return "bytes" in read ? read.bytes : null;
};
const wrong = (text: string) => {
  const read = readSize(text);
  return "wrong" in read ? read.wrong : null;
};

it("reads sizes exactly, also beyond what a float holds", () => {
  expect(bytesOf("512MiB")).toBe(536_870_912n);
  expect(bytesOf("1.5 GiB")).toBe(1_610_612_736n);
  expect(bytesOf("18446744073709551615B")).toBe((1n << 64n) - 1n);
  expect(bytesOf("0B")).toBe(0n);
});

it("refuses what the agent refuses, with a way out", () => {
  expect(wrong("512")).toMatch(/512MiB/);
  expect(wrong("512mb")).toMatch(/is no unit/);
  expect(wrong("0.1B")).toMatch(/finer than a byte/);
  expect(wrong("18446744073709551616B")).toMatch(/2\^64/);
  for (const text of ["", "MiB", "-1MiB", "1e3MiB", "1.MiB", "1 2MiB"]) expect(wrong(text)).toMatch(/number/);
});

it("says bytes in binary units", () => {
  expect([0, 1_023, 1_024, 1_536, 12_582_912, 5 * 2 ** 40].map(binary)).toEqual([
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "12 MiB",
    "5 TiB",
  ]);
});
