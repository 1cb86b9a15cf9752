import { useState } from "react";
import type { DataLine } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { dropLine, useAct, useDataLines, useXnode } from "../../api/xnodeQueries";
import { Badge, Card } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { When } from "../parts";
import { Decide, Planning, useChange } from "./change";
import { Act, By, Live, Refused } from "./parts";

/** Lines of data: what a switch or a restore has left beside what is in use, for a person to choose. */
export function DataLines({ name }: { name: string }) {
  const lines = useDataLines(name);
  const { data: xnode } = useXnode();
  const flow = useChange();
  const dropping = useAct(dropLine);
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb="Use this line" />;
  const error = dropping.error ?? flow.refused;
  return (
    <Card title="Lines of data" flush>
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      {flow.isPlanning ? (
        <div className="pad">
          <Planning flow={flow} />
        </div>
      ) : null}
      <Live of={lines} what="lines of data">
        {(all) => (
          <LineTable
            all={all}
            busy={dropping.isPending || flow.isPlanning}
            onUse={({ volume, number }) => {
              if (xnode)
                flow.plan({
                  change: { kind: "restore", generation: xnode.wanted, lines: `${name}/${volume}:${number}` },
                  expected: xnode.wanted,
                });
            }}
            onDrop={({ volume, number }) => dropping.mutate({ name, volume, number })}
          />
        )}
      </Live>
    </Card>
  );
}

const lineKey = ({ volume, number }: DataLine) => `${volume} ${number}`;

function LineTable({
  all,
  busy,
  onUse,
  onDrop,
}: {
  all: DataLine[];
  busy: boolean;
  onUse: (line: DataLine) => void;
  onDrop: (line: DataLine) => void;
}) {
  return (
    <Table
      label="Lines of data"
      items={all}
      keyOf={lineKey}
      empty="Its volumes are not made yet."
      columns={[
        { head: "Volume", cell: ({ volume }) => volume },
        { head: "Line", number: true, cell: ({ number }) => count(number) },
        { head: "State", cell: (line) => <LineState of={line} /> },
        {
          head: "From",
          number: true,
          cell: ({ parent }) => (parent === null ? <span className="quiet">–</span> : count(parent)),
        },
        { head: "Since", cell: ({ at }) => <When at={at} /> },
        { head: "Reason", tone: () => "wrap", cell: ({ reason }) => reason },
        { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
        { head: "", cell: (line) => <LineActs line={line} busy={busy} onUse={onUse} onDrop={onDrop} /> },
      ]}
    />
  );
}

function LineState({ of: { in_use: inUse, admitted } }: { of: DataLine }) {
  if (inUse) return <Badge tone="good">in use</Badge>;
  if (!admitted) return <span className="quiet">beside</span>;
  return (
    <Badge tone="warn" title="It had traffic from outside, so that no machine removes it">
      kept for a person
    </Badge>
  );
}

/** What a person may do with a line; data that go for good are asked about once more. */
function LineActs({
  line,
  busy,
  onUse,
  onDrop,
}: {
  line: DataLine;
  busy: boolean;
  onUse: (line: DataLine) => void;
  onDrop: (line: DataLine) => void;
}) {
  const [isAsked, setAsked] = useState(false);
  const mayUse = useMay("operator");
  const mayDrop = useMay("admin");
  const inUse = line.in_use ? "It is in use" : undefined;
  const words = `line ${line.number} of ${line.volume}`;
  if (isAsked)
    return (
      <span className="row">
        <Act
          words="Yes, its data go"
          label={`Remove ${words} for good`}
          busy={busy}
          why={mayDrop}
          onAct={() => {
            setAsked(false);
            onDrop(line);
          }}
        />
        <Act words="No" label={`Keep ${words}`} busy={false} why={undefined} onAct={() => setAsked(false)} />
      </span>
    );
  return (
    <span className="row">
      <Act words="Use" label={`Use ${words}`} busy={busy} why={mayUse ?? inUse} onAct={() => onUse(line)} />
      <Act
        words="Remove"
        label={`Remove ${words}`}
        busy={busy}
        why={mayDrop ?? inUse}
        onAct={() => setAsked(true)}
      />
    </span>
  );
}
