import { useMemo, useState } from "react";
import type { SqlResponse } from "../../api/types";
import { Empty } from "../../design";
import { count } from "../../lib/format";
import { isNumeric, nextOrder, sortRows, text, type Order } from "../../lib/result";

/** Rows put into the document: more make a browser slow; the CSV has all. */
const ROWS_SHOWN = 1_000;

export function ResultTable({ result }: { result: SqlResponse }) {
  const [order, setOrder] = useState<Order | null>(null);
  const rows = useMemo(() => sortRows(result.columns, result.rows, order), [result, order]);
  if (result.columns.length === 0) return <Empty>The query gave no columns.</Empty>;
  return (
    <>
      <div className="scroll result" tabIndex={0} role="region" aria-label="Result">
        <table className="table" aria-label="Result">
          <thead>
            <tr>
              {result.columns.map((column, at) => {
                const sorted =
                  order?.column === at ? (order.descending ? "descending" : "ascending") : "none";
                return (
                  <th
                    key={`${column.name} ${at}`}
                    scope="col"
                    aria-sort={sorted}
                    className={isNumeric(column) ? "number" : ""}
                  >
                    <button
                      type="button"
                      className="sort"
                      title={column.type}
                      onClick={() => setOrder((before) => nextOrder(before, at))}
                    >
                      {column.name}
                      <span aria-hidden="true">
                        {sorted === "none" ? "" : sorted === "ascending" ? " ↑" : " ↓"}
                      </span>
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, ROWS_SHOWN).map((row, at) => (
              <tr key={at}>
                {result.columns.map((column, index) => {
                  const value = row[index] ?? null;
                  return (
                    <td key={index} className={isNumeric(column) ? "number" : ""}>
                      {value === null ? <span className="quiet">null</span> : text(value)}
                    </td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {rows.length === 0 ? <Empty>No row matches.</Empty> : null}
      {rows.length > ROWS_SHOWN ? (
        <p className="quiet pad flat">
          The first {count(ROWS_SHOWN)} of {count(rows.length)} rows are shown; the CSV has all.
        </p>
      ) : null}
    </>
  );
}
