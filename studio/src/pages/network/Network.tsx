import { Link } from "react-router";
import { useBlocks, useStatus, useValidators } from "../../api/queries";
import type { BlockSummary, ValidatorInfo } from "../../api/types";
import { Badge, Card, Figure, Figures, Hash, Share } from "../../design";
import { Table } from "../../design/Table";
import { age, count, duration, instant, rate } from "../../lib/format";
import { useStill } from "../../lib/heights";
import { BLOCK_STALE_MS } from "../../lib/staleness";
import { useTitle } from "../../lib/title";
import { chainOf } from "../../shell/chain";
import { NetworkInWallet } from "../../shell/NetworkInWallet";
import { Answer } from "../parts";
import { AgreementCard } from "./AgreementCard";
import { BlockTable } from "./BlockTable";
import { Incidents } from "./Incidents";

export function Network() {
  useTitle("Network");
  return (
    <div className="stack">
      <div className="heading">
        <h1>Network</h1>
        <p className="quiet flat">Validators collect the same data and agree on it, window by window.</p>
      </div>
      <Overview />
      <AgreementCard />
      <div className="halves">
        <Blocks />
        <Validators />
      </div>
      <Incidents />
      <Wallets />
    </div>
  );
}

function Wallets() {
  const status = useStatus();
  return (
    <Card title="In your wallet">
      <Answer of={status} what="the status">
        {(data) => <NetworkInWallet chain={chainOf(data, location.origin)} />}
      </Answer>
    </Card>
  );
}

/** Mean time between blocks, in milliseconds. */
export function blockInterval(blocks: BlockSummary[]): number | null {
  const newest = blocks[0];
  const oldest = blocks.at(-1);
  if (!newest || !oldest || newest.height === oldest.height) return null;
  const from = instant(oldest.time);
  const to = instant(newest.time);
  return from === null || to === null ? null : Math.round((to - from) / (newest.height - oldest.height));
}

/** Signed one of the last few blocks: it is up. */
const UP_BLOCKS_MAX = 10;
/** Whether a validator is up; `null` while there are no blocks, whose signatures alone would tell. */
export const isUp = (validator: ValidatorInfo, height: number, still: number | null) =>
  still !== null && still > BLOCK_STALE_MS
    ? null
    : typeof validator.last_signed_height === "number" &&
      height - validator.last_signed_height <= UP_BLOCKS_MAX;

function Overview() {
  const status = useStatus();
  const blocks = useBlocks();
  const validators = useValidators();
  const still = useStill() ?? 0;
  return (
    <Answer of={status} what="the status">
      {(data) => {
        const stale = still > BLOCK_STALE_MS;
        const interval = blocks.data ? blockInterval(blocks.data.items) : null;
        const up = stale
          ? undefined
          : validators.data?.items.filter((each) => isUp(each, data.height, still)).length;
        return (
          <>
            <Figures label="Figures of the network">
              <Figure
                name="Height"
                value={count(data.height)}
                note={
                  <span className={stale ? "stale" : ""}>
                    {stale ? "stale: " : ""}
                    {age(still)}
                  </span>
                }
              />
              <Figure name="Block interval" value={interval === null || stale ? "–" : duration(interval)} />
              <Figure name="Events per second" value={rate(data.events_per_second)} />
              <Figure name="Chunks agreed" value={count(data.chunks_accepted)} />
              <Figure name="Chunks disputed" value={count(data.chunks_disputed)} />
              <Figure name="Chunks uncovered" value={count(data.chunks_uncovered ?? 0)} />
              <Figure
                name="Validators up"
                value={up === undefined ? "–" : `${up} of ${data.validators}`}
                note={
                  stale
                    ? "not known without blocks"
                    : up !== undefined && up * 3 <= data.validators * 2
                      ? "no quorum"
                      : null
                }
              />
            </Figures>
            {data.syncing ? <Badge tone="warn">This node is behind its peers and catching up</Badge> : null}
          </>
        );
      }}
    </Answer>
  );
}

function Blocks() {
  const blocks = useBlocks();
  return (
    <Card
      title="Latest blocks"
      actions={
        <Link className="button small" to="/blocks">
          All blocks
        </Link>
      }
      flush
    >
      <Answer of={blocks} what="blocks">
        {({ items }) => (
          <BlockTable
            items={items.slice(0, 10)}
            label="Latest blocks"
            empty="No block yet. The first comes when more than two thirds of the power are connected."
          />
        )}
      </Answer>
    </Card>
  );
}

/** All validators, or those whose name or address holds a text, with whether each is up. */
export function Validators({ find = "" }: { find?: string }) {
  const wanted = find.trim().toLowerCase();
  const validators = useValidators();
  const status = useStatus();
  const still = useStill();
  return (
    <Card
      title="Validators"
      actions={
        <Link className="button small" to="/upgrades">
          Upgrades
        </Link>
      }
      flush
    >
      <Answer of={validators} what="validators">
        {({ items }) => (
          <Table
            label="Validators"
            items={items.filter(({ name, address }) => `${name} ${address}`.toLowerCase().includes(wanted))}
            keyOf={(each) => each.address}
            empty={
              items.length > 0 ? "No validator matches this filter." : "The genesis file names no validator."
            }
            columns={[
              {
                head: "Validator",
                cell: (each) => (
                  <>
                    <Link to={`/validators/${each.address}`} title={each.address}>
                      {each.name || <Hash text={each.address} keep={4} />}
                    </Link>{" "}
                    {status.data && isUp(each, status.data.height, still) === false ? (
                      <Badge tone="bad">down</Badge>
                    ) : null}
                  </>
                ),
              },
              {
                head: "Power",
                cell: ({ share }) => <Share value={share} label="Share of the voting power" />,
              },
              {
                head: "Signed",
                number: true,
                cell: ({ signed_recent, recent }) => (
                  <>
                    {signed_recent}
                    <span className="quiet"> / {recent}</span>
                  </>
                ),
              },
              { head: "Proposed", number: true, cell: ({ proposed }) => count(proposed) },
              { head: "Attested", number: true, cell: ({ attested }) => count(attested) },
              {
                head: "Differing",
                number: true,
                cell: ({ differing }) => count(differing),
                tone: ({ differing }) => (differing > 0 ? "wrong" : ""),
              },
              {
                head: "Missing",
                number: true,
                cell: ({ missing }) => count(missing),
                tone: ({ missing }) => (missing > 0 ? "wrong" : ""),
              },
            ]}
          />
        )}
      </Answer>
    </Card>
  );
}
