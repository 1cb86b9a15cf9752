import { Link, useParams } from "react-router";
import { useBlocksOf, useChunks, useSources, useStatus, useValidators } from "../../api/queries";
import { Badge, Card, Copy, Empty, Figure, Figures, Notice } from "../../design";
import { bytes, count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Answer, ChunkTable, When } from "../parts";
import { isUp } from "./Network";

export function ValidatorPage() {
  const { address = "" } = useParams();
  const validators = useValidators();
  const status = useStatus();
  const sources = useSources();
  const same = (other: string) => other.toLowerCase() === address.toLowerCase();
  const name = validators.data?.items.find((each) => same(each.address))?.name;
  useTitle(name ? `Validator ${name}` : "Validator");
  const assigned = sources.data?.items.filter((each) => each.assigned.some(same)) ?? [];
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/">Network</Link>
      </p>
      <h1>Validator {name}</h1>
      <p className="flat">
        <code className="long">{address}</code> <Copy text={address} label="address" />
      </p>
      <Answer of={validators} what="the validator">
        {({ items }) => {
          const one = items.find((each) => same(each.address));
          if (!one)
            return (
              <Notice tone="bad" title="No validator has this address">
                <Link to="/">The network page</Link> lists all.
              </Notice>
            );
          return (
            <>
              <Figures label="Figures of the validator">
                <Figure
                  name="Voting power"
                  value={count(one.power)}
                  note={`${(one.share * 100).toFixed(1)} %`}
                />
                <Figure name="Signed of recent" value={`${one.signed_recent} / ${one.recent}`} />
                <Figure name="Proposed" value={count(one.proposed)} />
                <Figure name="Attested" value={count(one.attested)} />
                <Figure name="Differing" value={count(one.differing)} />
                <Figure name="Missing" value={count(one.missing)} />
                <Figure
                  name="Last signed"
                  value={one.last_signed_height === null ? "never" : count(one.last_signed_height)}
                />
              </Figures>
              <p className="row flat">
                {status.data ? (
                  isUp(one, status.data.height) ? (
                    <Badge tone="good">up</Badge>
                  ) : (
                    <Badge tone="bad">down</Badge>
                  )
                ) : null}
                <span>
                  Assigned in this epoch:{" "}
                  {assigned.length === 0 ? "no source" : assigned.map((each) => each.id).join(", ")}
                </span>
                <Link to={`/?validator=${one.address}`}>Its incidents</Link>
              </p>
            </>
          );
        }}
      </Answer>
      <Proposed address={address} />
      <Attested address={address} />
    </div>
  );
}

function Proposed({ address }: { address: string }) {
  const blocks = useBlocksOf(address);
  return (
    <Card title="Blocks it proposed" flush>
      <Answer of={blocks} what="blocks">
        {({ items }) =>
          items.length === 0 ? (
            <Empty>None among the recent blocks.</Empty>
          ) : (
            <div className="scroll" tabIndex={0} role="region" aria-label="Blocks it proposed">
              <table className="table" aria-label="Blocks it proposed">
                <thead>
                  <tr>
                    <th scope="col">Height</th>
                    <th scope="col">Age</th>
                    <th scope="col" className="number">
                      Transactions
                    </th>
                    <th scope="col" className="number">
                      Size
                    </th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((each) => (
                    <tr key={each.height}>
                      <td>
                        <Link to={`/blocks/${each.height}`}>{count(each.height)}</Link>
                      </td>
                      <td>
                        <When at={each.time} />
                      </td>
                      <td className="number">{each.transactions}</td>
                      <td className="number">{bytes(each.bytes)}</td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Answer>
    </Card>
  );
}

function Attested({ address }: { address: string }) {
  const chunks = useChunks({ attester: address }, 20);
  return (
    <Card title="Chunks it attested" flush>
      <Answer of={chunks} what="chunks">
        {({ items }) => <ChunkTable chunks={items} label="Chunks it attested" />}
      </Answer>
    </Card>
  );
}
