/** When what is shown counts as old. */

/** Blocks come about each second; this long without one means that the network, or our view of it, stands still. */
export const BLOCK_STALE_MS = 10_000;
/** A venue sends several book changes each second; a book that is quiet for longer may be out of step. */
export const BOOK_STALE_MS = 15_000;
/** The node sends its status each second. */
export const STATUS_STALE_MS = 6_000;

/** Age of something that was heard at `at`, and whether that is too old. Nothing heard yet is not stale, but unknown. */
export function ageOf(
  at: number | null,
  now: number,
  limitMs: number,
): { ms: number; stale: boolean } | null {
  if (at === null) return null;
  const ms = Math.max(0, now - at);
  return { ms, stale: ms > limitMs };
}
