import { useCallback } from "react";
import { useSearchParams } from "react-router";

/** The address with some parameters set, and others (set to nothing) taken out. What is not named stays. */
export function changed(from: URLSearchParams, values: Record<string, string | null>): URLSearchParams {
  const next = new URLSearchParams(from);
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === "") next.delete(name);
    else next.set(name, value);
  }
  return next;
}

/** One of the words allowed, or the default: an address is typed by strangers. */
export function oneOf<T extends string>(value: string | null, allowed: readonly T[], otherwise: T): T {
  return allowed.find((each) => each === value) ?? otherwise;
}

/**
 * A page's filters, kept in the address so that they can be shared and come back with the back button. They are drawn at
 * once: drawn when there is time, a field would lose letters on a page that is busy, such as a log that goes on.
 */
export function useFilters(): [(name: string) => string, (values: Record<string, string | null>) => void] {
  const [parameters, setParameters] = useSearchParams();
  const read = useCallback((name: string) => parameters.get(name) ?? "", [parameters]);
  const write = useCallback(
    (values: Record<string, string | null>) =>
      setParameters((current) => changed(current, values), {
        replace: true,
        preventScrollReset: true,
        flushSync: true,
      }),
    [setParameters],
  );
  return [read, write];
}
