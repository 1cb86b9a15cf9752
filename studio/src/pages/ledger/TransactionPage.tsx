import { Link, useParams } from "react-router";
import { useTransaction } from "../../api/queries";
import type { TransactionSummary } from "../../api/types";
import { Card, Copy } from "../../design";
import { bytes, count, open } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { AccountLink, Answer, At, When } from "../parts";
import { Carried } from "./Carried";
import { Outcome, Refusal, Sender } from "./TransactionTable";

/** The fee: what it may be while the transaction waits, then what was burnt and what the proposer has. */
function Fees({ of }: { of: TransactionSummary }) {
  if (typeof of.height !== "number")
    return (
      <>
        at most {open(of.fee)}, of it a tip of at most {open(of.tip)}
      </>
    );
  const burnt = (BigInt(of.fee) - BigInt(of.tip)).toString();
  return (
    <>
      {open(of.fee)}
      {of.ok ? (
        <span className="quiet">
          {" "}
          ({open(burnt)} burnt, {open(of.tip)} to the proposer
          {of.max_fee ? `; at most ${open(of.max_fee)} was offered` : ""})
        </span>
      ) : null}
    </>
  );
}

export function TransactionPage() {
  const { hash = "" } = useParams();
  useTitle("Transaction");
  const transaction = useTransaction(hash);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/transactions">Transactions</Link>
      </p>
      <h1>Transaction</h1>
      <p className="flat">
        <code className="long">{hash}</code> <Copy text={hash} label="hash" />
      </p>
      <Answer of={transaction} what="the transaction">
        {(data) => (
          <Card title="What it is" actions={<Outcome of={data} />}>
            <dl className="facts">
              <dt>Action</dt>
              <dd>{data.action}</dd>
              <dt>Class</dt>
              <dd>{data.class}</dd>
              <dt>Sender</dt>
              <dd>
                <Sender of={data} />
              </dd>
              {data.to ? (
                <>
                  <dt>Receiver</dt>
                  <dd>
                    <AccountLink address={data.to} whole />
                  </dd>
                </>
              ) : null}
              {data.amount ? (
                <>
                  <dt>Amount</dt>
                  <dd>{open(data.amount)}</dd>
                </>
              ) : null}
              {data.class === "account" ? (
                <>
                  <dt>Fee</dt>
                  <dd>
                    <Fees of={data} />
                  </dd>
                  <dt>Nonce</dt>
                  <dd>{data.nonce ?? "–"}</dd>
                </>
              ) : null}
              <dt>Block</dt>
              <dd>
                {typeof data.height === "number" ? (
                  <>
                    <Link to={`/blocks/${data.height}`}>{count(data.height)}</Link>, position {data.index},{" "}
                    <At at={data.time} /> (
                    <When at={data.time} />)
                  </>
                ) : (
                  "none yet: it waits in the mempool; this page shows it as soon as it is in one"
                )}
              </dd>
              <dt>Size</dt>
              <dd>{bytes(data.bytes ?? 0)}</dd>
            </dl>
            {data.error ? <Refusal of={data} /> : null}
            <Carried of={data} />
          </Card>
        )}
      </Answer>
    </div>
  );
}
