import { Link, useParams } from "react-router";
import { useChunk, useSources } from "../../api/queries";
import { Card, Copy, Notice } from "../../design";
import { bytes, count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { Answer, At, parquetPath, StatusBadge, ValidatorList } from "../parts";

export function ChunkPage() {
  const { cid = "" } = useParams();
  useTitle("Chunk");
  const chunk = useChunk(cid);
  const sources = useSources();
  const base = `/v1/chunks/${encodeURIComponent(cid)}`;
  const command = `openmesh verify ${cid}.parquet --trust genesis.json`;
  return (
    <div className="stack">
      <p className="flat">
        {chunk.data ? (
          <Link to={`/sources/${encodeURIComponent(chunk.data.source)}`}>{chunk.data.source}</Link>
        ) : (
          <Link to="/data">Data</Link>
        )}
      </p>
      <h1>Chunk</h1>
      <p className="flat">
        <code className="long">{cid}</code> <Copy text={cid} label="CID" />
      </p>
      <Answer of={chunk} what="the chunk">
        {(data) => {
          const exchange = sources.data?.items.find(
            (each) => each.id === data.source && each.kind === "market",
          );
          const symbol = data.stream.split("/")[0] ?? "";
          return (
            <>
              <Card title="What it is" actions={<StatusBadge chunk={data} />}>
                <dl className="facts">
                  <dt>Source</dt>
                  <dd>
                    <Link to={`/sources/${encodeURIComponent(data.source)}`}>{data.source}</Link>
                  </dd>
                  <dt>Stream</dt>
                  <dd>
                    {exchange ? (
                      <Link to={`/data/${exchange.exchange}/${encodeURIComponent(symbol)}`}>
                        {data.stream}
                      </Link>
                    ) : (
                      data.stream
                    )}
                  </dd>
                  <dt>{data.window_start ? "Window" : "Block of the chain"}</dt>
                  <dd>
                    <Link to={`/sources/${encodeURIComponent(data.source)}/windows/${data.window}`}>
                      {count(data.window)}
                    </Link>
                    {data.window_start ? (
                      <>
                        : <At at={data.window_start} /> to <At at={data.window_end} />
                      </>
                    ) : null}
                  </dd>
                  <dt>Content</dt>
                  <dd>
                    {count(data.events)} events, {bytes(data.bytes)}
                  </dd>
                  <dt>Agreed in</dt>
                  <dd>
                    <Link to={`/blocks/${data.height}`}>block {count(data.height)}</Link>
                  </dd>
                  <dt>Attested by</dt>
                  <dd>
                    <ValidatorList addresses={data.attesters} />
                  </dd>
                  <dt>Differing</dt>
                  <dd>
                    <ValidatorList addresses={data.differing} />
                  </dd>
                </dl>
              </Card>
              <Card title="Take it with you">
                <div className="stack">
                  {data.held ? null : (
                    <Notice title="This node does not hold the bytes yet">
                      A download asks its peers for them, which takes a moment.
                    </Notice>
                  )}
                  <p className="row flat">
                    <a className="button primary" href={parquetPath(cid)} download>
                      Download Parquet
                    </a>
                    <a className="button" href={`${base}/raw`} download>
                      Canonical bytes
                    </a>
                    <a className="button" href={`${base}/proof`} download={`${cid}.proof.json`}>
                      Proof
                    </a>
                  </p>
                  <div>
                    <p className="flat">
                      The Parquet file carries its proof. Check it on your own machine, without trusting this
                      node:
                    </p>
                    <p className="command">
                      <code>{command}</code>
                      <Copy text={command} label="command" />
                    </p>
                  </div>
                </div>
              </Card>
            </>
          );
        }}
      </Answer>
    </div>
  );
}
