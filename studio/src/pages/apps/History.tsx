import { Link } from "react-router";
import type { Generation } from "../../api/xnode";
import { useHistory } from "../../api/xnodeEvents";
import { useDifference, useGenerations } from "../../api/xnodeQueries";
import { useMay } from "../../api/xnodeAccess";
import { Badge, Card, Empty } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { readChange, type Change } from "../../lib/plan";
import { useFilters } from "../../lib/urlState";
import { At, When } from "../parts";
import { Decide, Planning, useChange } from "./change";
import { Act, By, Live, Refused } from "./parts";

/** Events of an application that are shown, newest first. */
const EVENTS_SHOWN = 50;

/** Generations of the machine; with a name, the differences and events are those of one application. */
export function History({ name = "" }: { name?: string }) {
  const generations = useGenerations();
  return (
    <Live of={generations} what="generations">
      {(all) => <Generations all={all} name={name} />}
    </Live>
  );
}

function Generations({ all, name }: { all: Generation[]; name: string }) {
  const [read, write] = useFilters();
  const may = useMay("operator");
  const flow = useChange();
  const after = all.find(({ number }) => String(number) === read("after")) ?? all[0];
  const before =
    all.find(({ number }) => String(number) === read("before")) ??
    all.find(({ number }) => number === after?.parent);
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb="Roll back" />;
  return (
    <>
      <Card title="Generations" flush>
        {flow.refused ? (
          <div className="told">
            <Refused error={flow.refused} />
          </div>
        ) : null}
        {flow.isPlanning ? (
          <div className="pad">
            <Planning flow={flow} />
          </div>
        ) : null}
        <Table
          label="Generations"
          items={all}
          keyOf={({ number }) => number}
          empty="There is no generation yet: nothing was deployed."
          tall
          columns={[
            {
              head: "Generation",
              number: true,
              cell: ({ number }) => <Link to={`/deployments/${number}`}>{count(number)}</Link>,
            },
            { head: "State", cell: (generation) => <Mark of={generation} /> },
            { head: "When", cell: ({ at }) => <When at={at} /> },
            { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
            { head: "Reason", tone: () => "wrap", cell: (generation) => <Reason of={generation} /> },
            {
              head: "",
              cell: ({ number, serves, is_wanted: isWanted }) => (
                <span className="row">
                  <button
                    type="button"
                    className="button small"
                    aria-pressed={after?.number === number}
                    aria-label={`What generation ${number} changed`}
                    onClick={() => write({ after: String(number), before: null })}
                  >
                    Changes
                  </button>
                  <Act
                    words="Roll back"
                    label={`Roll back to generation ${number}`}
                    busy={flow.isPlanning}
                    why={may ?? (serves && isWanted ? "It serves" : undefined)}
                    onAct={() => flow.plan({ change: { kind: "restore", generation: number } })}
                  />
                </span>
              ),
            },
          ]}
        />
      </Card>
      {after && before && after.number !== before.number ? (
        <Compared all={all} before={before} after={after} name={name} />
      ) : null}
      {name ? <Told name={name} /> : null}
    </>
  );
}

function Reason({ of: { reason, failed, returned_by: back } }: { of: Generation }) {
  return (
    <>
      {reason}
      {failed === null ? null : (
        <span className="below wrong">
          failed: {failed}
          {back === null ? "" : `; generation ${back} brought back what it changed`}
        </span>
      )}
    </>
  );
}

function Mark({ of: { serves, is_wanted: isWanted, failed } }: { of: Generation }) {
  if (failed !== null) return <Badge tone="bad">failed</Badge>;
  if (serves) return <Badge tone="good">serves</Badge>;
  return isWanted ? <Badge tone="warn">wanted</Badge> : <span className="quiet">past</span>;
}

function Compared({
  all,
  before,
  after,
  name,
}: {
  all: Generation[];
  before: Generation;
  after: Generation;
  name: string;
}) {
  const [read, write] = useFilters();
  const difference = useDifference(before.number, after.number);
  const whole = name === "" || read("whole") === "1";
  const choose = (label: string, key: string, value: Generation) => (
    <label className="field">
      <span>{label}</span>
      <select
        className="input"
        value={value.number}
        onChange={(event) =>
          write({ before: String(before.number), after: String(after.number), [key]: event.target.value })
        }
      >
        {all.map(({ number }) => (
          <option key={number} value={number}>
            Generation {number}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <Card title={`From generation ${count(before.number)} to ${count(after.number)}`} flush>
      <div className="filters">
        {choose("Before", "before", before)}
        {choose("After", "after", after)}
        {name ? (
          <label className="row">
            <input
              type="checkbox"
              checked={whole}
              onChange={(event) => write({ whole: event.target.checked ? "1" : null })}
            />
            Other applications too
          </label>
        ) : null}
      </div>
      <Live of={difference} what="the differences">
        {(lines) => <Changes all={lines.map(readChange)} name={whole ? "" : name} />}
      </Live>
    </Card>
  );
}

const KINDS = {
  added: { tone: "good", words: "+ new" },
  removed: { tone: "bad", words: "− gone" },
  changed: { tone: "warn", words: "~ other" },
  other: { tone: "plain", words: "·" },
} as const;

function Changes({ all, name }: { all: Change[]; name: string }) {
  const shown = all.filter(
    ({ path }) =>
      name === "" || path === "" || /^[a-z]+\.applications\.([a-z0-9-]+)/.exec(path)?.[1] === name,
  );
  if (shown.length === 0)
    return (
      <Empty>{all.length === 0 ? "Both have the same content." : `Nothing of ${name} is different.`}</Empty>
    );
  return (
    <Table
      label="Differences"
      items={shown}
      keyOf={({ path, after }) => `${path} ${after}`}
      empty=""
      tall
      columns={[
        { head: "", cell: ({ kind }) => <Badge tone={KINDS[kind].tone}>{KINDS[kind].words}</Badge> },
        { head: "Where", tone: () => "wrap", cell: ({ path }) => <code className="long">{path}</code> },
        { head: "Before", tone: () => "wrap", cell: ({ before }) => <code className="long">{before}</code> },
        { head: "After", tone: () => "wrap", cell: ({ after }) => <code className="long">{after}</code> },
      ]}
    />
  );
}

function Told({ name }: { name: string }) {
  const { events } = useHistory();
  const own = events.filter(({ application }) => application === name).slice(-EVENTS_SHOWN);
  return (
    <Card title="What was done" flush>
      <Table
        label={`Events of ${name}`}
        items={own.toReversed()}
        keyOf={({ sequence }) => sequence}
        empty="The agent's history has nothing of it any more."
        tall
        columns={[
          { head: "When", cell: ({ at }) => <At at={at} /> },
          { head: "Generation", number: true, cell: ({ generation }) => count(generation) },
          { head: "Kind", cell: ({ kind }) => <EventBadge kind={kind} /> },
          { head: "What", tone: () => "wrap", cell: ({ text }) => text },
        ]}
      />
    </Card>
  );
}

const EVENT_TONES: Record<string, "good" | "warn" | "bad" | undefined> = {
  done: "good",
  rest: "good",
  serves: "good",
  failed: "bad",
  returned: "bad",
  held: "warn",
  found: "warn",
  over: "good",
  repaired: "good",
  restarted: "good",
};

export function EventBadge({ kind }: { kind: string }) {
  return <Badge tone={EVENT_TONES[kind] ?? "plain"}>{kind.replaceAll("_", " ")}</Badge>;
}
