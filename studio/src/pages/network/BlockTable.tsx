import { Link } from "react-router";
import type { BlockSummary } from "../../api/types";
import { Badge } from "../../design";
import { Table } from "../../design/Table";
import { bytes, count } from "../../lib/format";
import { ValidatorLink, When } from "../parts";

export function BlockTable({
  items,
  label,
  empty,
  proposer = true,
}: {
  items: BlockSummary[];
  label: string;
  empty: string;
  proposer?: boolean;
}) {
  return (
    <Table
      label={label}
      items={items}
      keyOf={(block) => block.height}
      empty={empty}
      columns={[
        {
          head: "Height",
          cell: ({ height }) => <Link to={`/blocks/${height}`}>{count(height)}</Link>,
        },
        { head: "Age", cell: ({ time }) => <When at={time} /> },
        proposer ? { head: "Proposer", cell: (block) => <ValidatorLink address={block.proposer} /> } : null,
        { head: "Transactions", number: true, cell: ({ transactions }) => transactions },
        { head: "Size", number: true, cell: (block) => bytes(block.bytes) },
        {
          head: "Signatures",
          number: true,
          cell: ({ signatures, round }) => (
            <>
              {signatures}
              {round > 0 ? <Badge tone="warn">round {round}</Badge> : null}
            </>
          ),
        },
      ]}
    />
  );
}
