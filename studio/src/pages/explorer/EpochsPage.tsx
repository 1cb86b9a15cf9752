import { Link, useParams } from "react-router";
import { useEpoch, useEpochs } from "../../api/explorer";
import type { EpochInfo } from "../../api/types";
import { Badge, Card, Copy, Figure, Figures, Hash } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { Answer, At, Pages, ValidatorList, When } from "../parts";

/** The blocks of an epoch, linked. */
function Blocks({ of }: { of: EpochInfo }) {
  return (
    <>
      <Link to={`/blocks/${of.first_height}`}>{count(of.first_height)}</Link> to{" "}
      {typeof of.last_height === "number" ? (
        <Link to={`/blocks/${of.last_height}`}>{count(of.last_height)}</Link>
      ) : (
        "now"
      )}
    </>
  );
}

export function EpochsPage() {
  useTitle("Epochs");
  const pager = usePager("older");
  const epochs = useEpochs(pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Epochs</h1>
        <p className="quiet flat">
          In each, other validators are drawn for the sources. When it ends, its facts are closed into one
          root that stays for ever.
        </p>
      </div>
      <Card title="All epochs" flush>
        <Answer of={epochs} what="epochs">
          {(page) => (
            <>
              <Table
                label="Epochs"
                items={page.items}
                keyOf={({ number }) => number}
                empty="No epoch yet."
                columns={[
                  {
                    head: "Epoch",
                    cell: ({ number, root }) => (
                      <>
                        <Link to={`/epochs/${number}`}>{count(number)}</Link>{" "}
                        {root ? null : <Badge tone="good">now</Badge>}
                      </>
                    ),
                  },
                  { head: "Began", cell: ({ started }) => <When at={started} /> },
                  { head: "Blocks", cell: (epoch) => <Blocks of={epoch} /> },
                  { head: "Facts", number: true, cell: ({ facts }) => count(facts) },
                  {
                    head: "Root",
                    cell: ({ root }) =>
                      root ? (
                        <>
                          <Hash text={root} /> <Copy text={root} label="root" />
                        </>
                      ) : (
                        <span className="quiet">when it ends</span>
                      ),
                  },
                ]}
              />
              <Pages of={pager} page={page} what="epochs" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}

export function EpochPage() {
  const { number = "" } = useParams();
  useTitle(`Epoch ${number}`);
  const epoch = useEpoch(number);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/epochs">Epochs</Link>
      </p>
      <h1>Epoch {/^\d+$/.test(number) ? count(Number(number)) : number}</h1>
      <Answer of={epoch} what="the epoch">
        {(data) => (
          <>
            <Figures label="Figures of the epoch">
              <Figure name="State" value={data.root ? "closed" : "now"} />
              <Figure name="Facts" value={count(data.facts)} note={data.root ? "for ever" : "so far"} />
              <Figure name="Blocks" value={<Blocks of={data} />} />
            </Figures>
            <Card
              title="What it is"
              actions={
                <>
                  {data.number > 0 ? (
                    <Link className="button small" to={`/epochs/${data.number - 1}`}>
                      Previous
                    </Link>
                  ) : null}
                  {data.root ? (
                    <Link className="button small" to={`/epochs/${data.number + 1}`}>
                      Next
                    </Link>
                  ) : null}
                </>
              }
            >
              <dl className="facts">
                <dt>Began</dt>
                <dd>
                  <At at={data.started} /> (<When at={data.started} />)
                </dd>
                <dt>Root over its facts</dt>
                <dd>
                  {data.root ? (
                    <>
                      <code className="long">{data.root}</code> <Copy text={data.root} label="root" />
                    </>
                  ) : (
                    "made when it ends"
                  )}
                </dd>
                <dt>Seed of the draw</dt>
                <dd>
                  {data.seed ? (
                    <>
                      <code className="long">{data.seed}</code> <Copy text={data.seed} label="seed" />
                    </>
                  ) : (
                    "has left the state"
                  )}
                </dd>
                {typeof data.drawn_height === "number" && data.drawn_height > 0 ? (
                  <>
                    <dt>Drawn with</dt>
                    <dd>
                      <Link to={`/blocks/${data.drawn_height}`}>block {count(data.drawn_height)}</Link>
                    </dd>
                  </>
                ) : null}
              </dl>
            </Card>
            <Card title="Who collects what" flush>
              <Table
                label="Assignments"
                items={data.assignments}
                keyOf={({ source }) => source}
                empty={data.seed ? "No source was collected in it." : "The draw has left the state."}
                columns={[
                  {
                    head: "Source",
                    cell: ({ source }) => <Link to={`/sources/${encodeURIComponent(source)}`}>{source}</Link>,
                  },
                  { head: "Validators", cell: ({ validators }) => <ValidatorList addresses={validators} /> },
                ]}
              />
            </Card>
          </>
        )}
      </Answer>
    </div>
  );
}
