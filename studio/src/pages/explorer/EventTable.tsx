import { Link } from "react-router";
import type { EventInfo, EventKind } from "../../api/types";
import { Badge, Hash, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count, open } from "../../lib/format";
import { AccountLink, ValidatorLink, When } from "../parts";

/** Kinds of events of the ledger, as a filter offers them. */
export const EVENT_KINDS: readonly EventKind[] = [
  "transferred",
  "stamped",
  "chunk_accepted",
  "window_closed",
  "attested",
  "differed",
  "source_registered",
  "source_updated",
  "source_retired",
  "epoch_closed",
  "fees_collected",
  "deposit_held",
  "deposit_returned",
  "plan_approved",
  "plan_withdrawn",
  "rules_known",
  "upgraded",
  "plan_lapsed",
  "incident",
];
const TONES: Partial<Record<EventKind, Tone>> = {
  differed: "bad",
  incident: "bad",
  chunk_accepted: "good",
  stamped: "good",
};
/** Names that are shown of a list of validators; the rest is a number. */
const NAMES_MAX = 4;

/** Events, each with links to all that it is about. `block`: left out where all are of one. */
export function EventTable({
  items,
  label,
  empty,
  block = true,
}: {
  items: readonly EventInfo[];
  label: string;
  empty: string;
  block?: boolean;
}) {
  return (
    <Table
      label={label}
      items={items}
      keyOf={({ id }) => id}
      empty={empty}
      tall
      columns={[
        block
          ? {
              head: "Block",
              cell: ({ height }) => <Link to={`/blocks/${height}`}>{count(height)}</Link>,
            }
          : null,
        block ? { head: "Age", cell: ({ time }) => <When at={time} /> } : null,
        {
          head: "Kind",
          cell: ({ kind }) => <Badge tone={TONES[kind] ?? "plain"}>{kind.replaceAll("_", " ")}</Badge>,
        },
        { head: "About", cell: (event) => <About event={event} /> },
        { head: "Who", cell: (event) => <Who event={event} /> },
        { head: "What happened", cell: ({ text }) => text, tone: () => "wrap" },
      ]}
    />
  );
}

/** What an event is about: window, chunk, epoch, hash or amount. */
function About({ event }: { event: EventInfo }) {
  const { kind, source, window, cid, epoch, hash, topic, amount, transaction } = event;
  const isData = source && source !== "consensus";
  return (
    <span className="names">
      {isData ? <Link to={`/sources/${encodeURIComponent(source)}`}>{source}</Link> : null}
      {isData && typeof window === "number" ? (
        <Link to={`/sources/${encodeURIComponent(source)}/windows/${window}`}>window {count(window)}</Link>
      ) : null}
      {cid ? (
        <Link to={`/chunks/${cid}`}>
          <Hash text={cid} />
        </Link>
      ) : null}
      {typeof epoch === "number" ? <Link to={`/epochs/${epoch}`}>epoch {count(epoch)}</Link> : null}
      {hash ? (
        <Link to={`/stamps/${hash}`}>
          <Hash text={hash} />
        </Link>
      ) : null}
      {topic ? <Link to={`/stamps?topic=${encodeURIComponent(topic)}`}>{topic}</Link> : null}
      {amount ? <span>{open(amount)}</span> : null}
      {kind === "incident" && !isData ? <span>{source}</span> : null}
      {transaction ? <Link to={`/transactions/${transaction}`}>transaction</Link> : null}
    </span>
  );
}

function Who({ event: { accounts, validators } }: { event: EventInfo }) {
  const more = validators.length - NAMES_MAX;
  return (
    <span className="names">
      {accounts.map((address, at) => (
        <AccountLink key={`${at} ${address}`} address={address} />
      ))}
      {validators.slice(0, NAMES_MAX).map((address) => (
        <ValidatorLink key={address} address={address} />
      ))}
      {more > 0 ? <span className="quiet">and {more} more</span> : null}
    </span>
  );
}
