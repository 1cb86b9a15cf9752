import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { get, post, remove, RequestError } from "../../api/client";
import { useCatalogue, useStatus } from "../../api/queries";
import type { SqlResponse, Status, TableInfo } from "../../api/types";
import { Badge, Card, Empty, Notice } from "../../design";
import { clock, count, duration } from "../../lib/format";
import { csv, picture, type Picture } from "../../lib/result";
import { useNow } from "../../lib/now";
import { reach, shortcomings, tablesOf } from "../../lib/tables";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { ResultChart } from "../Chart";
import { Answer } from "../parts";
import { Editor } from "./Editor";
import { forget, readHistory, remember } from "./history";
import { ResultTable } from "./ResultTable";

const FIRST = "select * from trades order by ts_exchange desc limit 100";
/** Most rows asked for. */
const ROWS_MAX = 10_000;
const NO_TABLES: TableInfo[] = [];
const MAC = /Mac|iPhone|iPad/.test(navigator.userAgent);

/** A result, with the network's height and the time when it came. */
interface Answered {
  result: SqlResponse;
  height: number | null;
  at: number;
}

export function Sql() {
  useTitle("SQL");
  const [read, write] = useFilters();
  const [draft, setDraft] = useState(() => read("q") || FIRST);
  const [entries, setEntries] = useState(readHistory);
  const catalogue = useCatalogue();
  const client = useQueryClient();
  const running = useRef<string | null>(null);
  const query = useMutation({
    mutationFn: async (sql: string): Promise<Answered> => {
      const id = newId();
      running.current = id;
      const result = await post<SqlResponse>("/v1/sql", { sql, query_id: id, limit: ROWS_MAX });
      // The heights of one moment: a result does not grow old by being looked at.
      const status =
        client.getQueryData<Status>(["status"]) ??
        (await get<Status>("/v1/status").catch((): undefined => undefined));
      return { result, height: status?.height ?? null, at: Date.now() };
    },
    onSettled: () => {
      running.current = null;
    },
  });
  const cancel = useMutation({
    // A query that ended meanwhile is unknown to the node, which is no fault.
    mutationFn: async (id: string) => {
      await remove<undefined>(`/v1/sql/${id}`).catch((error: unknown) => {
        if (!(error instanceof RequestError) || error.status !== 404) throw error;
      });
    },
  });
  // An address with a query is a shared result: it is shown, not only the text. Queries only read, and have limits.
  const shared = useRef(read("q"));
  const { mutate } = query;
  useEffect(() => {
    if (shared.current.trim() === "") return;
    const sql = shared.current;
    shared.current = "";
    mutate(sql);
  }, [mutate]);
  const run = () => {
    if (draft.trim() === "" || query.isPending) return;
    write({ q: draft });
    setEntries(remember(draft));
    query.mutate(draft);
  };
  return (
    <div className="stack">
      <div className="heading">
        <h1>SQL</h1>
        <p className="quiet flat">Agreed market and chain data, and the ledger itself, as tables.</p>
      </div>
      <div className="workbench">
        <div className="stack">
          <Card
            title="Query"
            actions={
              <>
                <span className="quiet hint">{MAC ? "⌘" : "Ctrl"} + Enter</span>
                {query.isPending ? (
                  <button
                    type="button"
                    className="button small"
                    onClick={() => {
                      if (running.current) cancel.mutate(running.current);
                    }}
                  >
                    Cancel
                  </button>
                ) : null}
                <button
                  type="button"
                  className="button small primary"
                  disabled={query.isPending || draft.trim() === ""}
                  title={draft.trim() === "" ? "Write a query first" : undefined}
                  onClick={run}
                >
                  {query.isPending ? "Running…" : "Run"}
                </button>
              </>
            }
            flush
          >
            <Editor
              value={draft}
              tables={catalogue.data?.tables ?? NO_TABLES}
              onChange={setDraft}
              onRun={run}
            />
          </Card>
          <Outcome error={query.error} answered={query.data} pending={query.isPending} />
        </div>
        <aside className="stack" aria-label="Tables and queries">
          <Card title="Tables" flush>
            <TablesNow />
            <Answer of={catalogue} what="tables">
              {({ tables }) => <Tables tables={tables} onChoose={setDraft} />}
            </Answer>
          </Card>
          <Card
            title="History"
            actions={
              entries.length > 0 ? (
                <button type="button" className="button small plain" onClick={() => setEntries(forget())}>
                  Clear
                </button>
              ) : null
            }
            flush
          >
            {entries.length === 0 ? (
              <Empty>Queries you run are kept here, in this browser only.</Empty>
            ) : (
              <ul className="queries">
                {entries.map((each) => (
                  <li key={each}>
                    <button type="button" onClick={() => setDraft(each)}>
                      <code>{each}</code>
                    </button>
                  </li>
                ))}
              </ul>
            )}
          </Card>
        </aside>
      </div>
    </div>
  );
}

/** `crypto.randomUUID` exists only over HTTPS and on this machine; a node may be reached over plain HTTP. */
function newId(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))]
    .map((each) => each.toString(16).padStart(2, "0"))
    .join("");
}

