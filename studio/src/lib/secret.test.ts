import { expect, it } from "vitest";
import { generated } from "./secret";

it("makes letters and digits of a length, another each time", () => {
  expect(generated(32)).toMatch(/^[A-Za-z0-9]{32}$/);
  expect(generated(128)).toHaveLength(128);
  expect(generated(32)).not.toBe(generated(32));
});

it("throws away bytes that would favour some letters", () => {
  let next = 0;
  const counted = generated(62 * 4, (bytes) => {
    for (let at = 0; at < bytes.length; at += 1) {
      bytes[at] = next % 256;
      next += 1;
    }
  });
  const counts = new Map<string, number>();
  for (const char of counted) counts.set(char, (counts.get(char) ?? 0) + 1);
  expect([...counts.values()].every((count) => count === 4)).toBe(true);
});
