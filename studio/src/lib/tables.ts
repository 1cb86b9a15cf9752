/** How far a node's tables were when they answered, and what that means for the answer. */
import type { TablesStatus } from "../api/types";
import { count } from "./format";

/**
 * Tables this many blocks behind the ledger are old. A block's rows come with the chunks that it agreed on, some seconds
 * later, so that a few blocks are usual; this is about a minute.
 */
export const TABLES_BEHIND_MAX = 60;

/**
 * What an answer says of its tables. A node of before that says nothing; only a development server meets one, for a binary
 * carries its own Studio.
 */
export function tablesOf(answer: { tables: TablesStatus }): TablesStatus | null {
  if (import.meta.env.DEV) return (answer as { tables?: TablesStatus }).tables ?? null;
  return answer.tables;
}

/** Up to where the tables were, in words. */
export function reach({ height, chunks_awaited: awaited }: TablesStatus): string {
  const coming =
    awaited === 0
      ? ""
      : `; the rows of ${count(awaited)} agreed ${awaited === 1 ? "chunk are" : "chunks are"} still to come`;
  return `up to block ${count(height)}${coming}`;
}

/** What is wrong with an answer of such tables, each with its reason; nothing where it is as it should be. */
export function shortcomings(tables: TablesStatus, height: number | null): { title: string; why: string }[] {
  const { chunks_missing: missing, chunks_unavailable: unavailable, chunks_height: counted } = tables;
  const behind = height === null ? 0 : height - tables.height;
  const found: { title: string; why: string }[] = [];
  if (missing > 0)
    found.push({
      title: "Incomplete: rows are missing",
      why: `${count(missing)} ${missing === 1 ? "chunk was" : "chunks were"} agreed on, but could not be had or read: ${missing === 1 ? "it was" : "they were"} given up.`,
    });
  if (unavailable > 0)
    found.push({
      title: "Incomplete: chunks are unavailable",
      why: `${count(unavailable)} ${unavailable === 1 ? "chunk was" : "chunks were"} agreed on, but no connected node holds ${unavailable === 1 ? "it" : "them"} now.`,
    });
  if (tables.height - counted > TABLES_BEHIND_MAX)
    found.push({
      title: "Incomplete: chunks are not counted yet",
      why: `What was agreed on after block ${count(counted)} is looked for when there is room for it; its rows may be missing.`,
    });
  if (height !== null && behind > TABLES_BEHIND_MAX)
    found.push({
      title: `Old: ${count(behind)} blocks behind the network`,
      why: `The tables were at block ${count(tables.height)}, the network at block ${count(height)}. What was agreed on in between is not in the answer.`,
    });
  return found;
}
