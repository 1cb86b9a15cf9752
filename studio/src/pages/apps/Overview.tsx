import { Link } from "react-router";
import type { Application, Instance } from "../../api/xnode";
import { useAlerts, useCosts, useDoors, useXnode } from "../../api/xnodeQueries";
import { Badge, Card, Copy, Hash, Notice } from "../../design";
import { Table } from "../../design/Table";
import { alertWords, severityOf } from "../../lib/alerts";
import { conditionWords, openings, stateOf } from "../../lib/applications";
import { costOf, money, partsOf } from "../../lib/costs";
import { count, duration } from "../../lib/format";
import { Ports } from "./Apps";
import { Wishes } from "./Wishes";

export function Overview({ application }: { application: Application }) {
  return (
    <>
      <Trouble application={application} />
      <Failed application={application} />
      <OwnAlerts name={application.name} />
      {(application.conditions ?? []).map(({ kind, index, text }) => (
        <Notice key={`${kind} ${index}`} tone="warn" title={`Instance ${index} is ${conditionWords(kind)}`}>
          {text}. <Link to={`/apps/${application.name}/usage`}>To its use</Link>
        </Notice>
      ))}
      <Wishes application={application} />
      <div className="halves">
        <Facts application={application} />
        <Card title="Instances" flush>
          <Instances of={application.instances} />
        </Card>
      </div>
    </>
  );
}

/** Why it is not as somebody wished, and what would help. */
function Trouble({ application: { name, state, cause } }: { application: Application }) {
  const { data: xnode } = useXnode();
  const { tone, words, remedy } = stateOf(state);
  const troubles = xnode?.work.troubles.filter(({ application }) => application === name) ?? [];
  const others = troubles.filter((trouble) => trouble.cause !== cause);
  if (remedy === null && cause === null && others.length === 0) return null;
  const again = troubles.find(({ again_in_ms: ms }) => ms !== null && ms > 0)?.again_in_ms ?? null;
  return (
    <Notice
      tone={tone === "bad" ? "bad" : "warn"}
      title={`${words[0]?.toUpperCase() ?? ""}${words.slice(1)}${cause ? `: ${cause.split("\n")[0] ?? ""}` : ""}`}
      ticking={again === null ? null : `Tried again in ${duration(again)}.`}
    >
      {cause
        ?.split("\n")
        .slice(1)
        .map((line) => (
          <span key={line} className="below">
            {line}
          </span>
        ))}
      {others.map((trouble) => (
        <span key={trouble.cause} className="below">
          {trouble.cause}
        </span>
      ))}
      {remedy} <Link to={`/apps/${name}/logs`}>To its log</Link>
      {", "}
      <Link to={`/apps/${name}/history`}>to its history</Link>
    </Notice>
  );
}

/** What became of the last version, where it came back by itself. */
function Failed({ application: { name, returned } }: { application: Application }) {
  if (returned === undefined) return null;
  const [first, ...more] = returned.cause.split("\n");
  return (
    <Notice
      tone="warn"
      title={`Its version of generation ${returned.generation} ${first ?? ""}; generation ${returned.serves} serves`}
    >
      {more.map((line, at) => (
        <span key={`${at} ${line}`} className="below">
          {line}
        </span>
      ))}
      <Link to={`/apps/${name}/history`}>To its history</Link>
    </Notice>
  );
}

/** Alerts of it beside the one that says its state, which stands above: of backups, certificates, volumes. */
function OwnAlerts({ name }: { name: string }) {
  const { data } = useAlerts();
  const own = data?.open.filter(({ application, kind }) => application === name && kind !== "down") ?? [];
  return own.map(({ id, kind, severity, cause, remedy }) => (
    <Notice key={id} tone={severityOf(severity).tone} title={`${alertWords(kind)}: ${cause}`}>
      {remedy} <Link to="/node/alerts">To the alerts</Link>
    </Notice>
  ));
}

