import { useState, type KeyboardEvent } from "react";

/** Which cell an arrow key leads to, in rows of cells that end together at the right; `null` for other keys and borders. */
export function nextCell(
  key: string,
  rows: readonly number[],
  at: { row: number; column: number },
): { row: number; column: number } | null {
  const length = rows[at.row] ?? 0;
  const to = (row: number, column: number) => {
    const cells = rows[row] ?? 0;
    return cells === 0 ? null : { row, column: Math.min(Math.max(column, 0), cells - 1) };
  };
  // Rows stand flush right: the cell above is as far from the end, not from the beginning.
  const vertical = (row: number) => to(row, (rows[row] ?? 0) - (length - at.column));
  switch (key) {
    case "ArrowLeft":
      return to(at.row, at.column - 1);
    case "ArrowRight":
      return to(at.row, at.column + 1);
    case "ArrowUp":
      return at.row > 0 ? vertical(at.row - 1) : null;
    case "ArrowDown":
      return at.row < rows.length - 1 ? vertical(at.row + 1) : null;
    case "Home":
      return to(at.row, 0);
    case "End":
      return to(at.row, length - 1);
    default:
      return null;
  }
}

/**
 * One stop of the Tab key for a whole grid of buttons, and arrow keys within: a keyboard would otherwise have to pass
 * hundreds. Give every button its name as `data-cell`.
 */
export function useRoving(names: readonly string[], first: string | undefined) {
  const [active, setActive] = useState<string | null>(null);
  const stop = active !== null && names.includes(active) ? active : first;
  return {
    tabIndex: (name: string) => (name === stop ? 0 : -1),
    onFocus: setActive,
    onKeyDown: (event: KeyboardEvent<HTMLElement>) => {
      const rows = [...event.currentTarget.querySelectorAll("tbody tr")].map((row) => [
        ...row.querySelectorAll<HTMLElement>("[data-cell]"),
      ]);
      const row = rows.findIndex((cells) => cells.some((cell) => cell === event.target));
      const column = rows[row]?.findIndex((cell) => cell === event.target) ?? -1;
      const next = nextCell(
        event.key,
        rows.map((cells) => cells.length),
        { row, column },
      );
      if (row < 0 || !next) return;
      event.preventDefault();
      rows[next.row]?.[next.column]?.focus();
    },
  };
}
