/** Parts that the pages of an Xnode share. */
import type { UseQueryResult } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { RequestError } from "../../api/client";
import type { Application } from "../../api/xnode";
import { useReach } from "../../api/xnodeQueries";
import { Badge, Copy, Loading, Marked, Notice } from "../../design";
import { conditionWords, openings, stateOf } from "../../lib/applications";
import { age, shortAddress } from "../../lib/format";
import { useNow } from "../../lib/now";
import { Failure } from "../parts";

/** Loading, failed, there, or there but old: an agent that does not answer at all is said once, above the page. */
export function Live<T>({
  of,
  what,
  children,
}: {
  of: UseQueryResult<T>;
  what: string;
  children: (data: NonNullable<T>) => ReactNode;
}) {
  const now = useNow();
  const reach = useReach();
  const { data } = of;
  if (data === undefined || data === null) {
    return of.error ? <Failure error={of.error} what={what} /> : <Loading what={what} />;
  }
  return (
    <>
      {of.error && !reach.error ? (
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
      {children(data)}
    </>
  );
}

/** Whoever did something: a wallet in short, with all of it in its title. */
export function By({ who }: { who: string }) {
  return /^0x[0-9a-fA-F]{40}$/.test(who) ? (
    <code title={who}>{shortAddress(who)}</code>
  ) : (
    <span className="long">{who}</span>
  );
}

export function StateBadge({ state, title }: { state: string; title?: string }) {
  const { tone, words } = stateOf(state);
  return (
    <Badge tone={tone} {...(title ? { title } : {})}>
      {words}
    </Badge>
  );
}

/** Conditions of an application that runs, each with its figures. */
export function Conditions({ of: { conditions = [] } }: { of: Application }) {
  return conditions.map(({ kind, index, text }) => (
    <Badge key={`${kind} ${index}`} tone="warn" title={text}>
      {conditionWords(kind)}
    </Badge>
  ));
}

/** The way to an application, once it is healthy; the reason where it cannot be opened. */
export function OpenLink({ application }: { application: Application }) {
  const [first] = openings(application, location.hostname);
  const reason = !first
    ? "None of its TCP ports is published"
    : application.state !== "running"
      ? `It is ${stateOf(application.state).words}: it can be opened as soon as it is healthy`
      : first.isLocal
        ? "It is published on the machine's loopback alone, and this browser runs elsewhere"
        : null;
  if (!first || reason !== null)
    return (
      <button
        type="button"
        className="button small"
        disabled
        title={reason ?? undefined}
        aria-label={`Open ${application.name}: ${reason ?? ""}`}
      >
        {application.state === "starting" && first ? "Opens when healthy…" : "Open"}
      </button>
    );
  return (
    <a
      className="button small"
      href={first.url}
      target="_blank"
      rel="noreferrer"
      aria-label={`Open ${application.name} in a new tab`}
    >
      Open
    </a>
  );
}

/** What was refused, with each of its lines: a refusal of the agent has one reason a line. */
export function Refused({ error, children }: { error: Error; children?: ReactNode }) {
  const [first = "", ...more] = error.message.split("\n");
  const hint = error instanceof RequestError ? error.hint : undefined;
  return (
    <Notice tone="bad" title={more.length > 0 ? `${more.length + 1} reasons against it` : first}>
      {more.length > 0
        ? [first, ...more].map((line, at) => (
            <span key={at} className="below">
              <Marked text={line} />
            </span>
          ))
        : hint}
      {children}
    </Notice>
  );
}

export interface Tab {
  id: string;
  name: string;
}

/** Parts of a page, each with an address of its own. */
export function Tabs({
  base,
  tabs,
  now,
  label,
}: {
  base: string;
  tabs: readonly Tab[];
  now: string;
  label: string;
}) {
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map(({ id, name }) => (
        <Link
          key={id}
          to={id === "" ? base : `${base}/${id}`}
          className={id === now ? "active" : undefined}
          aria-current={id === now ? "page" : undefined}
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}

/** A command for a terminal, which can be copied. */
export function Command({ text }: { text: string }) {
  return (
    <p className="command">
      <code>{text}</code>
      <Copy text={text} label="the command" />
    </p>
  );
}

/** A button that does something by itself, with the reason where it may not, and its refusal beside it. */
export function Act({
  words,
  label,
  busy,
  why,
  onAct,
}: {
  words: string;
  /** What a screen reader says, where the words alone say too little. */
  label?: string;
  busy: boolean;
  /** Reason for which it is not offered. */
  why: string | undefined;
  onAct: () => void;
}) {
  return (
    <button
      type="button"
      className="button small"
      disabled={busy || why !== undefined}
      title={why}
      aria-label={label}
      onClick={onAct}
    >
      {words}
    </button>
  );
}

/** A button for what cannot be undone: it asks once more in its own place, and a second click at that place is a no. */
export function Sure({
  words,
  label,
  asked,
  busy,
  why,
  onAct,
}: {
  words: string;
  label: string;
  /** What is lost, said before it is done. */
  asked: string;
  busy: boolean;
  /** Reason for which it is not offered. */
  why: string | undefined;
  onAct: () => void;
}) {
  const [isAsked, setAsked] = useState(false);
  return (
    <span className="row">
      {isAsked ? (
        <Act words="No" label={`No: ${label}`} busy={false} why={undefined} onAct={() => setAsked(false)} />
      ) : (
        <Act words={words} label={label} busy={busy} why={why} onAct={() => setAsked(true)} />
      )}
      {isAsked ? (
        <Act
          words="Yes"
          label={`Yes: ${label}`}
          busy={busy}
          why={why}
          onAct={() => {
            setAsked(false);
            onAct();
          }}
        />
      ) : null}
      <span className="quiet" role="status">
        {isAsked ? asked : ""}
      </span>
    </span>
  );
}