function Outcome({
  error,
  answered,
  pending,
}: {
  error: Error | null;
  answered: Answered | undefined;
  pending: boolean;
}) {
  const result = answered?.result;
  const drawn = useMemo(() => (result ? picture(result) : null), [result]);
  if (pending) return <Notice title="The query runs…" />;
  if (error) {
    const refused = error instanceof RequestError ? error : null;
    return (
      <Notice tone="bad" title={error.message}>
        {refused ? (
          <>
            <code>{refused.code}</code>
            {/* Lists are asked for again by themselves; a query is not. */}
            {refused.code === "no_answer"
              ? ": It may be restarting; run the query again when it is back."
              : refused.hint
                ? `: ${refused.hint}`
                : ""}
          </>
        ) : null}
      </Notice>
    );
  }
  if (!answered || !result)
    return <Empty>Run a query to see its result here. Times and decimals are exact.</Empty>;
  const tables = tablesOf(result);
  return (
    <>
      {tables
        ? shortcomings(tables, answered.height).map(({ title, why }) => (
            <Notice key={title} tone="warn" title={title}>
              {why}
            </Notice>
          ))
        : null}
      {drawn ? (
        <Card title="Chart" flush>
          <p className="quiet pad flat">{captionOf(drawn)}</p>
          <ResultChart
            picture={drawn}
            label={
              drawn.kind === "candles"
                ? `${drawn.bars.length} candles of the result`
                : `Lines of the result: ${drawn.series.map((each) => each.name).join(", ")}; the table has the same numbers`
            }
          />
        </Card>
      ) : null}
      <Card
        title="Result"
        actions={
          <>
            <span className="quiet" role="status">
              {count(result.rows.length)} {result.rows.length === 1 ? "row" : "rows"} in{" "}
              {duration(result.elapsed_ms)}
            </span>
            {result.truncated ? <Badge tone="warn">cut off at a limit</Badge> : null}
            {result.origin === "live" ? null : <Badge tone="warn">{result.origin} data</Badge>}
            <button
              type="button"
              className="button small"
              disabled={result.rows.length === 0}
              onClick={() => save(csv(result.columns, result.rows))}
            >
              CSV
            </button>
          </>
        }
        flush
      >
        <ResultTable key={result.query_id} result={result} />
        <HowNew answered={answered} />
      </Card>
    </>
  );
}

/** Up to which block the tables were, and when that was: a result stays as it is while the network goes on. */
function HowNew({ answered: { result, at } }: { answered: Answered }) {
  const now = useNow();
  const tables = tablesOf(result);
  return (
    <p className="quiet pad flat under">
      Asked at {clock(at, now)}
      {tables ? ` of tables ${reach(tables)}` : ""}.
    </p>
  );
}

/** How far the tables are now, before anything is asked of them. */
function TablesNow() {
  const { data } = useStatus();
  const tables = data ? tablesOf(data) : null;
  if (!data || !tables) return null;
  const wrong = shortcomings(tables, data.height);
  return (
    <p className="quiet pad flat">
      {wrong.length === 0 ? null : (
        <>
          <span className="names">
            {wrong.map(({ title, why }) => (
              <Badge key={title} tone="warn" title={why}>
                {title}
              </Badge>
            ))}
          </span>{" "}
        </>
      )}
      Now {reach(tables)}.
    </p>
  );
}

/** What a picture shows, and what it leaves out. */
function captionOf(drawn: Picture): string {
  const shown =
    drawn.kind === "candles"
      ? "Candles from open, high, low, close"
      : (drawn.value === null ? "" : `${drawn.value} of `) + drawn.series.map(({ name }) => name).join(", ");
  const left =
    drawn.kind === "line" && drawn.left > 0
      ? `; ${count(drawn.left)} more ${drawn.left === 1 ? "line is" : "lines are"} not drawn`
      : "";
  const hidden =
    drawn.hidden > 0
      ? `; ${count(drawn.hidden)} of the values are not drawn, because too many rows have the same millisecond: the table has them`
      : "";
  return `${shown} by ${drawn.time}${left}${hidden}`;
}

function save(content: string): void {
  const address = URL.createObjectURL(new Blob([content], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = address;
  link.download = "openmesh-result.csv";
  link.click();
  URL.revokeObjectURL(address);
}

function Tables({ tables, onChoose }: { tables: TableInfo[]; onChoose: (query: string) => void }) {
  if (tables.length === 0) return <Empty>No table yet: the lake is empty.</Empty>;
  return (
    <ul className="tables">
      {tables.map((table) => (
        <li key={table.name}>
          <details>
            <summary>
              <code>{table.name}</code>
            </summary>
            <p className="quiet flat">{table.description}</p>
            <ul>
              {table.columns.map((column) => (
                <li key={column.name} title={column.description ?? undefined}>
                  <code>{column.name}</code> <span className="quiet">{column.type.toLowerCase()}</span>
                </li>
              ))}
            </ul>
          </details>
          {table.example ? (
            <button
              type="button"
              className="button small"
              aria-label={`Example query of ${table.name}`}
              onClick={() => onChoose(table.example)}
            >
              Example
            </button>
          ) : null}
        </li>
      ))}
    </ul>
  );
}
