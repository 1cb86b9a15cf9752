import { Link } from "react-router";
import { useActions } from "../../api/queries";
import type { ActionInfo } from "../../api/types";
import { Card } from "../../design";
import { Table } from "../../design/Table";
import { count, open } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer } from "../parts";

/** True where an action's words, fields or kind hold every word that is looked for. */
export function holds(action: ActionInfo, wanted: string): boolean {
  const fields = action.fields.flatMap(({ name, label }) => [name, label]);
  const text = [action.kind, action.title, action.summary, action.details, ...fields].join(" ").toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

/** Every action that the ledger declares. */
export function ActionsPage() {
  useTitle("Actions");
  const [read, write] = useFilters();
  const actions = useActions();
  const wanted = read("find");
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/transactions">Transactions</Link>
      </p>
      <div className="heading">
        <h1>Actions</h1>
        <p className="quiet flat">
          What an account can sign. The forms are made from the ledger's declarations.
        </p>
      </div>
      <Card title="All actions" flush>
        <div className="filters">
          <label className="field grow">
            <span>Filter</span>
            <input
              className="input"
              type="search"
              value={wanted}
              placeholder="source, send…"
              onChange={(event) => write({ find: event.target.value })}
            />
          </label>
        </div>
        <Answer of={actions} what="actions">
          {(all) => (
            <Table
              label="Actions"
              items={all.filter((action) => holds(action, wanted))}
              keyOf={({ kind }) => kind}
              empty="No action matches this filter."
              columns={[
                {
                  head: "Action",
                  cell: ({ kind, title }) => <Link to={`/actions/${encodeURIComponent(kind)}`}>{title}</Link>,
                },
                { head: "Does", cell: ({ summary }) => <span className="prose">{summary}</span> },
                { head: "Kind", cell: ({ kind }) => <code>{kind}</code> },
                { head: "Base fee", number: true, cell: ({ fee_min }) => open(fee_min) },
                {
                  head: "Deposit",
                  number: true,
                  cell: ({ deposit }) =>
                    deposit === "0" ? <span className="quiet">none</span> : open(deposit),
                },
                { head: "Weight", number: true, cell: ({ weight }) => count(weight) },
              ]}
            />
          )}
        </Answer>
      </Card>
    </div>
  );
}
