import { useSyncExternalStore } from "react";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** The same word as in `public/theme.js`, which sets the theme before the first paint. */
const KEY = "openmesh-theme";
const listeners = new Set<() => void>();
const system = () => window.matchMedia("(prefers-color-scheme: dark)");

function read(): Theme {
  const stored = localStorage.getItem(KEY);
  return THEMES.find((theme) => theme === stored) ?? "system";
}

/** What a choice means now. */
export function resolve(theme: Theme, systemDark: boolean): "light" | "dark" {
  return theme === "system" ? (systemDark ? "dark" : "light") : theme;
}

function apply(): void {
  document.documentElement.dataset["theme"] = resolve(read(), system().matches);
  for (const listener of listeners) listener();
}

export function setTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  apply();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  system().addEventListener("change", apply);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) system().removeEventListener("change", apply);
  };
}

export const useTheme = (): Theme => useSyncExternalStore(subscribe, read);

/** The colours that are on now; drawings that do not follow style sheets ask here. */
export const useColors = (): "light" | "dark" =>
  useSyncExternalStore(subscribe, () => resolve(read(), system().matches));
