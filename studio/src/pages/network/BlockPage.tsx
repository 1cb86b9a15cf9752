import { Link, useParams } from "react-router";
import { useBlockEvents } from "../../api/explorer";
import { useBlock, useStatus } from "../../api/queries";
import { Card, Copy, Hash } from "../../design";
import { Table } from "../../design/Table";
import { bytes, count, open } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { EventTable } from "../explorer/EventTable";
import { TransactionTable } from "../ledger/TransactionTable";
import { Answer, At, Pages, ValidatorLink, When } from "../parts";

export function BlockPage() {
  const { height = "" } = useParams();
  useTitle(`Block ${height}`);
  const block = useBlock(height);
  const status = useStatus();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/blocks">Blocks</Link>
      </p>
      <h1>Block {/^\d+$/.test(height) ? count(Number(height)) : height}</h1>
      <Answer of={block} what="the block">
        {(data) => (
          <>
            <Card
              title="Header"
              actions={
                <>
                  {data.height > 1 ? (
                    <Link className="button small" to={`/blocks/${data.height - 1}`}>
                      Previous
                    </Link>
                  ) : null}
                  {(status.data?.height ?? 0) > data.height ? (
                    <Link className="button small" to={`/blocks/${data.height + 1}`}>
                      Next
                    </Link>
                  ) : null}
                </>
              }
            >
              <dl className="facts">
                <dt>Time</dt>
                <dd>
                  <At at={data.time} /> (<When at={data.time} />)
                </dd>
                <dt>Proposer</dt>
                <dd>
                  <ValidatorLink address={data.proposer} />, decided in round {data.round}
                </dd>
                {(
                  [
                    ["Hash", data.hash],
                    ["Parent", data.parent],
                    ["State before", data.state_root],
                    ["Transactions", data.transactions_root],
                    ["Validators", data.validators_hash],
                  ] as const
                ).map(([name, hash]) => (
                  <div key={name} className="fact">
                    <dt>{name}</dt>
                    <dd>
                      <Hash text={hash} keep={7} /> <Copy text={hash} label={name} />
                    </dd>
                  </div>
                ))}
                <dt>Size</dt>
                <dd>
                  {bytes(data.bytes)} in {count(data.transactions)} transactions
                </dd>
                {data.fees ? (
                  <>
                    <dt>Base fee</dt>
                    <dd>
                      {open(data.fees.base_fee)} for a transfer, {(data.fees.load / 10_000).toFixed(1)} % full
                    </dd>
                    <dt>Fees</dt>
                    <dd>
                      {open(data.fees.burnt)} burnt, {open(data.fees.tips)} to the proposer
                    </dd>
                  </>
                ) : null}
              </dl>
            </Card>
            <Card title="Transactions" flush>
              <TransactionTable
                items={data.transaction_list}
                label="Transactions"
                empty={
                  data.has_receipts
                    ? "No transaction in this block."
                    : "This node joined by a snapshot after this block and does not hold its receipts."
                }
                block={false}
              />
            </Card>
            <Events height={height} />
            <Card title={`Certificate: ${data.certificate.length} signatures`} flush>
              <Table
                label="Certificate"
                items={data.certificate}
                keyOf={(each) => each.validator}
                empty="No signature."
                columns={[
                  { head: "Validator", cell: ({ validator }) => <ValidatorLink address={validator} /> },
                  {
                    head: "Signature (ed25519)",
                    cell: ({ signature }) => <Hash text={signature} keep={12} />,
                  },
                ]}
              />
            </Card>
          </>
        )}
      </Answer>
    </div>
  );
}

/** What the block did, the last first. */
function Events({ height }: { height: string }) {
  const pager = usePager("events");
  const events = useBlockEvents(height, pager.cursor);
  return (
    <Card title="Events" flush>
      <Answer of={events} what="events">
        {(page) => (
          <>
            <EventTable
              items={page.items}
              label="Events of the block"
              empty="It did nothing."
              block={false}
            />
            <Pages of={pager} page={page} what="events" />
          </>
        )}
      </Answer>
    </Card>
  );
}
