import { useState } from "react";
import type { Application } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { restart, useAct, useDocument, useXnode } from "../../api/xnodeQueries";
import { Card } from "../../design";
import { restartWords } from "../../lib/applications";
import { withWish } from "../../lib/document";
import { Decide, Planning, useChange } from "./change";
import { When } from "../parts";
import { Act, By, Refused } from "./parts";

const WISHES = [
  { wish: "running", words: "Start", verb: "Start it" },
  { wish: "stopped", words: "Stop", verb: "Stop it" },
  { wish: "paused", words: "Pause", verb: "Pause it" },
] as const;

/** Start, stop, and pause behind a maintenance page: each is a change of the document, planned as any other. */
export function Wishes({ application }: { application: Application }) {
  const xnode = useXnode();
  const present = useDocument(xnode.data?.wanted);
  const may = useMay("operator");
  const flow = useChange();
  // Nothing of the document changes with a restart, so that nothing is planned for it.
  const restarting = useAct(() => restart(application.name));
  const [asked, setAsked] = useState<(typeof WISHES)[number] | null>(null);
  const isStopped = application.state === "stopped";
  const isLeaving = application.state === "leaving";
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb={asked?.verb ?? "Do it"} />;
  return (
    <Card
      title="Run"
      actions={[
        <Act
          key="restart"
          words="Restart"
          label={`Restart ${application.name}`}
          busy={restarting.isPending}
          why={may ?? (isStopped || isLeaving ? "Nothing of it runs" : undefined)}
          onAct={() => restarting.mutate()}
        />,
        ...WISHES.filter(
          ({ wish }) => (wish === "running") === isStopped || (isStopped && wish === "paused"),
        ).map((each) => {
          const text =
            present.data === undefined ? null : withWish(present.data.text, application.name, each.wish);
          const why =
            may ??
            (isLeaving
              ? "It is leaving"
              : present.data === undefined
                ? "The document is still on its way"
                : text === null
                  ? "It is not in the wanted document"
                  : undefined);
          return (
            <Act
              key={each.wish}
              words={each.words}
              label={`${each.words} ${application.name}`}
              busy={flow.isPlanning}
              why={why}
              onAct={() => {
                if (text === null || present.data === undefined) return;
                setAsked(each);
                flow.plan({ change: { kind: "document", text }, expected: present.data.number });
              }}
            />
          );
        }),
      ]}
    >
      <div className="stack">
        <p className="quiet flat">
          {isStopped
            ? "It is stopped or paused by the document, and stays so over restarts of the machine."
            : "Stopping closes its ports; pausing answers for it with a maintenance page. Its data stay as they are."}
        </p>
        <RestartState application={application} />
        {restarting.error ? <Refused error={restarting.error} /> : null}
        <Planning flow={flow} />
        {flow.refused ? <Refused error={flow.refused} /> : null}
      </div>
    </Card>
  );
}

/** How far the last restart is, and who asked for it. */
function RestartState({ application: { restart: last } }: { application: Application }) {
  if (last === undefined) return null;
  return (
    <p className="quiet flat" role="status">
      Restart {last.number} {restartWords(last)}. Asked for by <By who={last.by} /> <When at={last.at} />.
    </p>
  );
}
