import { Link } from "react-router";
import type { BlockSummary } from "../../api/types";
import { Badge, Empty } from "../../design";
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
  if (items.length === 0) return <Empty>{empty}</Empty>;
  return (
    <div className="scroll" tabIndex={0} role="region" aria-label={label}>
      <table className="table" aria-label={label}>
        <thead>
          <tr>
            <th scope="col">Height</th>
            <th scope="col">Age</th>
            {proposer ? <th scope="col">Proposer</th> : null}
            <th scope="col" className="number">
              Transactions
            </th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col" className="number">
              Signatures
            </th>
          </tr>
        </thead>
        <tbody>
          {items.map((block) => (
            <tr key={block.height}>
              <td>
                <Link to={`/blocks/${block.height}`}>{count(block.height)}</Link>
              </td>
              <td>
                <When at={block.time} />
              </td>
              {proposer ? (
                <td>
                  <ValidatorLink address={block.proposer} />
                </td>
              ) : null}
              <td className="number">{block.transactions}</td>
              <td className="number">{bytes(block.bytes)}</td>
              <td className="number">
                {block.signatures}
                {block.round > 0 ? <Badge tone="warn">round {block.round}</Badge> : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
