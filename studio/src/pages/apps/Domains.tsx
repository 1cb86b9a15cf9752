import { useState } from "react";
import type { Application, DoorHost } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useDocument, useDoors, useXnode } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Notice } from "../../design";
import { Table } from "../../design/Table";
import { partOf } from "../../lib/document";
import { AUDIENCES, readDomains, withDomains, type Audience, type DomainRoute } from "../../lib/domains";
import { isDomain } from "../../lib/options";
import { Decide, Planning, useChange, type ChangeFlow } from "./change";
import { Act, Live, Refused } from "./parts";

const AUDIENCE_WORDS: Record<Audience, string> = {
  everybody: "everybody",
  wallets: "these wallets",
  members: "members of this Xnode",
  owner: "only the owner and admins",
};

/** Domains that lead to an application, and who may come in by each: changes of the document, planned as any other. */
export function Domains({ application }: { application: Application }) {
  const xnode = useXnode();
  const document = useDocument(xnode.data?.wanted);
  return (
    <Live of={document} what="the document">
      {({ number, text }) => <Routes application={application} text={text} wanted={number} />}
    </Live>
  );
}

function Routes({
  application: { name, ports },
  text,
  wanted,
}: {
  application: Application;
  text: string;
  wanted: number;
}) {
  const flow = useChange();
  const part = partOf(text, name);
  const routes = part === null ? null : readDomains(part);
  const wish = (next: readonly DomainRoute[]) => {
    const changed = withDomains(text, name, next);
    if (changed !== null) flow.plan({ change: { kind: "document", text: changed }, expected: wanted });
  };
  if (flow.planned) return <Decide flow={flow} planned={flow.planned} verb="Apply" />;
  if (part === null) return <Empty>It is not in the wanted document, and so it has no domains.</Empty>;
  if (routes === null)
    return <Empty>Its domains are written in a form that only its settings show as they are.</Empty>;
  return (
    <>
      <Card title="Domains" flush>
        <RouteTable
          routes={routes}
          busy={flow.isPlanning}
          onRemove={(gone) => wish(routes.filter(({ domain }) => domain !== gone))}
        />
      </Card>
      <NewRoute
        ports={Object.keys(ports)}
        taken={routes.map(({ domain }) => domain)}
        flow={flow}
        onAdd={(route) => wish([...routes, route])}
      />
    </>
  );
}

function RouteTable({
  routes,
  busy,
  onRemove,
}: {
  routes: DomainRoute[];
  busy: boolean;
  onRemove: (domain: string) => void;
}) {
  const { data: doors } = useDoors();
  const may = useMay("operator");
  const hostOf = (domain: string) => doors?.hosts.find(({ name }) => name === domain);
  return (
    <Table
      label="Domains"
      items={routes}
      keyOf={({ domain }) => domain}
      empty="No domain leads to it."
      columns={[
        { head: "Domain", cell: ({ domain }) => <DomainLink domain={domain} host={hostOf(domain)} /> },
        { head: "Port", cell: ({ port }) => port },
        {
          head: "Who may come in",
          tone: () => "wrap",
          cell: ({ audience, wallets }) => (
            <>
              {AUDIENCE_WORDS[audience]}
              {wallets.map((wallet) => (
                <code key={wallet} className="long below">
                  {wallet}
                </code>
              ))}
            </>
          ),
        },
        {
          head: "Door",
          cell: ({ domain }) => {
            const host = hostOf(domain);
            if (!host) return <span className="quiet">not served yet</span>;
            if (host.access === "nobody")
              return <Badge tone="warn">lets nobody in: this Xnode has no name to sign in at</Badge>;
            return host.is_secure ? (
              <Badge tone="good">with a certificate</Badge>
            ) : (
              <Badge tone="warn">without a certificate</Badge>
            );
          },
        },
        {
          head: "",
          cell: ({ domain }) => (
            <Act
              words="Remove"
              label={`Remove the domain ${domain}`}
              busy={busy}
              why={may}
              onAct={() => onRemove(domain)}
            />
          ),
        },
      ]}
    />
  );
}

