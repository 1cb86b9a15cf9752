import type { ReactNode } from "react";
import { useParams } from "react-router";
import { useTitle } from "../../lib/title";
import { NotFound } from "../../shell/ErrorPage";
import { History } from "../apps/History";
import { Tabs, type Tab } from "../apps/parts";
import { Access } from "./Access";
import { Alerts } from "./Alerts";
import { Audit } from "./Audit";
import { Doors } from "./Doors";
import { Events } from "./Events";
import { Lending } from "./Lending";
import { Machine } from "./Machine";
import { MachineBackups } from "./MachineBackups";
import { Machines } from "./Machines";
import { Secrets } from "./Secrets";

const TABS: readonly (Tab & { shows: () => ReactNode })[] = [
  { id: "", name: "Machine", shows: () => <Machine /> },
  { id: "machines", name: "Machines", shows: () => <Machines /> },
  { id: "alerts", name: "Alerts", shows: () => <Alerts /> },
  { id: "events", name: "Events", shows: () => <Events /> },
  { id: "history", name: "Generations", shows: () => <History /> },
  { id: "secrets", name: "Secrets", shows: () => <Secrets /> },
  { id: "backups", name: "Backups", shows: () => <MachineBackups /> },
  { id: "lending", name: "Room for others", shows: () => <Lending /> },
  { id: "doors", name: "Doors", shows: () => <Doors /> },
  { id: "access", name: "Access", shows: () => <Access /> },
  { id: "audit", name: "Audit", shows: () => <Audit /> },
];

/** The machine itself, in parts with addresses of their own. */
export function NodePage() {
  const { tab = "" } = useParams();
  const part = TABS.find(({ id }) => id === tab);
  useTitle(part?.id ? `${part.name} of the node` : "Node");
  if (!part) return <NotFound />;
  return (
    <div className="stack">
      <div className="heading">
        <h1>Node</h1>
        <p className="quiet flat">The machine below the applications, and who may change it.</p>
      </div>
      <Tabs base="/node" tabs={TABS} now={part.id} label="Parts of the node" />
      {part.shows()}
    </div>
  );
}
