import { useQueryClient } from "@tanstack/react-query";
import { Suspense, useEffect, useRef } from "react";
import { Link, Outlet, ScrollRestoration, useLocation } from "react-router";
import { feed, hasNoNetwork, useStatus } from "../api/queries";
import { stream, useStreamRefusals, useStreamState } from "../api/live";
import type { Origin } from "../api/types";
import { Loading, Notice } from "../design";
import { age, clock, instant, lasting } from "../lib/format";
import { useStill } from "../lib/heights";
import { useNow } from "../lib/now";
import { ageOf, BLOCK_STALE_MS, STATUS_STALE_MS } from "../lib/staleness";
import { SearchField } from "./SearchField";
import { setTheme, THEMES, useTheme } from "./theme";
import { WalletButton } from "./WalletButton";
import { XnodeBanner, XnodeFoot, XnodeSession } from "./XnodeBanner";

const ORIGINS: Record<Origin, { tone: string; words: string }> = {
  live: { tone: "good", words: "Live market: prices come from the venues themselves" },
  simulated: { tone: "warn", words: "Simulated market: these prices are not real" },
  replay: { tone: "warn", words: "Replay of recordings: these prices are from the past" },
};

export function Shell() {
  const isXnode = XNODE_PAGES.test(useLocation().pathname);
  useFeed();
  useFocusOnNavigation();
  return (
    <>
      <a className="skip" href="#main">
        Skip to content
      </a>
      <header className="top">
        <Link to="/" className="wordmark" aria-label="Openmesh, home">
          <img src="/mesh.svg" alt="" width={28} height={28} />
          Openmesh
        </Link>
        <Sections />
        {isXnode ? null : <SearchField />}
        <div className="row tools">
          <ThemeSwitch />
          {isXnode ? <XnodeSession /> : <WalletButton />}
        </div>
      </header>
      {isXnode ? <XnodeBanner /> : <OriginBanner />}
      <main id="main" tabIndex={-1}>
        {isXnode ? null : (
          <>
            <Lost />
            <Stalled />
            <Refused />
          </>
        )}
        <Suspense fallback={<Loading what="the page" />}>
          <Outlet />
        </Suspense>
      </main>
      {isXnode ? <XnodeFoot /> : <Footer />}
      <ScrollRestoration />
    </>
  );
}

/** Pages of the machine and its applications, which say nothing of the network's data. */
const XNODE_PAGES = /^\/(apps|store|compose|deploy|deployments|node)(\/|$)/;

/** Listens to the network's news as soon as it is known that there is one: an Xnode alone has none. */
function useFeed(): void {
  const client = useQueryClient();
  const { data, failureReason } = useStatus();
  const isThere = data !== undefined || (failureReason !== null && !hasNoNetwork(failureReason));
  useEffect(() => (isThere ? feed(client, stream) : undefined), [client, isThere]);
}

/** The sections, with the pages that belong to each though their addresses do not begin with its own. */
const SECTIONS: { to: string; name: string; pages: RegExp }[] = [
  { to: "/", name: "Network", pages: /^\/($|upgrades)/ },
  { to: "/data", name: "Data", pages: /^\/(data|sources)/ },
  { to: "/sql", name: "SQL", pages: /^\/sql/ },
  { to: "/transactions", name: "Transactions", pages: /^\/(transactions|accounts|actions|supply)/ },
  {
    to: "/explorer",
    name: "Explorer",
    pages:
      /^\/(explorer|search|blocks|validators|chunks|deposits|epochs|events|evidence|incidents|parameters|stamps)(\/|$)/,
  },
  { to: "/apps", name: "Apps", pages: /^\/(apps|store|compose|deploy|deployments)(\/|$)/ },
  { to: "/node", name: "Node", pages: /^\/node(\/|$)/ },
];

function Sections() {
  const { pathname } = useLocation();
  return (
    <nav aria-label="Main">
      {SECTIONS.map(({ to, name, pages }) => (
        <Link
          key={to}
          to={to}
          className={pages.test(pathname) ? "active" : undefined}
          aria-current={pathname === to ? "page" : pages.test(pathname) ? "true" : undefined}
        >
          {name}
        </Link>
      ))}
    </nav>
  );
}

