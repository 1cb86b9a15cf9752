import { Link } from "react-router";
import type { Application } from "../../api/xnode";
import { useApplications, useCosts } from "../../api/xnodeQueries";
import { Card } from "../../design";
import { Table } from "../../design/Table";
import { applicationsOf, STATES } from "../../lib/applications";
import { costOf, money } from "../../lib/costs";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Choice } from "../parts";
import { Conditions, Live, OpenLink, StateBadge } from "./parts";

const CHOICES = [
  { value: "trouble", words: "In trouble" },
  ...Object.entries(STATES).map(([value, { words }]) => ({ value, words })),
];

export function Apps() {
  useTitle("Apps");
  const applications = useApplications();
  const [read, write] = useFilters();
  const filter = { text: read("text"), state: read("state") };
  return (
    <div className="stack">
      <div className="row spread">
        <div className="heading">
          <h1>Apps</h1>
          <p className="quiet flat">What runs on this machine, by its one document.</p>
        </div>
        <p className="row flat">
          <Link className="button primary" to="/store">
            Store
          </Link>
          <Link className="button" to="/compose">
            Compose
          </Link>
          <Link className="button" to="/deploy">
            Paste a document
          </Link>
        </p>
      </div>
      <Card title="Applications" flush>
        <div className="filters">
          <label className="field grow">
            <span>Search</span>
            <input
              className="input"
              type="search"
              placeholder="Name, image, port…"
              value={filter.text}
              onChange={(event) => write({ text: event.target.value })}
            />
          </label>
          <Choice
            name="State"
            value={filter.state}
            options={CHOICES}
            onChange={(state) => write({ state })}
          />
        </div>
        <Live of={applications} what="applications">
          {(all) => <List all={all} shown={applicationsOf(all, filter)} />}
        </Live>
      </Card>
    </div>
  );
}

const up = ({ instances }: Application) => instances.filter(({ state }) => state === "running").length;

function List({ all, shown }: { all: Application[]; shown: Application[] }) {
  const { data: costs } = useCosts();
  const prices = costs?.prices;
  return (
    <>
      <Table
        label="Applications"
        items={shown}
        keyOf={({ name }) => name}
        empty={
          all.length > 0
            ? "No application matches these filters."
            : "Nothing runs here yet. The store has templates to begin with; a docker-compose.yml can be pasted."
        }
        columns={[
          {
            head: "Name",
            tone: () => "wrap slim",
            cell: ({ name }) => (
              <Link className="long" to={`/apps/${name}`}>
                {name}
              </Link>
            ),
          },
          {
            head: "State",
            cell: (application) => (
              <span className="names">
                <StateBadge state={application.state} title={application.cause ?? ""} />
                <Conditions of={application} />
              </span>
            ),
          },
          {
            head: "Cause",
            tone: () => "wrap",
            cell: ({ cause, conditions = [] }) =>
              cause ?? (conditions.map(({ text }) => text).join("; ") || <span className="quiet">–</span>),
          },
          {
            head: "Up",
            number: true,
            cell: (application) => `${count(up(application))} of ${count(application.instances.length)}`,
          },
          { head: "Ports", cell: (application) => <Ports of={application} /> },
          prices
            ? {
                head: `${prices.currency} a month`,
                number: true,
                cell: ({ name }) => {
                  const cost = costOf(costs, name);
                  return cost ? money(cost.month) : <span className="quiet">–</span>;
                },
              }
            : null,
          { head: "", cell: (application) => <OpenLink application={application} /> },
        ]}
      />
      {costs?.prices && shown.length > 0 ? (
        <p className="quiet pad flat">
          All of them cost {money(costs.month)} {costs.prices.currency} a month, {money(costs.hour)} an hour
        </p>
      ) : null}
      {shown.length > 0 && shown.length < all.length ? (
        <p className="quiet pad flat">
          {count(shown.length)} of {count(all.length)} applications
        </p>
      ) : null}
    </>
  );
}

/** Ports with their place on the host. */
export function Ports({ of: { ports } }: { of: Application }) {
  const all = Object.entries(ports);
  if (all.length === 0) return <span className="quiet">none</span>;
  return (
    <span className="names">
      {all.map(([name, at]) => (
        <span key={name}>
          {name} {at === null ? <span className="quiet">not published</span> : <code>{at}</code>}
        </span>
      ))}
    </span>
  );
}
