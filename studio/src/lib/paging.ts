import { useCallback } from "react";
import { useSearchParams } from "react-router";
import { changed } from "./urlState";

export interface Pager {
  /** `next` of the page before; empty on the first page. */
  cursor: string;
  /** Goes to a page, or with nothing to the newest. Each step is one in the browser's history. */
  go: (cursor: string | null) => void;
}

/** A list's place, kept in the address under its own name, so that several lists of a page do not disturb each other. */
export function usePager(name: string): Pager {
  const [parameters, setParameters] = useSearchParams();
  const go = useCallback(
    (cursor: string | null) =>
      setParameters((current) => changed(current, { [name]: cursor }), { preventScrollReset: true }),
    [name, setParameters],
  );
  return { cursor: parameters.get(name) ?? "", go };
}
