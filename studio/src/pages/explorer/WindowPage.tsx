import { Link, useParams } from "react-router";
import { useWindow } from "../../api/explorer";
import { useChunks, useSources } from "../../api/queries";
import type { WindowInfo } from "../../api/types";
import { Badge, Card } from "../../design";
import { Table } from "../../design/Table";
import { named } from "../../lib/agreement";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Answer, At, ChunkTable, ValidatorLink } from "../parts";

/** Streams of one window: the contract's largest page holds more than any source has. */
const STREAMS = 500;

/** One window of a source: what was agreed on, and how each validator stood to it. */
export function WindowPage() {
  const { source = "", window = "" } = useParams();
  useTitle(`Window ${window} of ${source}`);
  const found = useWindow(source, window);
  const number = /^\d+$/.test(window) ? Number(window) : -1;
  const sources = useSources();
  const kind = sources.data?.items.find(({ id }) => id === source)?.kind ?? "market";
  const chunks = useChunks({ source, from: number, to: number }, STREAMS);
  return (
    <div className="stack">
      <p className="flat">
        <Link to={`/sources/${encodeURIComponent(source)}`}>{source}</Link>
      </p>
      <div className="row spread">
        <h1>
          {source}, {number < 0 ? window : named(kind, number)}
        </h1>
        <span className="row">
          {number > 0 ? (
            <Link
              className="button small"
              to={`/sources/${encodeURIComponent(source)}/windows/${number - 1}`}
            >
              Previous
            </Link>
          ) : null}
          <Link className="button small" to={`/sources/${encodeURIComponent(source)}/windows/${number + 1}`}>
            Next
          </Link>
        </span>
      </div>
      <Answer of={found} what="the window">
        {(data) => (
          <>
            <Facts of={data} />
            <Validators of={data} />
          </>
        )}
      </Answer>
      <Card title="Chunks" flush>
        <Answer of={chunks} what="chunks">
          {({ items }) => (
            <ChunkTable
              chunks={items.filter((chunk) => chunk.window === number)}
              label="Chunks of the window"
              source={false}
              window={false}
              empty="Nobody attested a chunk of it."
            />
          )}
        </Answer>
      </Card>
    </div>
  );
}

function Facts({ of }: { of: WindowInfo }) {
  const streams = (list: readonly string[]) =>
    list.length === 0 ? <span className="quiet">none</span> : list.join(", ");
  return (
    <Card
      title="What it is"
      actions={
        of.closed ? <Badge>closed</Badge> : <Badge tone="warn">open for commitments and attestations</Badge>
      }
    >
      <dl className="facts">
        {of.window_start ? (
          <>
            <dt>Time</dt>
            <dd>
              <At at={of.window_start} /> to <At at={of.window_end} />, by the venue's clock
            </dd>
          </>
        ) : null}
        <dt>Opened</dt>
        <dd>
          in <Link to={`/blocks/${of.opened_height}`}>block {count(of.opened_height)}</Link> by{" "}
          <ValidatorLink address={of.opened_by} />
        </dd>
        <dt>{of.closed ? "Closed" : "Closes"}</dt>
        <dd>
          {of.closed ? (
            <>
              with <Link to={`/blocks/${of.closes_at}`}>block {count(of.closes_at)}</Link>
            </>
          ) : (
            `with block ${count(of.closes_at)}`
          )}
        </dd>
        <dt>Epoch</dt>
        <dd>
          <Link to={`/epochs/${of.epoch}`}>{count(of.epoch)}</Link>, which drew its validators
        </dd>
        <dt>Chunks agreed on</dt>
        <dd>{count(of.accepted)}</dd>
        <dt>Disputed</dt>
        <dd>{streams(of.disputed)}</dd>
        <dt>Uncovered</dt>
        <dd>{streams(of.uncovered)}</dd>
        <dt>Agreed to be empty</dt>
        <dd>{streams(of.absent)}</dd>
      </dl>
    </Card>
  );
}

function Validators({ of }: { of: WindowInfo }) {
  return (
    <Card title="How each assigned validator stood to it" flush>
      <Table
        label="Validators of the window"
        items={of.validators}
        keyOf={({ validator }) => validator}
        empty="Nobody was assigned."
        columns={[
          { head: "Validator", cell: ({ validator }) => <ValidatorLink address={validator} /> },
          { head: "Power", number: true, cell: ({ power }) => count(power) },
          {
            head: "Word",
            cell: ({ attested, committed, differing }) =>
              !attested && committed ? (
                <Badge tone={of.closed ? "warn" : "plain"}>{of.closed ? "never opened" : "committed"}</Badge>
              ) : !attested ? (
                <Badge tone={of.closed ? "warn" : "plain"}>{of.closed ? "missing" : "not yet"}</Badge>
              ) : differing.length > 0 ? (
                <Badge tone="bad">differing</Badge>
              ) : (
                <Badge tone="good">✓ attested</Badge>
              ),
          },
          { head: "Differs in", cell: ({ differing }) => differing.join(", "), tone: () => "wrap" },
          { head: "Did not cover", cell: ({ abstained }) => abstained.join(", "), tone: () => "wrap" },
        ]}
      />
    </Card>
  );
}
