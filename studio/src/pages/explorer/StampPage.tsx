import { Link, useParams } from "react-router";
import { useSearch, useStamps } from "../../api/explorer";
import type { StampInfo } from "../../api/types";
import { Card, Copy } from "../../design";
import { count } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { AccountLink, Answer, At, Pages, When } from "../parts";
import { StampTable } from "./StampTable";

/** The stamp that came first. */
export const firstOf = (stamps: readonly StampInfo[]): StampInfo | null =>
  stamps.reduce<StampInfo | null>(
    (first, each) =>
      first === null ||
      each.height < first.height ||
      (each.height === first.height && each.number < first.number)
        ? each
        : first,
    null,
  );

/** All that is known about one hash: who stamped it under which topic, and how to prove it. */
export function StampPage() {
  const { hash: written = "" } = useParams();
  const hash = written.replace(/^0x/i, "").toLowerCase();
  useTitle("Stamp");
  const pager = usePager("more");
  const stamps = useStamps({ hash, topic: "", account: "" }, pager.cursor);
  const command = `openmesh stamp check ${hash} --trust genesis.json`;
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/stamps">Stamps</Link>
      </p>
      <h1>Stamped hash</h1>
      <p className="flat">
        <code className="long">{hash}</code> <Copy text={hash} label="hash" />
      </p>
      <Answer of={stamps} what="the stamps">
        {(page) => {
          const first = firstOf(page.items);
          return (
            <>
              {first ? <First of={first} only={page.items.length === 1 && !page.next} /> : null}
              <Card title="Who stamped it" flush>
                <StampTable
                  items={page.items}
                  label="Stamps of the hash"
                  hash={false}
                  proof
                  empty="Nobody has stamped it, as far as this node knows."
                />
                {first || pager.cursor ? (
                  <Pages of={pager} page={page} what="stamps of the hash" order="key" />
                ) : (
                  <p className="pad flat">
                    <Link className="button" to={`/actions/stamp?hash=${hash}`}>
                      Stamp it
                    </Link>
                  </p>
                )}
              </Card>
              {first ? (
                <Card title="Check it yourself">
                  <p className="flat">
                    A proof leads from the hash to validators that the genesis names. Check it on your own
                    machine, without trusting this node:
                  </p>
                  <p className="command">
                    <code>{command}</code>
                    <Copy text={command} label="command" />
                  </p>
                </Card>
              ) : null}
            </>
          );
        }}
      </Answer>
    </div>
  );
}

function First({ of, only }: { of: StampInfo; only: boolean }) {
  // Asked by search, which answers also where there is none.
  const found = useSearch(of.cid);
  const isChunk = found.data?.some(({ kind }) => kind === "chunk") ?? false;
  return (
    <Card title={only ? "The stamp" : "The first stamp"}>
      <dl className="facts">
        <dt>Known at</dt>
        <dd>
          <At at={of.time} /> (<When at={of.time} />) in{" "}
          <Link to={`/blocks/${of.height}`}>block {count(of.height)}</Link>
        </dd>
        <dt>By</dt>
        <dd>
          <AccountLink address={of.account} whole />
        </dd>
        <dt>Topic</dt>
        <dd>
          <Link to={`/stamps?topic=${encodeURIComponent(of.topic)}`}>{of.topic}</Link>
        </dd>
        <dt>As a CID</dt>
        <dd>
          {isChunk ? (
            <>
              <Link to={`/chunks/${of.cid}`}>
                <code className="long">{of.cid}</code>
              </Link>
              , a chunk that the network agreed on
            </>
          ) : (
            <code className="long">{of.cid}</code>
          )}{" "}
          <Copy text={of.cid} label="CID" />
        </dd>
      </dl>
    </Card>
  );
}

/** Stamps of one account, for its page. */
export function AccountStamps({ address }: { address: string }) {
  const pager = usePager("stamps");
  const stamps = useStamps({ hash: "", topic: "", account: address }, pager.cursor);
  if (stamps.data?.items.length === 0 && !pager.cursor) return null;
  return (
    <Card title="Its stamps" flush>
      <Answer of={stamps} what="stamps">
        {(page) => (
          <>
            <StampTable items={page.items} label="Its stamps" account={false} empty="None." />
            <Pages of={pager} page={page} what="stamps" />
          </>
        )}
      </Answer>
    </Card>
  );
}
