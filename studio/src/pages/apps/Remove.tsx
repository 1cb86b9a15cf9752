import { useState } from "react";
import type { Application } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import type { DataFate } from "../../api/xnodeQueries";
import { Card } from "../../design";
import { Decide, Planning, useChange } from "./change";
import { Refused } from "./parts";

const FATES: readonly { data: DataFate; words: string; then: string }[] = [
  {
    data: "keep",
    words: "Keep its data",
    then: "They stay on this machine; deploying it again under its name finds them.",
  },
  {
    data: "backup",
    words: "Make a last backup, then remove them",
    // B-65: the day counts from the removal, and a backup from before it does not.
    then: "They go a day after the removal, and not before a backup made after it is whole. Until they go, deploying it again under its name, or rolling back, finds them.",
  },
  {
    data: "wipe",
    words: "Wipe its data",
    // what is to be wiped comes back by going back alone, and only while no other volume has its place.
    then: "They go a day after the removal. Until then only rolling back to a generation before it brings them back (Node, Generations): deploying it again begins with empty volumes, and after that rolling back does not find these data either.",
  },
];

/** Removing asks what becomes of the data, and shows the plan before anything is done. */
export function Remove({ application: { name, state, volumes } }: { application: Application }) {
  const [fate, setFate] = useState<DataFate>("keep");
  const [typed, setTyped] = useState("");
  const may = useMay("admin");
  const flow = useChange();
  const hasData = Object.keys(volumes).length > 0;
  const why =
    may ??
    (state === "leaving"
      ? "It is leaving already"
      : fate === "wipe" && hasData && typed !== name
        ? "Write its name first"
        : undefined);
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb={`Remove ${name}`} />;
  return (
    <Card title={`Remove ${name}`}>
      <form
        className="stack"
        aria-label="Removal"
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined)
            flow.plan({ change: { kind: "remove", name, data: hasData ? fate : "keep" } });
        }}
      >
        {hasData ? (
          <fieldset className="stack plainset">
            <legend className="quiet">What becomes of its data ({Object.keys(volumes).join(", ")})</legend>
            {FATES.map(({ data, words, then }) => (
              <label key={data} className="choice">
                <input
                  type="radio"
                  name="data"
                  value={data}
                  checked={fate === data}
                  onChange={() => setFate(data)}
                />
                <span>
                  {words} <span className="below quiet">{then}</span>
                </span>
              </label>
            ))}
          </fieldset>
        ) : (
          <p className="flat">It has no volume: what it wrote goes with it.</p>
        )}
        {fate === "wipe" && hasData ? (
          <label className="field">
            <span>Its name, to be sure</span>
            <input
              className="input mono"
              value={typed}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => setTyped(event.target.value)}
            />
          </label>
        ) : null}
        <Planning flow={flow} />
        {flow.refused ? <Refused error={flow.refused} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={flow.isPlanning || why !== undefined}
            title={why}
          >
            {flow.isPlanning ? "Planning…" : "Show the plan"}
          </button>
        </p>
      </form>
    </Card>
  );
}