function DomainLink({ domain, host }: { domain: string; host: DoorHost | undefined }) {
  if (!host || domain.startsWith("*")) return <code>{domain}</code>;
  return (
    <a href={`${host.is_secure ? "https" : "http"}://${domain}/`} target="_blank" rel="noreferrer">
      {domain}
    </a>
  );
}

const WALLET = /^0x[0-9a-fA-F]{40}$/;

/** Reason for which a new domain cannot be added; nothing where it can. */
export function wrongRoute(
  { domain, port, audience, wallets }: DomainRoute,
  taken: readonly string[],
): string | undefined {
  if (domain === "") return "It needs a domain";
  if (!isDomain(domain) || !/[a-z][^.]*$/.test(domain))
    return "A domain is expected, such as shop.example.org";
  if (taken.includes(domain)) return "It leads here already";
  if (port === "") return "It needs a port of the application";
  if (audience === "wallets" && wallets.length === 0) return "It needs the wallets that may come in";
  const wrong = wallets.find((wallet) => !WALLET.test(wallet));
  return wrong === undefined ? undefined : `${wrong} is no address of a wallet: 0x and 40 hexadecimal digits`;
}

function NewRoute({
  ports,
  taken,
  flow,
  onAdd,
}: {
  ports: string[];
  taken: string[];
  flow: ChangeFlow;
  onAdd: (route: DomainRoute) => void;
}) {
  const may = useMay("operator");
  const [written, setWritten] = useState({ domain: "", port: ports[0] ?? "", wallets: "" });
  const [audience, setAudience] = useState<Audience>("everybody");
  const route: DomainRoute = {
    domain: written.domain.trim().toLowerCase(),
    port: written.port,
    audience,
    wallets: audience === "wallets" ? written.wallets.split(/[\s,]+/).filter(Boolean) : [],
  };
  const why = may ?? wrongRoute(route, taken);
  const change = (part: Partial<typeof written>) => {
    flow.reset();
    setWritten({ ...written, ...part });
  };
  return (
    <Card title="Lead a domain here">
      <form
        className="stack narrow"
        aria-label="Lead a domain here"
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined) onAdd(route);
        }}
      >
        <label className="field">
          <span>Domain</span>
          <input
            className="input mono"
            value={written.domain}
            placeholder="shop.example.org"
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            onChange={(event) => change({ domain: event.target.value })}
          />
        </label>
        <label className="field">
          <span>Port</span>
          <select
            className="input"
            value={written.port}
            onChange={(event) => change({ port: event.target.value })}
          >
            {ports.map((port) => (
              <option key={port}>{port}</option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>Who may come in</span>
          <select
            className="input"
            value={audience}
            onChange={(event) => {
              flow.reset();
              setAudience(AUDIENCES.find((each) => each === event.target.value) ?? "everybody");
            }}
          >
            {AUDIENCES.map((each) => (
              <option key={each} value={each}>
                {AUDIENCE_WORDS[each]}
              </option>
            ))}
          </select>
        </label>
        {audience === "wallets" ? (
          <label className="field">
            <span>Wallets, one a line</span>
            <textarea
              className="input mono"
              rows={3}
              value={written.wallets}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => change({ wallets: event.target.value })}
            />
          </label>
        ) : null}
        {audience === "everybody" ? null : (
          <Notice title="Visitors sign in with a wallet before they see anything of it">
            They do so at this Xnode, which needs a name of its own with a certificate for that. A published
            port is open to whoever reaches it, whatever the domain says.
          </Notice>
        )}
        <Planning flow={flow} />
        {flow.refused ? <Refused error={flow.refused} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={flow.isPlanning || why !== undefined}
            title={why}
          >
            {flow.isPlanning ? "Planning…" : "Show the plan"}
          </button>
          {why !== undefined && written.domain !== "" ? <span className="quiet">{why}.</span> : null}
        </p>
      </form>
    </Card>
  );
}
