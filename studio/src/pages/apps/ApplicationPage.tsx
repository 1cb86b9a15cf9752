import type { ReactNode } from "react";
import { Link, useParams } from "react-router";
import { RequestError } from "../../api/client";
import type { Application } from "../../api/xnode";
import { useApplication, useXnode } from "../../api/xnodeQueries";
import { Badge, Empty } from "../../design";
import { onItsWay } from "../../lib/applications";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { NotFound } from "../../shell/ErrorPage";
import { Backups } from "./Backups";
import { Domains } from "./Domains";
import { Files } from "./Files";
import { History } from "./History";
import { Jobs } from "./Jobs";
import { Live, OpenLink, StateBadge, Tabs, type Tab } from "./parts";
import { Logs } from "./Logs";
import { Move } from "./Move";
import { Overview } from "./Overview";
import { Processes } from "./Processes";
import { Remove } from "./Remove";
import { Settings } from "./Settings";
import { Terminal } from "./Terminal";
import { Upgrade } from "./Upgrade";
import { Usage } from "./Usage";

const TABS: readonly (Tab & { shows: (application: Application) => ReactNode })[] = [
  { id: "", name: "Overview", shows: (application) => <Overview application={application} /> },
  { id: "logs", name: "Log", shows: (application) => <Logs application={application} /> },
  { id: "usage", name: "Usage", shows: (application) => <Usage application={application} /> },
  { id: "processes", name: "Processes", shows: (application) => <Processes application={application} /> },
  { id: "history", name: "History", shows: (application) => <History name={application.name} /> },
  { id: "backups", name: "Backups", shows: (application) => <Backups application={application} /> },
  { id: "jobs", name: "Jobs", shows: (application) => <Jobs application={application} /> },
  { id: "domains", name: "Domains", shows: (application) => <Domains application={application} /> },
  { id: "files", name: "Files", shows: (application) => <Files application={application} /> },
  { id: "terminal", name: "Terminal", shows: (application) => <Terminal application={application} /> },
  { id: "settings", name: "Settings", shows: (application) => <Settings name={application.name} /> },
  { id: "remove", name: "Remove", shows: (application) => <Remove application={application} /> },
];

/** The version that is on its way, with the way to its progress. */
function OnItsWay({ application }: { application: Application }) {
  const { data: xnode } = useXnode();
  const number = xnode ? onItsWay(application, xnode) : null;
  return number === null ? null : (
    <Link to={`/deployments/${number}`}>
      <Badge>generation {count(number)} is on its way</Badge>
    </Link>
  );
}

/** One application, in parts with addresses of their own. */
export function ApplicationPage() {
  const { name = "", tab = "" } = useParams();
  const application = useApplication(name);
  const part = TABS.find(({ id }) => id === tab);
  useTitle(part?.id ? `${part.name} of ${name}` : name);
  if (!part) return <NotFound />;
  const isGone = application.error instanceof RequestError && application.error.code === "no_application";
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › {name}
      </p>
      {isGone ? (
        <Empty>
          There is no application {name} here, or it was removed. Its history is among the node's events.
        </Empty>
      ) : (
        <Live of={application} what="the application">
          {(found) => (
            <>
              <div className="row spread">
                <h1 className="row">
                  {name} <StateBadge state={found.state} /> <OnItsWay application={found} />
                </h1>
                <OpenLink application={found} />
              </div>
              <Move name={found.name} />
              <Upgrade key={found.name} application={found} />
              <Tabs base={`/apps/${name}`} tabs={TABS} now={part.id} label={`Parts of ${name}`} />
              {part.shows(found)}
            </>
          )}
        </Live>
      )}
    </div>
  );
}
