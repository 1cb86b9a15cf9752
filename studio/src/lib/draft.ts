/**
 * What somebody has begun to write, kept while they look at another page or sign in anew after their session has ended. It
 * stays in the memory of this tab, and is nobody else's: another person who signs in does not find it.
 */
import { useEffect, useReducer, useState } from "react";

const drafts = new Map<string, unknown>();
let owner: string | null = null;

/** State of a page that outlives the page, under a key of its own. */
export function useDraft<T>(key: string, begin: () => T): [T, (next: T) => void] {
  const [value, setValue] = useState<T>(() => (drafts.has(key) ? (drafts.get(key) as T) : begin()));
  const write = (next: T) => {
    drafts.set(key, next);
    setValue(next);
  };
  return [value, write];
}

/** The same for a state that changes by acts. */
export function useDraftReducer<S, A>(
  key: string,
  reduce: (state: S, action: A) => S,
  begin: () => S,
): [S, (action: A) => void] {
  const [state, dispatch] = useReducer(reduce, undefined, () =>
    drafts.has(key) ? (drafts.get(key) as S) : begin(),
  );
  useEffect(() => {
    drafts.set(key, state);
  }, [key, state]);
  return [state, dispatch];
}

/** Forgets drafts, as after what was written was done; without keys all of them. */
export function forgetDrafts(...keys: string[]): void {
  if (keys.length === 0) drafts.clear();
  for (const key of keys) drafts.delete(key);
}

/** Says whose they are from now on: those of anybody else are forgotten. */
export function draftsBelongTo(who: string): void {
  const next = who.toLowerCase();
  if (owner !== null && owner !== next) drafts.clear();
  owner = next;
}
