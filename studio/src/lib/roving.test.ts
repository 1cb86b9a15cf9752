import { expect, it } from "vitest";
import { nextCell } from "./roving";

it("goes along rows that end together at the right", () => {
  const rows = [3, 5];
  expect(nextCell("ArrowLeft", rows, { row: 0, column: 2 })).toEqual({ row: 0, column: 1 });
  expect(nextCell("ArrowRight", rows, { row: 0, column: 2 })).toEqual({ row: 0, column: 2 });
  expect(nextCell("ArrowDown", rows, { row: 0, column: 2 })).toEqual({ row: 1, column: 4 });
  expect(nextCell("ArrowUp", rows, { row: 1, column: 0 })).toEqual({ row: 0, column: 0 });
  expect(nextCell("ArrowUp", rows, { row: 0, column: 0 })).toBeNull();
  expect(nextCell("Home", rows, { row: 1, column: 4 })).toEqual({ row: 1, column: 0 });
  expect(nextCell("Tab", rows, { row: 1, column: 4 })).toBeNull();
});
