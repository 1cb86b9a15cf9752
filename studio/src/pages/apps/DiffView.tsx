import type { DiffRow } from "../../lib/lineDiff";
import { count } from "../../lib/format";

const SIGNS = { same: " ", removed: "−", added: "+" } as const;
const WORDS = { same: "", removed: "removed: ", added: "added: " } as const;

/** A difference of two texts: signs and words say it, colours only help. */
export function DiffView({ rows, label }: { rows: readonly DiffRow[]; label: string }) {
  return (
    <div className="diff" role="region" aria-label={label} tabIndex={0}>
      {rows.map((row, at) =>
        row.kind === "left out" ? (
          <div key={at} className="gap">
            {count(row.lines)} {row.lines === 1 ? "line" : "lines"} without a change
          </div>
        ) : (
          <div key={at} className={row.kind}>
            <span className="place" aria-hidden="true">
              {row.after ?? row.before}
            </span>
            <span aria-hidden="true">{SIGNS[row.kind]} </span>
            <span className="visually-hidden">{WORDS[row.kind]}</span>
            {row.text}
          </div>
        ),
      )}
    </div>
  );
}
