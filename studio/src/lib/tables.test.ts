import { expect, it } from "vitest";
import { reach, shortcomings, TABLES_BEHIND_MAX } from "./tables";

const tables = {
  height: 1_000,
  chunks_height: 1_000,
  chunks_awaited: 0,
  chunks_unavailable: 0,
  chunks_missing: 0,
};

it("says up to where the tables were", () => {
  expect(reach(tables)).toBe("up to block 1,000");
  expect(reach({ ...tables, chunks_awaited: 1 })).toBe(
    "up to block 1,000; the rows of 1 agreed chunk are still to come",
  );
});

it("finds nothing wrong with tables that are a few blocks behind, or while the height is not known", () => {
  expect(shortcomings(tables, 1_000 + TABLES_BEHIND_MAX)).toEqual([]);
  expect(shortcomings(tables, 990)).toEqual([]);
  expect(shortcomings(tables, null)).toEqual([]);
});

it("calls an answer incomplete or old, each with its reason", () => {
  const found = shortcomings({ ...tables, chunks_missing: 2 }, 1_001 + TABLES_BEHIND_MAX);
  expect(found.map(({ title }) => title)).toEqual([
    "Incomplete: rows are missing",
    "Old: 61 blocks behind the network",
  ]);
  expect(found[0]?.why).toMatch(/^2 chunks were agreed on/);
  expect(found[1]?.why).toMatch(/block 1,000, the network at block 1,061/);
});

it("tells chunks that nobody holds, and those that are not counted, from those that are late", () => {
  expect(shortcomings({ ...tables, chunks_awaited: 9 }, 1_000)).toEqual([]);
  const found = shortcomings({ ...tables, chunks_unavailable: 1, chunks_height: 900 }, 1_000);
  expect(found.map(({ title }) => title)).toEqual([
    "Incomplete: chunks are unavailable",
    "Incomplete: chunks are not counted yet",
  ]);
  expect(found[0]?.why).toMatch(/^1 chunk was agreed on, but no connected node holds it/);
});
