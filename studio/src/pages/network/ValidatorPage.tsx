import { Fragment } from "react";
import { Link, useParams } from "react-router";
import { PAGE_ITEMS, useBlockPage, useChunks, useSources, useStatus, useValidators } from "../../api/queries";
import { Badge, Card, Copy, Figure, Figures, Notice } from "../../design";
import { count } from "../../lib/format";
import { useStill } from "../../lib/heights";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, ChunkTable, Pages } from "../parts";
import { BlockTable } from "./BlockTable";
import { isUp } from "./Network";

export function ValidatorPage() {
  const { address = "" } = useParams();
  const validators = useValidators();
  const status = useStatus();
  const sources = useSources();
  const still = useStill();
  const same = (other: string) => other.toLowerCase() === address.toLowerCase();
  const name = validators.data?.items.find((each) => same(each.address))?.name;
  useTitle(name || "Validator");
  const assigned = sources.data?.items.filter((each) => each.assigned.some(same)) ?? [];
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/validators">Validators</Link>
      </p>
      <h1>{name || "Validator"}</h1>
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
                <Figure name="Unopened" value={count(one.unopened)} />
                <Figure name="Copied" value={count(one.copied)} />
                <Figure
                  name="Last signed"
                  value={typeof one.last_signed_height === "number" ? count(one.last_signed_height) : "never"}
                />
              </Figures>
              <p className="row flat">
                {status.data ? <UpBadge up={isUp(one, status.data.height, still)} /> : null}
                <span>
                  Assigned in this epoch:{" "}
                  {assigned.length === 0
                    ? "no source"
                    : assigned.map((each, at) => (
                        <Fragment key={each.id}>
                          {at > 0 ? ", " : ""}
                          <Link to={`/sources/${encodeURIComponent(each.id)}`}>{each.id}</Link>
                        </Fragment>
                      ))}
                </span>
                <Link to={`/incidents?validator=${one.address}`}>Its incidents</Link>
                <Link to={`/events?validator=${one.address}`}>Its events</Link>
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

function UpBadge({ up }: { up: boolean | null }) {
  if (up === null) return <Badge tone="warn">not known without blocks</Badge>;
  return up ? <Badge tone="good">up</Badge> : <Badge tone="bad">down</Badge>;
}

function Proposed({ address }: { address: string }) {
  const pager = usePager("blocks");
  const blocks = useBlockPage({ proposer: address, transactions: "" }, pager.cursor, 10);
  return (
    <Card title="Blocks it proposed" flush>
      <Answer of={blocks} what="blocks">
        {(page) => (
          <>
            <BlockTable
              items={page.items}
              label="Blocks it proposed"
              empty={page.next ? "None in the part that was looked through." : "None."}
              proposer={false}
            />
            <Pages of={pager} page={page} what="blocks" />
          </>
        )}
      </Answer>
    </Card>
  );
}

function Attested({ address }: { address: string }) {
  const [read, write] = useFilters();
  const pager = usePager("chunks");
  const sources = useSources();
  const source = read("source");
  const chunks = useChunks({ attester: address, ...(source ? { source } : {}) }, PAGE_ITEMS, pager.cursor);
  return (
    <Card title="Chunks it attested" flush>
      <div className="filters">
        <Choice
          name="Source"
          value={source}
          options={sources.data?.items.map((each) => each.id) ?? []}
          onChange={(wanted) => write({ source: wanted, chunks: null })}
        />
      </div>
      <Answer of={chunks} what="chunks">
        {(page) => (
          <>
            <ChunkTable
              chunks={page.items}
              label="Chunks it attested"
              empty={
                page.next
                  ? "None in the part that was looked through; older ones come with Older."
                  : source
                    ? "It attested no chunk of this source."
                    : "None in about the last hour: choose a source for all that the ledger holds."
              }
            />
            <Pages of={pager} page={page} what="chunks" />
          </>
        )}
      </Answer>
    </Card>
  );
}
