import type {
  AgreementCell,
  AgreementMatrix,
  ChunkInfo,
  ChunkStatus,
  SourceKind,
  Vote,
  WindowStatus,
} from "../api/types";
import { count } from "./format";

/** A state of a window, or of one validator in it, as a cell shows it. */
export interface Sign {
  sign: string;
  /** The class of the cell's colours. */
  tone: "good" | "warn" | "bad" | "hole" | "none" | "waiting";
  words: string;
}

export const WINDOW_SIGNS: Record<WindowStatus, Sign> = {
  agreed: { sign: "✓", tone: "good", words: "Agreed" },
  partly: { sign: "~", tone: "warn", words: "Partly" },
  disputed: { sign: "✕", tone: "bad", words: "Disputed" },
  uncovered: { sign: "○", tone: "hole", words: "Uncovered" },
  missing: { sign: "–", tone: "bad", words: "Missing" },
  open: { sign: "…", tone: "waiting", words: "Open" },
};

export const VOTE_SIGNS: Record<Vote, Sign> = {
  agreed: { sign: "✓", tone: "good", words: "Agreed" },
  differing: { sign: "✕", tone: "bad", words: "Differing" },
  abstained: { sign: "○", tone: "hole", words: "Abstained" },
  missing: { sign: "–", tone: "bad", words: "Missing" },
  waiting: { sign: "…", tone: "waiting", words: "Waiting" },
  not_assigned: { sign: "·", tone: "none", words: "Not assigned" },
};

/** Words for the agreement on a chunk, as a filter offers them. */
export const CHUNK_STATUSES: readonly ChunkStatus[] = ["accepted", "disputed", "uncovered"];

/** What each sign means, for the legend. */
export const WINDOW_MEANING: Record<WindowStatus, string> = {
  agreed: "A quorum agreed on every stream, and nobody differed",
  partly: "A stream is disputed or uncovered, or a validator differed",
  disputed: "No stream has a quorum, and validators contradict each other",
  uncovered: "Too few validators covered its streams to decide; accuses nobody",
  missing: "Nobody attested the window",
  open: "Attestations are still coming",
};

export const VOTE_MEANING: Record<Vote, string> = {
  agreed: "It attested what was agreed",
  differing: "It attested something else in a stream",
  abstained: "It attested, and said that it did not cover a stream",
  missing: "It was assigned and sent nothing",
  waiting: "It was assigned and may still send",
  not_assigned: "It was not assigned to the source",
};

/** A window's name: a chain's windows are its blocks. */
export const named = (kind: SourceKind, window: number): string =>
  kind === "chain" ? `block ${count(window)}` : `window ${window}`;

/** A window in words. */
export function describe(source: string, cell: AgreementCell, kind: SourceKind): string {
  const streams = cell.accepted + cell.disputed + cell.uncovered;
  const agreed = streams > 0 ? `, ${cell.accepted} of ${streams} streams agreed` : "";
  const disputed = cell.disputed > 0 ? `, ${cell.disputed} disputed` : "";
  const uncovered = cell.uncovered > 0 ? `, ${cell.uncovered} uncovered` : "";
  const differing = cell.differing > 0 ? `, ${cell.differing} with differing data` : "";
  return `${source}, ${named(kind, cell.window)}: ${WINDOW_SIGNS[cell.status].words.toLowerCase()}${agreed}${disputed}${uncovered}${differing}`;
}

/** One validator's votes over the windows of a source. */
export interface Votes {
  address: string;
  name: string;
  votes: Vote[];
}

/** The rows of the matrix turned: one for each validator that was ever assigned in these windows. */
export function byValidator(matrix: AgreementMatrix, source: string): Votes[] {
  const windows = matrix.sources.find((each) => each.source === source)?.windows ?? [];
  return matrix.validators
    .map(({ address, name }, at) => ({
      address,
      name,
      votes: windows.map((cell): Vote => cell.votes[at] ?? "not_assigned"),
    }))
    .filter(({ votes }) => votes.some((vote) => vote !== "not_assigned"));
}

/** The list with one more chunk in front; the same stream of the same window is replaced. */
export function withChunk(chunks: ChunkInfo[], chunk: ChunkInfo, limit: number): ChunkInfo[] {
  const others = chunks.filter(
    (each) => each.source !== chunk.source || each.window !== chunk.window || each.stream !== chunk.stream,
  );
  return [chunk, ...others].slice(0, limit);
}
