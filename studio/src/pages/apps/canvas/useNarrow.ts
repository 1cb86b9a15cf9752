import { useSyncExternalStore } from "react";

/** Widths at which there is no room for a canvas, as the style sheet has it. */
const NARROW = "(max-width: 680px)";

function subscribe(listener: () => void): () => void {
  const query = window.matchMedia(NARROW);
  query.addEventListener("change", listener);
  return () => query.removeEventListener("change", listener);
}

/** Whether the page is too narrow for a canvas: its applications are a list then. */
export const useNarrow = (): boolean =>
  useSyncExternalStore(subscribe, () => window.matchMedia(NARROW).matches);
