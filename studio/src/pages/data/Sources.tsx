import { Link } from "react-router";
import { useSources } from "../../api/queries";
import type { SourceInfo, TroubleKind } from "../../api/types";
import { Badge, Card } from "../../design";
import { Table } from "../../design/Table";
import { count, duration, lasting, rate } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, At, Choice, When } from "../parts";

interface Entry {
  source: SourceInfo;
  symbol: string;
}

/** True where a source is silent at this node, or this node has trouble with it. */
const isTroubled = (source: SourceInfo) => source.stale || (source.collection?.troubles ?? []).length > 0;

const STATES = [
  { value: "heard", words: "Heard, without trouble" },
  { value: "trouble", words: "Silent or in trouble" },
];

/** What the filters leave of the instruments. */
export function entriesOf(
  sources: SourceInfo[],
  filter: { exchange: string; feed: string; text: string; state?: string },
): Entry[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return (
    sources
      .filter((source) => !filter.exchange || source.exchange === filter.exchange)
      .filter((source) => !filter.feed || source.feeds.includes(filter.feed))
      .filter((source) => !filter.state || (filter.state === "trouble") === isTroubled(source))
      // A chain has no instruments: it stands there once, with all its blocks.
      .flatMap((source) =>
        (source.kind === "chain" ? [""] : source.symbols).map((symbol) => ({ source, symbol })),
      )
      .filter(({ source, symbol }) => {
        const haystack = `${source.id} ${source.exchange} ${symbol} ${source.feeds.join(" ")}`.toLowerCase();
        return words.every((word) => haystack.includes(word));
      })
  );
}

export function Sources() {
  useTitle("Data");
  const sources = useSources();
  const [read, write] = useFilters();
  const filter = { exchange: read("exchange"), feed: read("feed"), text: read("text"), state: read("state") };
  const all = sources.data?.items ?? [];
  const exchanges = [...new Set(all.map((each) => each.exchange))].sort();
  const feeds = [...new Set(all.flatMap((each) => each.feeds))].sort();
  return (
    <div className="stack">
      <div className="heading">
        <h1>Data</h1>
        <p className="quiet flat">
          Every instrument that this network collects: live here, agreed on the ledger.
        </p>
      </div>
      <Card title="Instruments" flush>
        <div className="filters">
          <label className="field grow">
            <span>Search</span>
            <input
              className="input"
              type="search"
              placeholder="BTC, kraken, trades…"
              value={filter.text}
              onChange={(event) => write({ text: event.target.value })}
            />
          </label>
          <label className="field">
            <span>Exchange</span>
            <select
              className="input"
              value={filter.exchange}
              onChange={(event) => write({ exchange: event.target.value })}
            >
              <option value="">All</option>
              {exchanges.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <label className="field">
            <span>Feed</span>
            <select
              className="input"
              value={filter.feed}
              onChange={(event) => write({ feed: event.target.value })}
            >
              <option value="">All</option>
              {feeds.map((each) => (
                <option key={each}>{each}</option>
              ))}
            </select>
          </label>
          <Choice name="State" value={filter.state} options={STATES} onChange={(state) => write({ state })} />
        </div>
        <Answer of={sources} what="sources">
          {({ items }) => <Instruments entries={entriesOf(items, filter)} any={items.length > 0} />}
        </Answer>
      </Card>
    </div>
  );
}

function Instruments({ entries, any }: { entries: Entry[]; any: boolean }) {
  return (
    <>
      <Table
        label="Instruments"
        items={entries}
        keyOf={({ source, symbol }) => `${source.id} ${symbol}`}
        empty={any ? "No instrument matches these filters." : "No source is registered on this network."}
        columns={[
          {
            head: "Instrument",
            cell: ({ source, symbol }) =>
              source.kind === "market" ? (
                <Link to={`/data/${source.exchange}/${encodeURIComponent(symbol)}`}>{symbol}</Link>
              ) : (
                <Link to={chainQuery(source)}>Blocks, in SQL</Link>
              ),
          },
          {
            head: "Source",
            cell: ({ source }) => <Link to={`/sources/${encodeURIComponent(source.id)}`}>{source.id}</Link>,
          },
          { head: "State", cell: ({ source }) => <SourceState source={source} /> },
          { head: "Newest event", cell: ({ source }) => <LastHeard source={source} /> },
          {
            head: "Events/s",
            number: true,
            cell: ({ source }) =>
              source.kind === "chain" ? <span className="quiet">–</span> : rate(source.events_per_second),
          },
          {
            head: "Feeds",
            cell: ({ source }) => source.feeds.map((each) => each.replaceAll("_", " ")).join(", "),
            tone: () => "feeds",
          },
          {
            head: "Window",
            cell: ({ source }) => (source.kind === "chain" ? "per block" : duration(source.window_ms)),
          },
        ]}
      />
      {entries.length > 0 ? (
        <p className="quiet pad flat">
          {count(entries.length)} {entries.length === 1 ? "entry" : "entries"}; state, newest event and events
          are those of the whole source at this node.
        </p>
      ) : null}
    </>
  );
}

/** The newest blocks of a chain that were agreed on, as rows. */
export const chainQuery = (source: SourceInfo) =>
  `/sql?q=${encodeURIComponent(`select * from eth_blocks where chain = '${source.exchange}' order by block_number desc limit 20`)}`;

/**
 * How new a source is. A chain is not heard event by event: its blocks are verified and agreed on one by one, so the newest
 * of those says how far it is.
 */
export function LastHeard({ source }: { source: SourceInfo }) {
  // A recording's event has no age: it has happened long ago, whenever it is replayed.
  if (source.kind !== "chain")
    return source.origin === "replay" ? (
      <At at={source.last_event_time} />
    ) : (
      <When at={source.last_event_time} />
    );
  if (typeof source.last_window !== "number") return <span className="quiet">–</span>;
  return <>block {count(source.last_window)} agreed</>;
}

/** Troubles of a source in short. */
const TROUBLES: Record<TroubleKind, string> = {
  silent: "silent",
  banned: "the venue makes this node wait",
  archive: "the disk takes nothing",
  outputs: "windows were given up",
};

/** Origin of the source, and whether it is heard at all. */
export function SourceState({ source }: { source: SourceInfo }) {
  const nothing =
    source.kind === "chain"
      ? typeof source.last_window !== "number" && "no block agreed yet"
      : typeof source.last_event_time !== "string" && "nothing heard yet";
  if (source.kind === "market" && !source.collection)
    return <Badge tone="plain">not collected by this node</Badge>;
  const trouble = source.collection?.troubles.find((each) => each.kind !== "silent");
  if (trouble) return <Badge tone="bad">{TROUBLES[trouble.kind]}</Badge>;
  if (nothing) return <Badge tone="warn">{nothing}</Badge>;
  if (source.stale && source.kind === "market")
    return (
      <Badge tone="bad">
        stale
        {typeof source.silent_ms !== "number" ? "" : `: silent for ${lasting(source.silent_ms)}`}
      </Badge>
    );
  return <Badge tone={source.origin === "live" ? "good" : "plain"}>{source.origin}</Badge>;
}
