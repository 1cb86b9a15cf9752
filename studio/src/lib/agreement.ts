import type { ChunkInfo } from "../api/types";

/** How far the validators agreed on one source's window. */
export type Agreement = "accepted" | "partly" | "disputed" | "none";

export interface WindowAgreement {
  window: number;
  agreement: Agreement;
  chunks: ChunkInfo[];
  accepted: number;
  disputed: number;
  differing: number;
}

/** `partly`: some streams have no quorum, or somebody's data differed from what was agreed. */
export function agreementOf(chunks: ChunkInfo[]): Agreement {
  if (chunks.length === 0) return "none";
  const accepted = chunks.filter((chunk) => chunk.status === "accepted").length;
  if (accepted === 0) return "disputed";
  return accepted === chunks.length && chunks.every((chunk) => chunk.differing.length === 0)
    ? "accepted"
    : "partly";
}

/** The last `count` windows of a source, oldest first. A window between two others that nobody attested is `none`. */
export function recentWindows(chunks: ChunkInfo[], count: number): WindowAgreement[] {
  const byWindow = new Map<number, ChunkInfo[]>();
  for (const chunk of chunks) {
    const entry = byWindow.get(chunk.window);
    if (entry) entry.push(chunk);
    else byWindow.set(chunk.window, [chunk]);
  }
  if (byWindow.size === 0) return [];
  const newest = Math.max(...byWindow.keys());
  const oldest = Math.max(Math.min(...byWindow.keys()), newest - count + 1);
  const windows: WindowAgreement[] = [];
  for (let window = oldest; window <= newest; window += 1) {
    const own = byWindow.get(window) ?? [];
    windows.push({
      window,
      agreement: agreementOf(own),
      chunks: [...own].sort((a, b) => a.stream.localeCompare(b.stream)),
      accepted: own.filter((chunk) => chunk.status === "accepted").length,
      disputed: own.filter((chunk) => chunk.status === "disputed").length,
      differing: own.filter((chunk) => chunk.differing.length > 0).length,
    });
  }
  return windows;
}

/** The list with one more chunk in front; the same stream of the same window is replaced. */
export function withChunk(chunks: ChunkInfo[], chunk: ChunkInfo, limit: number): ChunkInfo[] {
  const others = chunks.filter((each) => each.window !== chunk.window || each.stream !== chunk.stream);
  return [chunk, ...others].slice(0, limit);
}
