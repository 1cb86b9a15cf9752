import { Link, useParams } from "react-router";
import { PAGE_ITEMS, useChunks, useSource } from "../../api/queries";
import { Badge, Card, Figure, Figures, Notice } from "../../design";
import { CHUNK_STATUSES } from "../../lib/agreement";
import { count, duration, rate } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { AgreementCard } from "../network/AgreementCard";
import { Incidents } from "../network/Incidents";
import { Answer, Choice, ChunkTable, Pages, ValidatorList } from "../parts";
import { chainQuery, LastHeard, SourceState } from "./Sources";

export function SourcePage() {
  const { source: id = "" } = useParams();
  useTitle(`Source ${id}`);
  const source = useSource(id);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/data">Data</Link>
      </p>
      <div className="row">
        <h1>{id}</h1>
        {source.data ? <SourceState source={source.data} /> : null}
      </div>
      <Answer of={source} what="the source">
        {(data) => (
          <>
            {data.collection?.troubles.map((trouble) => (
              <Notice key={trouble.kind} tone="bad" title={trouble.detail} />
            ))}
            <Figures label="Figures of the source">
              {data.kind === "chain" ? (
                <Figure name="Window" value="one block" note="of the chain" />
              ) : (
                <>
                  <Figure name="Events per second" value={rate(data.events_per_second)} note="at this node" />
                  <Figure name="Newest event" value={<LastHeard source={data} />} />
                  <Figure name="Window" value={duration(data.window_ms)} note="of the venue's clock" />
                </>
              )}
              <Figure
                name={data.kind === "chain" ? "Newest agreed block" : "Newest agreed window"}
                value={typeof data.last_window === "number" ? count(data.last_window) : "none yet"}
              />
              <Figure name="Incidents" value={count(data.incidents)} note="here, since its start" />
              {data.collection ? (
                <Figure
                  name="Withdrawn chunks"
                  value={count(data.collection.chunks_withdrawn)}
                  note="here, since its start"
                />
              ) : null}
            </Figures>
            <Card title="What it collects">
              <dl className="facts">
                <dt>{data.kind === "chain" ? "Chain" : "Exchange"}</dt>
                <dd>{data.exchange}</dd>
                {data.kind === "chain" ? (
                  <>
                    <dt>Rows</dt>
                    <dd>
                      Blocks, verified against their roots: <Link to={chainQuery(data)}>look in SQL</Link>
                    </dd>
                  </>
                ) : (
                  <>
                    <dt>Instruments</dt>
                    <dd className="names">
                      {data.symbols.map((symbol) => (
                        <Link key={symbol} to={`/data/${data.exchange}/${encodeURIComponent(symbol)}`}>
                          {symbol}
                        </Link>
                      ))}
                    </dd>
                  </>
                )}
                <dt>Feeds</dt>
                <dd className="names">
                  {data.feeds.map((each) => (
                    <Badge key={each}>{each.replaceAll("_", " ")}</Badge>
                  ))}
                </dd>
                <dt>Assigned now</dt>
                <dd>
                  <ValidatorList addresses={data.assigned} />{" "}
                  <span className="quiet">
                    in <Link to={`/epochs/${data.epoch}`}>epoch {count(data.epoch)}</Link>
                  </span>
                </dd>
              </dl>
            </Card>
            <AgreementCard only={id} />
            <Chunks source={id} symbols={data.symbols} />
            <Incidents source={id} />
          </>
        )}
      </Answer>
    </div>
  );
}

/** All chunks of the source since the network's beginning. */
function Chunks({ source, symbols }: { source: string; symbols: string[] }) {
  const [read, writeFilters] = useFilters();
  const pager = usePager("chunks");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, chunks: null });
  const filter = { symbol: read("symbol"), status: read("status") };
  const chunks = useChunks(
    { source, stream: filter.symbol && `${filter.symbol}/`, status: filter.status },
    PAGE_ITEMS,
    pager.cursor,
  );
  return (
    <Card title="Chunks" flush>
      <div className="filters">
        {symbols.length > 0 ? (
          <Choice
            name="Instrument"
            value={filter.symbol}
            options={symbols}
            onChange={(symbol) => write({ symbol })}
          />
        ) : null}
        <Choice
          name="Agreement"
          value={filter.status}
          options={CHUNK_STATUSES}
          onChange={(status) => write({ status })}
        />
      </div>
      <Answer of={chunks} what="chunks">
        {(page) => (
          <>
            <ChunkTable
              chunks={page.items}
              label="Chunks of the source"
              source={false}
              empty={
                filter.symbol || filter.status
                  ? "No chunk matches these filters."
                  : "No chunk yet. Each window is agreed on a few seconds after it ends."
              }
            />
            <Pages of={pager} page={page} what="chunks" />
          </>
        )}
      </Answer>
    </Card>
  );
}