/** Where the data comes from: on every page, always, in words. */
function OriginBanner() {
  const status = useStatus();
  const state = useStreamState();
  const now = useNow();
  const heard = ageOf(status.dataUpdatedAt || null, now, STATUS_STALE_MS);
  const origin = status.data ? ORIGINS[status.data.origin] : null;
  const connection =
    state === "lost" || heard?.stale ? "stale" : state === "open" ? "connected" : "connecting";
  return (
    <div className={`origin ${origin?.tone ?? "plain"}`} role="region" aria-label="Origin of the data">
      <strong>{origin?.words ?? "Origin not known yet: waiting for the node"}</strong>
      <span className={`connection ${connection}`}>
        <i aria-hidden="true" />
        {connection === "stale"
          ? heard
            ? `Not up to date: last heard ${age(heard.ms)}`
            : "No answer from the node yet"
          : connection === "connected"
            ? "Connected"
            : "Connecting…"}
      </span>
    </div>
  );
}

function Lost() {
  const state = useStreamState();
  const status = useStatus();
  const now = useNow();
  if (state !== "lost") return null;
  return (
    <Notice
      tone="warn"
      title="The connection to the node is lost"
      ticking={
        status.dataUpdatedAt
          ? `What is shown is from ${clock(status.dataUpdatedAt, now)} (${age(now - status.dataUpdatedAt)}).`
          : null
      }
    >
      This page connects again by itself.
    </Notice>
  );
}

/** The node answers, but the network makes no blocks: nothing new is agreed on, whatever page one is on. */
function Stalled() {
  const status = useStatus();
  const state = useStreamState();
  const now = useNow();
  const still = useStill();
  if (state !== "open" || !status.data || still === null || still <= BLOCK_STALE_MS) return null;
  const since = instant(status.data.time) ?? now - still;
  return (
    <Notice
      tone="warn"
      title={`No block since ${clock(since, now)}`}
      ticking={`${lasting(still)} without one.`}
    >
      {status.data.syncing
        ? "This node is behind its peers and catches up."
        : "The network does not agree on anything new: more than a third of the voting power may be down. What is shown as agreed stays true."}
    </Notice>
  );
}

/** What the node refuses of the live data: the page would otherwise only stay still. */
function Refused() {
  const refused = useStreamRefusals();
  return refused.map(({ topic, code, message, hint }) => (
    <Notice
      key={`${topic.feed} ${topic.exchange ?? ""} ${topic.symbol ?? ""}`}
      tone="bad"
      title={`No live ${topic.feed}${topic.symbol ? ` of ${topic.symbol}` : ""}: ${message}`}
    >
      <code>{code}</code>: {hint}
    </Notice>
  ));
}

function ThemeSwitch() {
  const theme = useTheme();
  return (
    <label className="theme">
      <span className="visually-hidden">Theme</span>
      <span aria-hidden="true" className="quiet">
        ◐
      </span>{" "}
      <select
        className="input small"
        value={theme}
        onChange={(event) => {
          const wanted = THEMES.find((each) => each === event.target.value);
          if (wanted) setTheme(wanted);
        }}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}

function Footer() {
  const { data } = useStatus();
  return (
    <footer className="foot quiet">
      {data ? (
        <span>
          {data.network}, chain {data.chain_id} · node {data.node.name} · version {data.version}
        </span>
      ) : (
        <span>Waiting for the node</span>
      )}
      <span className="row">
        Times are in UTC
        <a href="/openapi.json">API description</a>
      </span>
    </footer>
  );
}

/** After a change of page the focus goes to its content, so that keyboards and screen readers begin there. */
function useFocusOnNavigation(): void {
  const { pathname } = useLocation();
  const before = useRef(pathname);
  useEffect(() => {
    if (before.current === pathname) return;
    before.current = pathname;
    document.getElementById("main")?.focus({ preventScroll: true });
  }, [pathname]);
}
