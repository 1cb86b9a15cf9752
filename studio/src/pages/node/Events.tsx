import { Link } from "react-router";
import type { XnodeEvent } from "../../api/xnode";
import { useHistory } from "../../api/xnodeEvents";
import { Card } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { useFilters } from "../../lib/urlState";
import { EventBadge } from "../apps/History";
import { Refused } from "../apps/parts";
import { At, Choice } from "../parts";

/** Events that are shown; the search goes through all that are here. */
const EVENTS_SHOWN = 200;
const KINDS = [
  "wanted",
  "begins",
  "done",
  "failed",
  "held",
  "serves",
  "returned",
  "rest",
  "found",
  "over",
  "repaired",
  "restart",
  "restarted",
  "agent",
  "secret",
];

/** What the filters leave of the history, the newest first. */
export function eventsOf(
  all: readonly XnodeEvent[],
  filter: { kind: string; application: string; text: string },
): XnodeEvent[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return all
    .filter(({ kind }) => filter.kind === "" || kind === filter.kind)
    .filter(({ application }) => filter.application === "" || application === filter.application)
    .filter(({ text }) => words.every((word) => text.toLowerCase().includes(word)))
    .toReversed();
}

export function Events() {
  const { events, state, error } = useHistory();
  const [read, write] = useFilters();
  const filter = { kind: read("kind"), application: read("application"), text: read("text") };
  const found = eventsOf(events, filter);
  const names = [...new Set(events.flatMap(({ application }) => application ?? []))].sort();
  const kinds = [...new Set([...KINDS, ...events.map(({ kind }) => kind)])];
  return (
    <Card title="Events" flush>
      <div className="filters">
        <label className="field grow">
          <span>Search</span>
          <input
            className="input"
            type="search"
            value={filter.text}
            onChange={(event) => write({ text: event.target.value })}
          />
        </label>
        <Choice name="Kind" value={filter.kind} options={kinds} onChange={(kind) => write({ kind })} />
        <Choice
          name="Application"
          value={filter.application}
          options={names}
          onChange={(application) => write({ application })}
        />
      </div>
      {state === "refused" && error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <Table
        label="Events"
        items={found.slice(0, EVENTS_SHOWN)}
        keyOf={({ sequence }) => sequence}
        empty={
          events.length > 0
            ? "No event fits these filters."
            : state === "connecting"
              ? "Asking for the history…"
              : "Nothing has happened yet."
        }
        columns={[
          { head: "When", cell: ({ at }) => <At at={at} /> },
          { head: "Kind", cell: ({ kind }) => <EventBadge kind={kind} /> },
          {
            head: "About",
            cell: ({ application }) =>
              application === null ? (
                <span className="quiet">the machine</span>
              ) : (
                <Link to={`/apps/${application}`}>{application}</Link>
              ),
          },
          {
            head: "Generation",
            number: true,
            cell: ({ generation }) =>
              generation === 0 ? (
                <span className="quiet">–</span>
              ) : (
                <Link to={`/deployments/${generation}`}>{count(generation)}</Link>
              ),
          },
          { head: "What", tone: () => "wrap", cell: ({ text }) => text },
        ]}
      />
      {found.length > EVENTS_SHOWN ? (
        <p className="quiet pad flat">
          The newest {count(EVENTS_SHOWN)} of {count(found.length)}
        </p>
      ) : null}
    </Card>
  );
}
