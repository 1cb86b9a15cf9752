import { describe, expect, it } from "vitest";
import type { ChunkInfo } from "../api/types";
import { agreementOf, recentWindows, withChunk } from "./agreement";

const chunk = (window: number, stream: string, status: "accepted" | "disputed", differing: string[] = []) =>
  ({ window, stream, status, differing, attesters: [] }) as unknown as ChunkInfo;

describe("agreement", () => {
  it("names each state", () => {
    expect(agreementOf([])).toBe("none");
    expect(agreementOf([chunk(1, "a", "accepted")])).toBe("accepted");
    expect(agreementOf([chunk(1, "a", "accepted", ["0x1"])])).toBe("partly");
    expect(agreementOf([chunk(1, "a", "accepted"), chunk(1, "b", "disputed")])).toBe("partly");
    expect(agreementOf([chunk(1, "a", "disputed")])).toBe("disputed");
  });
  it("shows a window that nobody attested, and no more than asked for", () => {
    const chunks = [chunk(5, "a", "accepted"), chunk(3, "a", "disputed"), chunk(1, "a", "accepted")];
    expect(recentWindows(chunks, 4).map((each) => [each.window, each.agreement])).toEqual([
      [2, "none"],
      [3, "disputed"],
      [4, "none"],
      [5, "accepted"],
    ]);
    expect(recentWindows([], 4)).toEqual([]);
  });
  it("replaces a stream that is heard of again", () => {
    const before = [chunk(1, "a", "disputed"), chunk(1, "b", "accepted")];
    const after = withChunk(before, chunk(1, "a", "accepted"), 10);
    expect(after.map((each) => [each.stream, each.status])).toEqual([
      ["a", "accepted"],
      ["b", "accepted"],
    ]);
    expect(withChunk(before, chunk(2, "a", "accepted"), 2)).toHaveLength(2);
  });
});
