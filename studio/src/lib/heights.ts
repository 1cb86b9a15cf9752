import { useNow } from "./now";

/**
 * When a new block was last heard of, by this browser's own clock. The block's time alone would not do: a browser whose
 * clock runs ahead would call a running network stale, and one behind a dead network live.
 */
export class Heights {
  #height = -1;
  #since: number | null = null;

  /** A height was heard of. */
  heard(height: number, now: number): void {
    if (height === this.#height) return;
    this.#height = height;
    this.#since = now;
  }

  /** For how long the height has not changed, in milliseconds; `null` before any was heard of. */
  still(now: number): number | null {
    return this.#since === null ? null : Math.max(0, now - this.#since);
  }
}

export const heights = new Heights();

/** For how long no new block has been heard of, ticking. */
export const useStill = (): number | null => heights.still(useNow());
