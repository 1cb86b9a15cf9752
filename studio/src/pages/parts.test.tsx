import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, it } from "vitest";
import type { ChunkInfo } from "../api/types";
import { StatusBadge } from "./parts";

afterEach(cleanup);

it("shows an uncovered chunk as that, not as accepted or disputed", () => {
  const chunk = (status: ChunkInfo["status"]) => ({ status, differing: [] }) as unknown as ChunkInfo;
  for (const [status, words] of [
    ["accepted", "✓ accepted"],
    ["disputed", "✕ disputed"],
    ["uncovered", "○ uncovered"],
  ] as const) {
    render(<StatusBadge chunk={chunk(status)} />);
    expect(screen.getByText(words).className).toContain(
      { accepted: "good", disputed: "bad", uncovered: "hole" }[status],
    );
    cleanup();
  }
});
