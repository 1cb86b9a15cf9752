/** Parts that several pages share: they know the router and the API, which the design system does not. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { RequestError } from "../api/client";
import { useValidators } from "../api/queries";
import type { ChunkInfo } from "../api/types";
import { Badge, Copy, Empty, Hash, Loading, Notice } from "../design";
import { age, bytes, clock, count, instant, shortAddress } from "../lib/format";
import { useNow } from "../lib/now";

/** Loading, failed, failed but still showing what was fetched before, or there. */
export function Answer<T>({
  of,
  what,
  children,
}: {
  of: UseQueryResult<T>;
  what: string;
  children: (data: T) => ReactNode;
}) {
  const now = useNow();
  if (of.data === undefined) {
    return of.error ? <Failure error={of.error} what={what} /> : <Loading what={what} />;
  }
  return (
    <>
      {of.error ? (
        <Notice tone="warn" title={`${what[0]?.toUpperCase()}${what.slice(1)}: not up to date`}>
          {`From ${age(now - of.dataUpdatedAt)}. ${of.error.message}`}
        </Notice>
      ) : null}
      {children(of.data)}
    </>
  );
}

export function Failure({ error, what }: { error: Error; what: string }) {
  const hint = error instanceof RequestError ? error.hint : undefined;
  return (
    <div className="pad">
      <Notice tone="bad" title={error.message}>
        {hint ?? `Loading ${what} failed.`}
      </Notice>
    </div>
  );
}

/** A moment, with its age ticking. */
export function When({ at }: { at: string | null }) {
  const now = useNow();
  const ms = instant(at);
  if (ms === null) return <span className="quiet">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={new Date(ms).toISOString()}>
      {age(now - ms)}
    </time>
  );
}

export function At({ at }: { at: string | null }) {
  const now = useNow();
  const ms = instant(at);
  return ms === null ? (
    <span className="quiet">–</span>
  ) : (
    <time dateTime={new Date(ms).toISOString()} title={new Date(ms).toISOString()}>
      {clock(ms, now)}
    </time>
  );
}

/** A validator by its name where it is known, always linked. */
export function ValidatorLink({ address }: { address: string }) {
  const validators = useValidators();
  const name = validators.data?.items.find(
    (each) => each.address.toLowerCase() === address.toLowerCase(),
  )?.name;
  return (
    <Link to={`/validators/${address}`} title={address}>
      {name ?? <code>{shortAddress(address)}</code>}
    </Link>
  );
}

export function ValidatorList({ addresses }: { addresses: string[] }) {
  if (addresses.length === 0) return <span className="quiet">none</span>;
  return (
    <span className="names">
      {addresses.map((address) => (
        <ValidatorLink key={address} address={address} />
      ))}
    </span>
  );
}

export function StatusBadge({ chunk }: { chunk: ChunkInfo }) {
  if (chunk.status === "disputed") return <Badge tone="bad">✕ disputed</Badge>;
  return chunk.differing.length > 0 ? (
    <Badge tone="warn">✓ accepted, {chunk.differing.length} differing</Badge>
  ) : (
    <Badge tone="good">✓ accepted</Badge>
  );
}

export const parquetPath = (cid: string) => `/v1/chunks/${encodeURIComponent(cid)}/parquet`;

export function ChunkTable({
  chunks,
  label,
  source = true,
}: {
  chunks: ChunkInfo[];
  label: string;
  source?: boolean;
}) {
  if (chunks.length === 0)
    return <Empty>No chunk yet. Each window is agreed on a few seconds after it ends.</Empty>;
  return (
    <div className="scroll tall" tabIndex={0} role="region" aria-label={label}>
      <table className="table" aria-label={label}>
        <thead>
          <tr>
            {source ? <th scope="col">Source</th> : null}
            <th scope="col">Stream</th>
            <th scope="col">Window</th>
            <th scope="col">Agreement</th>
            <th scope="col" className="number">
              Events
            </th>
            <th scope="col" className="number">
              Size
            </th>
            <th scope="col">Attested by</th>
            <th scope="col">Differing</th>
            <th scope="col">CID</th>
            <th scope="col">Data</th>
          </tr>
        </thead>
        <tbody>
          {chunks.map((chunk) => (
            <tr key={`${chunk.source} ${chunk.window} ${chunk.stream}`}>
              {source ? <td>{chunk.source}</td> : null}
              <td>{chunk.stream}</td>
              <td>{chunk.window_start ? <At at={chunk.window_start} /> : `block ${count(chunk.window)}`}</td>
              <td>
                <StatusBadge chunk={chunk} />
              </td>
              <td className="number">{count(chunk.events)}</td>
              <td className="number">{bytes(chunk.bytes)}</td>
              <td>
                <ValidatorList addresses={chunk.attesters} />
              </td>
              <td>
                <ValidatorList addresses={chunk.differing} />
              </td>
              <td>
                {chunk.cid ? (
                  <>
                    <Link to={`/chunks/${chunk.cid}`}>
                      <Hash text={chunk.cid} />
                    </Link>
                    <Copy text={chunk.cid} label="CID" />
                  </>
                ) : (
                  <span className="quiet">none: no quorum</span>
                )}
              </td>
              <td>
                {chunk.cid ? (
                  <a
                    href={parquetPath(chunk.cid)}
                    download
                    aria-label={`Parquet of ${chunk.stream}, window ${chunk.window}`}
                  >
                    Parquet
                  </a>
                ) : null}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
