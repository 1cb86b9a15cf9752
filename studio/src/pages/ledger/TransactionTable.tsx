import { Link } from "react-router";
import type { TransactionSummary } from "../../api/types";
import { Badge, Hash, Notice } from "../../design";
import { Table } from "../../design/Table";
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

/** The ledger's refusal of a transaction: its reason, its word and what to do. */
export function Refusal({ of, title = "It was refused" }: { of: TransactionSummary; title?: string }) {
  return (
    <Notice tone="bad" title={title}>
      {of.error ?? "No reason was given."}
      {of.error_code ? (
        <>
          {" "}
          <code>{of.error_code}</code>
        </>
      ) : null}
      {of.error_hint ? `: ${of.error_hint}` : null}
    </Notice>
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
  const mine = (address: string | null | undefined) => address?.toLowerCase() === account?.toLowerCase();
  return (
    <Table
      label={label}
      items={items}
      keyOf={(each) => `${each.height} ${each.index} ${each.hash}`}
      empty={empty}
      columns={[
        {
          head: "Hash",
          cell: ({ hash }) => (
            <Link to={`/transactions/${hash}`}>
              <Hash text={hash} />
            </Link>
          ),
        },
        block
          ? {
              head: "Block",
              cell: ({ height }) =>
                typeof height === "number" ? <Link to={`/blocks/${height}`}>{count(height)}</Link> : "–",
            }
          : null,
        block ? { head: "Age", cell: ({ time }) => <When at={time} /> } : null,
        { head: "Sender", cell: (each) => <Sender of={each} /> },
        {
          head: "Action",
          cell: ({ to, action }) =>
            to ? (
              <>
                send to <AccountLink address={to} />
              </>
            ) : (
              action
            ),
        },
        {
          head: "Amount",
          number: true,
          cell: ({ amount, sender }) =>
            amount ? `${account ? (mine(sender) ? "−" : "+") : ""}${open(amount)}` : null,
        },
        {
          head: "Fee",
          number: true,
          cell: (each) => (each.class === "account" ? open(each.fee) : <span className="quiet">none</span>),
        },
        {
          head: "Outcome",
          cell: (each) => (
            <>
              <Outcome of={each} />
              {each.error ? <span className="quiet"> {each.error}</span> : null}
            </>
          ),
        },
      ]}
    />
  );
}
