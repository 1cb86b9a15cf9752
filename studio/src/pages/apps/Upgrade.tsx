/** A newer version of the template that an application is made of: offered, planned, and done. */
import type { Application } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useUpgrades } from "../../api/xnodeQueries";
import { Card, Notice } from "../../design";
import { Decide, Planning, useChange } from "./change";
import { Refused } from "./parts";

/** The newest version that may take the place of the present one; nothing where there is none, or where the application goes. */
export function Upgrade({ application: { name, revision } }: { application: Application }) {
  const { data } = useUpgrades(name, revision !== null);
  const flow = useChange();
  const may = useMay("operator");
  const newest = data?.versions.at(-1);
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb="Upgrade" />;
  if (!data || newest === undefined) return null;
  const before = `${data.template ?? "its template"} ${data.version ?? ""}`.trim();
  return (
    <Card
      title="A newer version of its template"
      actions={
        <button
          type="button"
          className="button small"
          disabled={flow.isPlanning || may !== undefined}
          title={may}
          onClick={() => flow.plan({ change: { kind: "upgrade", name, version: newest } })}
        >
          {flow.isPlanning ? "Planning…" : "Show the plan"}
        </button>
      }
    >
      <div className="stack">
        <Notice title={`Version ${newest} may take the place of ${before}`}>
          Its answers and its data stay. Nothing happens before you have seen the plan.
        </Notice>
        {flow.refused ? <Refused error={flow.refused} /> : null}
        <Planning flow={flow} />
      </div>
    </Card>
  );
}
