import { Link } from "react-router";
import type { TransactionSummary } from "../../api/types";
import { Badge, Empty, Hash } from "../../design";
import { count, open } from "../../lib/format";
import { AccountLink, ValidatorLink, When } from "../parts";

/** Who sent it: an account, or a validator. */
export function Sender({ of }: { of: TransactionSummary }) {
  if (of.sender === "unknown") return <span className="quiet">unknown</span>;
  return of.class === "account" ? <AccountLink address={of.sender} /> : <ValidatorLink address={of.sender} />;
}

export function Outcome({ of }: { of: TransactionSummary }) {
  if (typeof of.height !== "number") return <Badge tone="warn">waiting for a block</Badge>;
  return of.ok ? (
    <Badge tone="good">✓ done</Badge>
  ) : (
    <Badge tone="bad" title={of.error ?? ""}>
      ✕ refused
    </Badge>
  );
}

/** `account`: the one whose list it is, to say which way a transfer went. */
export function TransactionTable({
  items,
  label,
  empty,
  account,
  block = true,
}: {
  items: TransactionSummary[];
  label: string;
  empty: string;
  account?: string;
  block?: boolean;
}) {
  if (items.length === 0) return <Empty>{empty}</Empty>;
  const mine = (address: string | null | undefined) => address?.toLowerCase() === account?.toLowerCase();
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="table" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Hash</th>
            {block ? <th scope="col">Block</th> : null}
            {block ? <th scope="col">Age</th> : null}
            <th scope="col">Sender</th>
            <th scope="col">Action</th>
            <th scope="col" className="number">
              Amount
            </th>
            <th scope="col" className="number">
              Fee
            </th>
            <th scope="col">Outcome</th>
          </tr>
        </thead>
        <tbody>
          {items.map((each) => (
            <tr key={`${each.height} ${each.index} ${each.hash}`}>
              <td>
                <Link to={`/transactions/${each.hash}`}>
                  <Hash text={each.hash} />
                </Link>
              </td>
              {block ? (
                <td>
                  {typeof each.height === "number" ? (
                    <Link to={`/blocks/${each.height}`}>{count(each.height)}</Link>
                  ) : (
                    "–"
                  )}
                </td>
              ) : null}
              {block ? (
                <td>
                  <When at={each.time} />
                </td>
              ) : null}
              <td>
                <Sender of={each} />
              </td>
              <td>
                {each.to ? (
                  <>
                    send to <AccountLink address={each.to} />
                  </>
                ) : (
                  each.action
                )}
              </td>
              <td className="number">
                {each.amount ? (
                  <>
                    {account ? (mine(each.sender) ? "−" : "+") : ""}
                    {open(each.amount)}
                  </>
                ) : null}
              </td>
              <td className="number">
                {each.class === "account" ? open(each.fee) : <span className="quiet">none</span>}
              </td>
              <td>
                <Outcome of={each} />
                {each.error ? <span className="quiet"> {each.error}</span> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
