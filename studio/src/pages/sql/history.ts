/** Queries run in this browser, newest first. They stay here: the node keeps none. */
const KEY = "openmesh-sql-history";
const ENTRIES_MAX = 30;

export function readHistory(): string[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored)
      ? stored.filter((each) => typeof each === "string").slice(0, ENTRIES_MAX)
      : [];
  } catch {
    return [];
  }
}

export function remember(query: string): string[] {
  const text = query.trim();
  const entries = [text, ...readHistory().filter((each) => each !== text)].slice(0, ENTRIES_MAX);
  localStorage.setItem(KEY, JSON.stringify(entries));
  return entries;
}

export function forget(): string[] {
  localStorage.removeItem(KEY);
  return [];
}
