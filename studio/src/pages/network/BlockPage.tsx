import { Link, useParams } from "react-router";
import { useBlock, useStatus } from "../../api/queries";
import { Badge, Card, Copy, Empty, Hash } from "../../design";
import { bytes, count, open } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Answer, At, ValidatorLink, When } from "../parts";

export function BlockPage() {
  const { height = "" } = useParams();
  useTitle(`Block ${height}`);
  const block = useBlock(height);
  const status = useStatus();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/">Network</Link>
      </p>
      <h1>Block {height}</h1>
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
              </dl>
            </Card>
            <Card title="Transactions" flush>
              {data.transaction_list.length === 0 ? (
                <Empty>No transaction in this block.</Empty>
              ) : (
                <div className="scroll" tabIndex={0} role="region" aria-label="Transactions">
                  <table className="table" aria-label="Transactions">
                    <thead>
                      <tr>
                        <th scope="col">Hash</th>
                        <th scope="col">Class</th>
                        <th scope="col">Sender</th>
                        <th scope="col">Action</th>
                        <th scope="col" className="number">
                          Fee
                        </th>
                        <th scope="col">Outcome</th>
                      </tr>
                    </thead>
                    <tbody>
                      {data.transaction_list.map((each) => (
                        <tr key={each.hash}>
                          <td>
                            <Hash text={each.hash} /> <Copy text={each.hash} label="hash" />
                          </td>
                          <td>{each.class}</td>
                          <td>
                            {each.class === "attestation" ? (
                              <ValidatorLink address={each.sender} />
                            ) : (
                              <Hash text={each.sender} keep={4} />
                            )}
                          </td>
                          <td className="wrap">{each.action}</td>
                          <td className="number">{open(each.fee)}</td>
                          <td>
                            {each.ok ? (
                              <Badge tone="good">✓ done</Badge>
                            ) : (
                              <Badge tone="bad">✕ {each.error}</Badge>
                            )}
                          </td>
                        </tr>
                      ))}
                    </tbody>
                  </table>
                </div>
              )}
            </Card>
            <Card title={`Certificate: ${data.certificate.length} signatures`} flush>
              <div className="scroll" tabIndex={0} role="region" aria-label="Certificate">
                <table className="table" aria-label="Certificate">
                  <thead>
                    <tr>
                      <th scope="col">Validator</th>
                      <th scope="col">Signature (ed25519)</th>
                    </tr>
                  </thead>
                  <tbody>
                    {data.certificate.map((each) => (
                      <tr key={each.validator}>
                        <td>
                          <ValidatorLink address={each.validator} />
                        </td>
                        <td>
                          <Hash text={each.signature} keep={12} />
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </div>
            </Card>
          </>
        )}
      </Answer>
    </div>
  );
}
