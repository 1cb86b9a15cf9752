import { useMemo } from "react";
import { Link, useParams } from "react-router";
import { useHistory } from "../../api/xnodeEvents";
import { useApplications, useGenerations, useXnode } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Notice, Share, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count, duration, instant, lasting } from "../../lib/format";
import { useNow } from "../../lib/now";
import { readPlan } from "../../lib/plan";
import { counted, progressOf, withWork, type Progress, type StepProgress } from "../../lib/progress";
import { binary } from "../../lib/quantity";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { NotFound } from "../../shell/ErrorPage";
import { At } from "../parts";
import { OpenLink, StateBadge } from "./parts";
import { recallPlan } from "./plans";

/** What becomes of a deployment, from the machine's own history: the same in every tab, and after a reload. */
export function DeploymentPage() {
  const number = Number(useParams()["generation"]);
  useTitle(`Deployment ${number}`);
  return Number.isSafeInteger(number) && number > 0 ? (
    <Deployment key={number} number={number} />
  ) : (
    <NotFound />
  );
}

function Deployment({ number }: { number: number }) {
  const [read] = useFilters();
  const from = Number(read("from")) || 0;
  const { events } = useHistory();
  const xnode = useXnode();
  const planned = useMemo(() => readPlan(recallPlan(number, from)).steps, [number, from]);
  const told = useMemo(
    () =>
      progressOf(
        number,
        planned,
        events.filter(({ sequence }) => sequence >= from),
      ),
    [number, planned, events, from],
  );
  const progress = xnode.data && xnode.data.wanted === number ? withWork(told, xnode.data.work) : told;
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › Deployments
      </p>
      <div className="heading">
        <h1>Generation {count(number)}</h1>
        {progress.asked ? <p className="quiet flat">{progress.asked}</p> : null}
      </div>
      <Standing progress={progress} />
      <Card title="Steps" actions={<Counts progress={progress} />} flush>
        <StepTable steps={progress.steps} />
      </Card>
      {progress.words.length > 0 ? (
        <Card title="Beside the steps" flush>
          <Table
            label="Said beside the steps"
            items={progress.words}
            keyOf={({ sequence }) => sequence}
            empty=""
            columns={[
              { head: "When", cell: ({ at }) => <At at={at} /> },
              {
                head: "About",
                cell: ({ application }) => application ?? <span className="quiet">the machine</span>,
              },
              { head: "What", tone: () => "wrap", cell: ({ text }) => text },
            ]}
          />
        </Card>
      ) : null}
      <Concerned number={number} />
    </div>
  );
}

const TITLES: Record<Progress["state"], { tone: Tone; title: string }> = {
  unknown: { tone: "plain", title: "Nothing was heard of it yet" },
  works: { tone: "plain", title: "On its way" },
  serves: { tone: "good", title: "It serves, and its new versions are watched" },
  done: { tone: "good", title: "Done: the machine is as this generation says" },
  held: { tone: "warn", title: "Held: something cannot go on" },
  returned: { tone: "bad", title: "It has failed, and what ran before comes back by itself" },
  replaced: { tone: "plain", title: "Another generation took its place" },
};

function Standing({ progress }: { progress: Progress }) {
  const now = useNow();
  const { tone, title } = TITLES[progress.state];
  const begun = instant(progress.begun);
  const ended = instant(progress.ended);
  return (
    <Notice
      tone={tone}
      title={title}
      ticking={begun === null || progress.state === "replaced" ? null : `${lasting((ended ?? now) - begun)}`}
    >
      {progress.state === "unknown"
        ? "Its events may be older than the agent's history, or the agent has not begun it."
        : null}
      {progress.returned}
      {progress.holds.map(({ application, cause }) => (
        <span key={`${application ?? ""} ${cause}`} className="below">
          {application ? <Link to={`/apps/${application}`}>{application}</Link> : "The machine"}: {cause}
        </span>
      ))}
      {progress.replacedBy === null ? null : (
        <Link to={`/deployments/${progress.replacedBy}`}>To generation {count(progress.replacedBy)}</Link>
      )}
    </Notice>
  );
}

function Counts({ progress }: { progress: Progress }) {
  const { done, all } = counted(progress);
  if (all === 0) return null;
  return (
    <span className="quiet">
      {count(done)} of {count(all)} done
    </span>
  );
}

const MARKS: Record<StepProgress["state"], { tone: Tone; words: string }> = {
  waiting: { tone: "plain", words: "waits" },
  works: { tone: "warn", words: "▸ now" },
  done: { tone: "good", words: "✓ done" },
  failed: { tone: "bad", words: "✕ tried again" },
};

function StepTable({ steps }: { steps: StepProgress[] }) {
  if (steps.length === 0) return <Empty>No step of it was told yet.</Empty>;
  return (
    <Table
      label="Steps of the deployment"
      items={steps}
      keyOf={({ number, text }) => `${number ?? "-"} ${text}`}
      empty=""
      columns={[
        { head: "#", number: true, cell: ({ number }) => number ?? "" },
        {
          head: "State",
          cell: ({ state }) => <Badge tone={MARKS[state].tone}>{MARKS[state].words}</Badge>,
        },
        {
          head: "Step",
          tone: () => "wrap",
          cell: ({ text, cause, destroys }) => (
            <>
              {text}
              {destroys === null ? null : <span className="below">destroys {destroys}</span>}
              {cause === null ? null : <span className="below wrong">{cause}</span>}
            </>
          ),
        },
        { head: "Progress", cell: (step) => <Bytes step={step} /> },
        {
          head: "Took",
          number: true,
          cell: ({ tookMs }) => (tookMs === null ? <span className="quiet">–</span> : duration(tookMs)),
        },
        { head: "At", cell: ({ at }) => <At at={at} /> },
      ]}
    />
  );
}

function Bytes({ step: { bytes, state } }: { step: StepProgress }) {
  if (bytes === null || state === "done") return <span className="quiet">–</span>;
  const [done, all] = bytes;
  return (
    <span className="row">
      {all > 0 ? <Share value={Math.min(1, done / all)} label="Bytes that are done" /> : null}
      <span>
        {binary(done)} of {binary(all)}
      </span>
    </span>
  );
}

/** The applications of the generation as they are now, so that one can go on to them. */
function Concerned({ number }: { number: number }) {
  const generations = useGenerations();
  const applications = useApplications();
  const names = generations.data?.find((each) => each.number === number)?.applications ?? [];
  const shown = (applications.data ?? []).filter(({ name }) => names.includes(name));
  if (shown.length === 0) return null;
  return (
    <Card title="Applications" flush>
      <Table
        label="Applications of the generation"
        items={shown}
        keyOf={({ name }) => name}
        empty=""
        columns={[
          { head: "Name", cell: ({ name }) => <Link to={`/apps/${name}`}>{name}</Link> },
          { head: "State", cell: ({ state }) => <StateBadge state={state} /> },
          {
            head: "Cause",
            tone: () => "wrap",
            cell: ({ cause }) => cause ?? <span className="quiet">–</span>,
          },
          { head: "", cell: (application) => <OpenLink application={application} /> },
        ]}
      />
    </Card>
  );
}