function Facts({ application }: { application: Application }) {
  const { image, digest, revision, volumes } = application;
  const addresses = openings(application, location.hostname);
  const doors = useDoors();
  const { data: costs } = useCosts();
  const cost = costOf(costs, application.name);
  const hosts = doors.data?.hosts.filter(({ route }) => route.split("/")[0] === application.name) ?? [];
  return (
    <Card title="What it is">
      <dl className="facts" aria-label="Facts of the application">
        <div className="fact">
          <dt>Image</dt>
          <dd>{image ?? <span className="quiet">none: it is in no wanted generation</span>}</dd>
        </div>
        {digest === null ? null : (
          <div className="fact">
            <dt>Digest</dt>
            <dd>
              <Hash text={digest} keep={12} /> <Copy text={digest} label="digest" />
            </dd>
          </div>
        )}
        {revision === null ? null : (
          <div className="fact">
            <dt>Revision</dt>
            <dd>
              <code>{revision}</code>
            </dd>
          </div>
        )}
        <div className="fact">
          <dt>Ports</dt>
          <dd>
            <Ports of={application} />
          </dd>
        </div>
        {addresses.length > 0 ? (
          <div className="fact">
            <dt>Addresses</dt>
            <dd>
              {addresses.map(({ url, port, isLocal }) => (
                <span key={port} className="row">
                  <code className="long">{url}</code> <Copy text={url} label={`address of ${port}`} />
                  {isLocal ? <span className="quiet">on the machine alone</span> : null}
                </span>
              ))}
            </dd>
          </div>
        ) : null}
        {hosts.length > 0 ? (
          <div className="fact">
            <dt>Domains</dt>
            <dd>
              {hosts.map(({ name, is_secure: isSecure }) => (
                <span key={name} className="below">
                  <a href={`${isSecure ? "https" : "http"}://${name}/`} target="_blank" rel="noreferrer">
                    {name}
                  </a>
                </span>
              ))}
            </dd>
          </div>
        ) : null}
        <div className="fact">
          <dt>Volumes</dt>
          <dd>
            {Object.keys(volumes).length === 0 ? <span className="quiet">none: it keeps nothing</span> : null}
            {Object.entries(volumes).map(([name, at]) => (
              <span key={name} className="below">
                {name} <code className="long quiet">{at}</code>
              </span>
            ))}
          </dd>
        </div>
        {cost && costs?.prices ? (
          <div className="fact">
            <dt>Cost</dt>
            <dd>
              {money(cost.month)} {costs.prices.currency} a month, {money(cost.hour)} an hour
              <span className="below quiet">
                {partsOf(cost)}
                {cost.runs ? "" : "; it does not run, and keeps its volumes"}
              </span>
            </dd>
          </div>
        ) : null}
      </dl>
    </Card>
  );
}

const isUp = ({ state }: Instance) => state === "running";

function Instances({ of }: { of: Instance[] }) {
  return (
    <Table
      label="Instances"
      items={of}
      keyOf={({ id }) => id}
      empty="No instance is there. The next deployment makes one, unless it is stopped."
      columns={[
        { head: "Instance", cell: ({ id }) => <code>{id}</code> },
        {
          head: "State",
          cell: (instance) => (
            <Badge tone={isUp(instance) ? "good" : "warn"}>{instance.state.replaceAll("_", " ")}</Badge>
          ),
        },
        {
          head: "Traffic",
          cell: ({ admitted }) =>
            admitted ? <Badge tone="good">admitted</Badge> : <span className="quiet">none</span>,
        },
        { head: "Address", cell: ({ address }) => <code>{address}</code> },
        { head: "Process", number: true, cell: ({ pid }) => pid ?? <span className="quiet">–</span> },
        { head: "Restarts", number: true, cell: ({ restarts }) => count(restarts) },
        {
          head: "Last end",
          tone: () => "wrap slim",
          cell: ({ last_end: end }) => end ?? <span className="quiet">none</span>,
        },
      ]}
    />
  );
}
