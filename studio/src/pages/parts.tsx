/** Parts that several pages share: they know the router and the API, which the design system does not. */
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { Link } from "react-router";
import { RequestError } from "../api/client";
import { useStreamState } from "../api/live";
import { useValidators } from "../api/queries";
import type { ChunkInfo, Page } from "../api/types";
import { Badge, Copy, Hash, Loading, Notice } from "../design";
import { Table } from "../design/Table";
import { age, bytes, clock, count, instant, shortAddress } from "../lib/format";
import { useNow } from "../lib/now";
import type { Pager } from "../lib/paging";

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
  const connection = useStreamState();
  if (of.data === undefined) {
    return of.error ? <Failure error={of.error} what={what} /> : <Loading what={what} />;
  }
  return (
    <>
      {/* A node that is not there is said once, above the page, not by every part of it. */}
      {of.error && connection !== "lost" ? (
        <div className="told">
          <Notice
            tone="warn"
            title={`${what[0]?.toUpperCase()}${what.slice(1)}: not up to date`}
            ticking={`What is shown was fetched ${age(now - of.dataUpdatedAt)}.`}
          >
            {of.error.message}
          </Notice>
        </div>
      ) : null}
      {children(of.data)}
    </>
  );
}

export function Failure({ error, what }: { error: Error; what: string }) {
  const hint = error instanceof RequestError ? error.hint : undefined;
  return (
    <div className="told">
      <Notice tone="bad" title={error.message}>
        {hint ?? `Loading ${what} failed.`}
      </Notice>
    </div>
  );
}

/** A moment, with its age ticking. */
export function When({ at }: { at: string | null | undefined }) {
  const now = useNow();
  const ms = instant(at);
  if (ms === null) return <span className="quiet">–</span>;
  return (
    <time dateTime={new Date(ms).toISOString()} title={new Date(ms).toISOString()}>
      {age(now - ms)}
    </time>
  );
}

/** A moment on the clock. `without`: a day that is said elsewhere. */
export function At({ at, without = "" }: { at: string | null | undefined; without?: string }) {
  const now = useNow();
  const ms = instant(at);
  return ms === null ? (
    <span className="quiet">–</span>
  ) : (
    <time dateTime={new Date(ms).toISOString()} title={new Date(ms).toISOString()}>
      {without ? clock(ms, now).replace(`${without} `, "") : clock(ms, now)}
    </time>
  );
}

/** The ways through a list, by its order: newest first, or by a key. */
const WAYS = {
  time: {
    first: "Newest",
    next: "Older",
    onFirst: "Newest: this page is live",
    behind: "Older: this page does not change",
    noFirst: "This is the newest page",
    noNext: "There is nothing older",
  },
  key: {
    first: "First",
    next: "Further",
    onFirst: "The first page",
    behind: "A further page",
    noFirst: "This is the first page",
    noNext: "There is nothing further",
  },
};

/** The ways to the other pages of a list. Says on which of them one is: an older page does not move. */
export function Pages({
  of,
  page,
  what,
  order = "time",
}: {
  of: Pager;
  page: Page<unknown>;
  what: string;
  order?: keyof typeof WAYS;
}) {
  const words = WAYS[order];
  if (!of.cursor && !page.next) return null;
  return (
    <nav className="pages" aria-label={`Pages of ${what}`}>
      <span className="quiet">
        {of.cursor ? words.behind : words.onFirst}
        {page.items.length === 0 && page.next ? "; nothing in the part that was looked through" : ""}
      </span>
      <span className="row">
        <button
          type="button"
          className="button small"
          disabled={!of.cursor}
          title={of.cursor ? undefined : words.noFirst}
          onClick={() => of.go(null)}
        >
          {words.first}
        </button>
        <button
          type="button"
          className="button small"
          disabled={!page.next}
          title={page.next ? undefined : words.noNext}
          onClick={() => of.go(page.next ?? null)}
        >
          {words.next}
        </button>
      </span>
    </nav>
  );
}

/** One of some words, or all. */
export function Choice({
  name,
  value,
  options,
  onChange,
}: {
  name: string;
  value: string;
  options: readonly (string | { value: string; words: string })[];
  onChange: (value: string) => void;
}) {
  return (
    <label className="field">
      <span>{name}</span>
      <select className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">All</option>
        {options.map((each) => {
          const option = typeof each === "string" ? { value: each, words: each.replaceAll("_", " ") } : each;
          return (
            <option key={option.value} value={option.value}>
              {option.words}
            </option>
          );
        })}
      </select>
    </label>
  );
}

/** An account, linked. */
export function AccountLink({ address, whole = false }: { address: string; whole?: boolean }) {
  return (
    <Link to={`/accounts/${address}`} title={address} aria-label={`Account ${address}`}>
      <code className={whole ? "long" : ""}>{whole ? address : shortAddress(address)}</code>
    </Link>
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
  if (chunk.status === "disputed")
    return (
      <Badge tone="bad" title="Those who covered it differ, and no claim has a quorum">
        ✕ disputed
      </Badge>
    );
  if (chunk.status === "uncovered")
    return (
      <Badge tone="hole" title="Too few validators covered it to decide; this accuses nobody">
        ○ uncovered
      </Badge>
    );
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
  window = true,
  empty = "No chunk yet. Each window is agreed on a few seconds after it ends.",
}: {
  chunks: ChunkInfo[];
  label: string;
  source?: boolean;
  /** Left out where all are of one window. */
  window?: boolean;
  empty?: string;
}) {
  return (
    <Table
      label={label}
      items={chunks}
      keyOf={(chunk) => `${chunk.source} ${chunk.window} ${chunk.stream}`}
      empty={empty}
      tall
      columns={[
        source
          ? {
              head: "Source",
              cell: (chunk) => (
                <Link to={`/sources/${encodeURIComponent(chunk.source)}`}>{chunk.source}</Link>
              ),
            }
          : null,
        { head: "Stream", cell: ({ stream }) => stream },
        window
          ? {
              head: "Window",
              cell: (chunk) =>
                chunk.window_start ? <At at={chunk.window_start} /> : `block ${count(chunk.window)}`,
            }
          : null,
        { head: "Agreement", cell: (chunk) => <StatusBadge chunk={chunk} /> },
        { head: "Events", number: true, cell: ({ events }) => count(events) },
        { head: "Size", number: true, cell: (chunk) => bytes(chunk.bytes) },
        {
          head: "Attested by",
          cell: ({ attesters, differing }) => (
            <>
              <ValidatorList addresses={attesters} />
              {differing.length > 0 ? (
                <span className="below">
                  <span className="wrong">differing:</span> <ValidatorList addresses={differing} />
                </span>
              ) : null}
            </>
          ),
        },
        {
          head: "CID",
          cell: ({ cid }) =>
            cid ? (
              <>
                <Link to={`/chunks/${cid}`}>
                  <Hash text={cid} />
                </Link>
                <Copy text={cid} label="CID" />
              </>
            ) : (
              <span className="quiet">none: no quorum</span>
            ),
        },
        {
          head: "Data",
          cell: ({ cid, stream, window }) =>
            cid ? (
              <a href={parquetPath(cid)} download aria-label={`Parquet of ${stream}, window ${window}`}>
                Parquet
              </a>
            ) : null,
        },
      ]}
    />
  );
}
