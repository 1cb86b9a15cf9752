import { Link } from "react-router";
import { nameOfStamp } from "../../api/explorer";
import type { StampInfo } from "../../api/types";
import { Copy, Hash } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { cidsIn } from "../../lib/search";
import { AccountLink, When } from "../parts";

/** A note as it was written; a CID in it is linked. */
export function Note({ text }: { text: string }) {
  const cids = cidsIn(text);
  if (text === "") return <span className="quiet">–</span>;
  // What stands between the CIDs stays as it is.
  return text.split(/\b(bafkrei[a-z2-7]{52})\b/).map((part, at) =>
    cids.includes(part) ? (
      <Link key={at} to={`/search?text=${part}`}>
        <Hash text={part} />
      </Link>
    ) : (
      part
    ),
  );
}

/** The address of a stamp's proof. */
export const proofPath = ({ hash, topic, account, height }: StampInfo) =>
  `/v1/stamps/${hash}/proof?${new URLSearchParams({ topic, account, height: String(height) }).toString()}`;

/** Stamps. `hash`: left out where all are of one. */
export function StampTable({
  items,
  label,
  empty,
  hash = true,
  account = true,
  proof = false,
}: {
  items: readonly StampInfo[];
  label: string;
  empty: string;
  hash?: boolean;
  account?: boolean;
  /** With the way to each stamp's proof. */
  proof?: boolean;
}) {
  return (
    <Table
      label={label}
      items={items}
      keyOf={nameOfStamp}
      empty={empty}
      columns={[
        hash
          ? {
              head: "Hash",
              cell: (stamp) => (
                <>
                  <Link to={`/stamps/${stamp.hash}`}>
                    <Hash text={stamp.hash} />
                  </Link>
                  <Copy text={stamp.hash} label="hash" />
                </>
              ),
            }
          : null,
        {
          head: "Topic",
          cell: ({ topic }) => <Link to={`/stamps?topic=${encodeURIComponent(topic)}`}>{topic}</Link>,
        },
        account ? { head: "Account", cell: (stamp) => <AccountLink address={stamp.account} /> } : null,
        { head: "Note", cell: ({ note }) => <Note text={note} />, tone: () => "wrap" },
        {
          head: "Block",
          cell: ({ height }) => <Link to={`/blocks/${height}`}>{count(height)}</Link>,
        },
        { head: "Age", cell: ({ time }) => <When at={time} /> },
        {
          head: "Transaction",
          cell: ({ transaction }) => (
            <Link to={`/transactions/${transaction}`}>
              <Hash text={transaction} keep={4} />
            </Link>
          ),
        },
        proof
          ? {
              head: "Proof",
              cell: (stamp) => (
                <a
                  href={proofPath(stamp)}
                  download={`${stamp.hash}.stamp.json`}
                  aria-label={`Proof of the stamp under ${stamp.topic} by ${stamp.account}`}
                >
                  Download
                </a>
              ),
            }
          : null,
      ]}
    />
  );
}
