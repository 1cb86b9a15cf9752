import type { Key, ReactNode } from "react";
import { Empty } from ".";

/** A column: its head, and what it shows of an item. */
export interface Column<T> {
  head: string;
  cell: (item: T) => ReactNode;
  /** Figures stand right, digits under digits. */
  number?: boolean;
  /** A further class of an item's cell. */
  tone?: (item: T) => string;
}

/** A table that scrolls by itself, also by keyboard. A column that is `null` is left out. */
export function Table<T>({
  label,
  columns,
  items,
  keyOf,
  empty,
  tall = false,
}: {
  label: string;
  columns: readonly (Column<T> | null)[];
  items: readonly T[];
  keyOf: (item: T) => Key;
  /** What stands there instead where there is no item. */
  empty: string;
  /** Ends at a height, and scrolls within it. */
  tall?: boolean;
}) {
  if (items.length === 0) return <Empty>{empty}</Empty>;
  const shown = columns.filter((column) => column !== null);
  return (
    <div className={tall ? "scroll tall" : "scroll"} tabIndex={0} role="region" aria-label={label}>
      <table className="table" aria-label={label}>
        <thead>
          <tr>
            {shown.map(({ head, number }) => (
              <th key={head} scope="col" className={number ? "number" : undefined}>
                {head}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items.map((item) => (
            <tr key={keyOf(item)}>
              {shown.map(({ head, cell, number, tone }) => {
                const classes = [number ? "number" : "", tone?.(item) ?? ""].filter(Boolean).join(" ");
                return (
                  <td key={head} className={classes || undefined}>
                    {cell(item)}
                  </td>
                );
              })}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
