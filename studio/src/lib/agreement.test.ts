import { expect, it } from "vitest";
import type { AgreementCell, AgreementMatrix, ChunkInfo } from "../api/types";
import { byValidator, describe, VOTE_SIGNS, WINDOW_SIGNS, withChunk } from "./agreement";

const cell = (window: number, more: Partial<AgreementCell> = {}): AgreementCell => ({
  window,
  window_start: "",
  status: "agreed",
  closed: true,
  accepted: 2,
  disputed: 0,
  uncovered: 0,
  differing: 0,
  votes: [],
  ...more,
});

it("says a window in words", () => {
  expect(describe("kraken", cell(5), "market")).toBe("kraken, window 5: agreed, 2 of 2 streams agreed");
  expect(describe("kraken", cell(5, { status: "partly", disputed: 1, differing: 1 }), "market")).toBe(
    "kraken, window 5: partly, 2 of 3 streams agreed, 1 disputed, 1 with differing data",
  );
  expect(describe("kraken", cell(5, { status: "uncovered", accepted: 0, uncovered: 2 }), "market")).toBe(
    "kraken, window 5: uncovered, 0 of 2 streams agreed, 2 uncovered",
  );
  expect(describe("kraken", cell(5, { status: "missing", accepted: 0 }), "market")).toBe(
    "kraken, window 5: missing",
  );
  expect(describe("ethereum", cell(20_000_000, { accepted: 1 }), "chain")).toBe(
    "ethereum, block 20,000,000: agreed, 1 of 1 streams agreed",
  );
});

it("shows what too few covered as a word and a sign of its own, and accuses nobody", () => {
  expect(WINDOW_SIGNS.uncovered.words).toBe("Uncovered");
  expect(VOTE_SIGNS.abstained.words).toBe("Abstained");
  for (const { sign, tone } of [WINDOW_SIGNS.disputed, WINDOW_SIGNS.missing, VOTE_SIGNS.differing]) {
    expect(sign).not.toBe(WINDOW_SIGNS.uncovered.sign);
    expect(tone).not.toBe(WINDOW_SIGNS.uncovered.tone);
  }
});

it("turns the matrix to one row for each validator that was assigned", () => {
  const matrix: AgreementMatrix = {
    height: 9,
    validators: [
      { address: "0x1", name: "a" },
      { address: "0x2", name: "b" },
    ],
    sources: [
      {
        source: "kraken",
        origin: "simulated",
        kind: "market",
        window_ms: 1_000,
        windows: [
          cell(1, { votes: ["agreed", "not_assigned"] }),
          cell(2, { votes: ["missing", "not_assigned"] }),
        ],
        next: null,
      },
    ],
  };
  expect(byValidator(matrix, "kraken")).toEqual([
    { address: "0x1", name: "a", votes: ["agreed", "missing"] },
  ]);
  expect(byValidator(matrix, "okx")).toEqual([]);
});

it("replaces a chunk that is heard of again, and only that", () => {
  const chunk = (source: string, window: number, stream: string, status: string) =>
    ({ source, window, stream, status }) as unknown as ChunkInfo;
  const before = [chunk("okx", 1, "a", "disputed"), chunk("kraken", 1, "a", "accepted")];
  const after = withChunk(before, chunk("okx", 1, "a", "accepted"), 10);
  expect(after.map((each) => [each.source, each.status])).toEqual([
    ["okx", "accepted"],
    ["kraken", "accepted"],
  ]);
  expect(withChunk(before, chunk("okx", 2, "a", "accepted"), 2)).toHaveLength(2);
});
