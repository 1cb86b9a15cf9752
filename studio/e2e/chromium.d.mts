import type { Browser } from "playwright-core";

export const BROWSER: string;
export const FLAGS: string[];

/** A browser, and the end of all that was made for it. */
export interface Apart {
  browser: Browser;
  stop(): Promise<void>;
}

/** Chromium in a network namespace of its own, in which these ports lead to those of the machine's loopback. It needs root. */
export function startApart(ports: readonly number[]): Promise<Apart>;
