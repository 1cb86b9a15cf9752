import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "react-router";
import type { Doors as DoorsInfo, DoorRoute, HostCertificate } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { askAuthority, forgetCertificate, giveCertificate, useAct, useDoors } from "../../api/xnodeQueries";
import { Badge, Card, Figure, Figures, Notice, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { clock, count, duration } from "../../lib/format";
import { useNow } from "../../lib/now";
import { save } from "../../lib/save";
import { Act, Live, Refused, Sure } from "../apps/parts";

/** Time before its end at which a certificate should have been made anew. */
const ENDS_SOON_MS = 7 * 86_400_000;

export function Doors() {
  const doors = useDoors();
  return (
    <Live of={doors} what="the door">
      {(info) => (
        <>
          <Standing info={info} />
          {info.state === "missing" ? null : (
            <>
              <Traffic info={info} />
              <Card title="Addresses and domains" flush>
                <Places info={info} />
              </Card>
              <Certificates info={info} />
              <GiveCertificate />
            </>
          )}
        </>
      )}
    </Live>
  );
}

const STATES: Record<DoorsInfo["state"], { tone: Tone; words: string }> = {
  serves: { tone: "good", words: "The door serves what is wanted" },
  waits: { tone: "warn", words: "The door does not answer yet" },
  fails: { tone: "bad", words: "The door does not serve what is wanted" },
  missing: { tone: "warn", words: "There is no door on this machine" },
};

function Standing({ info: { state, cause, remarks } }: { info: DoorsInfo }) {
  const { tone, words } = STATES[state];
  return (
    <>
      <Notice tone={tone} title={words}>
        {cause}
      </Notice>
      {remarks.length > 0 ? (
        <Notice tone="warn" title="Not served">
          {remarks.map((remark) => (
            <span key={remark} className="below">
              {remark}
            </span>
          ))}
        </Notice>
      ) : null}
    </>
  );
}

const ADMISSIONS: Record<string, Tone | undefined> = {
  open: "good",
  hold: "warn",
  maintenance: "warn",
  closed: "plain",
};

const sum = (route: DoorRoute, of: "open" | "reading_requests" | "writing_requests" | "cut") =>
  route.instances.reduce((all, instance) => all + instance[of], 0);

function Traffic({ info }: { info: DoorsInfo }) {
  return (
    <>
      <Figures label="Figures of the door">
        <Figure name="Connections" value={count(info.connections)} note="open now" />
        <Figure name="Malformed" value={count(info.malformed)} note="requests, refused" />
        <Figure
          name="Waiting"
          value={count(info.routes.reduce((all, { waiting }) => all + waiting, 0))}
          note="requests, for a switch"
        />
        <Figure
          name="Document"
          value={count(info.serial)}
          note={info.user === null ? null : `user ${info.user}`}
        />
      </Figures>
      <Card title="Traffic" flush>
        <Table
          label="Routes of the door"
          items={info.routes}
          keyOf={({ name }) => name}
          empty="No application has a port of HTTP that is published, or a domain."
          columns={[
            {
              head: "Route",
              cell: ({ name }) => <Link to={`/apps/${name.split("/")[0] ?? ""}`}>{name}</Link>,
            },
            {
              head: "Admission",
              cell: ({ admission }) => <Badge tone={ADMISSIONS[admission] ?? "plain"}>{admission}</Badge>,
            },
            { head: "Open", number: true, cell: (route) => count(sum(route, "open")) },
            { head: "Read", number: true, cell: (route) => count(sum(route, "reading_requests")) },
            { head: "Write", number: true, cell: (route) => count(sum(route, "writing_requests")) },
            { head: "Held", number: true, cell: ({ held }) => count(held) },
            { head: "Longest", number: true, cell: ({ longest_hold_ms: ms }) => duration(ms) },
            { head: "Refused", number: true, cell: ({ refused }) => count(refused) },
            { head: "Cut", number: true, cell: (route) => count(sum(route, "cut")) },
            {
              head: "Instances",
              cell: ({ instances }) => (
                <span className="names">
                  {instances.map(({ name, drains }) => (
                    <span key={name}>
                      <code>{name}</code> {drains ? <Badge tone="warn">drains</Badge> : null}
                    </span>
                  ))}
                </span>
              ),
            },
          ]}
        />
      </Card>
    </>
  );
}

function Places({ info: { listeners, hosts } }: { info: DoorsInfo }) {
  return (
    <>
      <Table
        label="Addresses of the door"
        items={listeners}
        keyOf={({ address }) => address}
        empty="It listens nowhere: nothing is published by it."
        columns={[
          { head: "Address", cell: ({ address }) => <code>{address}</code> },
          {
            head: "TLS",
            cell: ({ tls }) => (tls ? <Badge tone="good">TLS</Badge> : <span className="quiet">plain</span>),
          },
          { head: "Leads to", cell: ({ route }) => route ?? <span className="quiet">by domain</span> },
        ]}
      />
      <Table
        label="Domains"
        items={hosts}
        keyOf={({ name }) => name}
        empty="No domain leads here. An application gets one by `domains` in its settings."
        columns={[
          {
            head: "Domain",
            cell: ({ name, is_secure: isSecure }) => (
              <a href={`${isSecure ? "https" : "http"}://${name}/`} target="_blank" rel="noreferrer">
                {name}
              </a>
            ),
          },
          { head: "Leads to", cell: ({ route }) => route },
          { head: "Who may come in", cell: ({ access }) => access.replaceAll("_", " ") },
          {
            head: "Certificate",
            cell: ({ is_secure: isSecure }) =>
              isSecure ? <Badge tone="good">there</Badge> : <Badge tone="warn">none</Badge>,
          },
        ]}
      />
    </>
  );
}

function Certificates({ info: { certificates } }: { info: DoorsInfo }) {
  const now = useNow();
  const may = useMay("admin");
  const forgetting = useAct(forgetCertificate);
  const asking = useMutation({
    mutationFn: askAuthority,
    onSuccess: (root) => save("xnode-authority.pem", [root], "application/x-pem-file"),
  });
  const error = forgetting.error ?? asking.error;
  return (
    <Card
      title="Certificates"
      flush
      actions={
        <Act
          words="Save the own authority"
          label="Save the certificate of this machine's own authority"
          busy={asking.isPending}
          why={undefined}
          onAct={() => asking.mutate()}
        />
      }
    >
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <Table
        label="Certificates"
        items={certificates}
        keyOf={({ name }) => name}
        empty="There is none. Names of the house get one by themselves, public ones from the authority of the document; another can be given below."
        columns={[
          { head: "Name", cell: ({ name }) => name },
          {
            head: "Made by",
            cell: (one) => <MadeBy one={one} now={now} />,
          },
          {
            head: "Ends",
            cell: ({ until }) =>
              until === null ? (
                <span className="quiet">–</span>
              ) : (
                <span className={until * 1_000 - now < ENDS_SOON_MS ? "wrong" : undefined}>
                  {clock(until * 1_000, now)}
                </span>
              ),
          },
          {
            head: "Renewed from",
            cell: ({ renews_at: renewsAt }) =>
              renewsAt === null ? <span className="quiet">–</span> : clock(renewsAt * 1_000, now),
          },
          {
            head: "",
            cell: ({ name, maker }) =>
              maker !== null &&
              maker !== "acme" && (
                <Sure
                  words="Remove"
                  label={`Remove the certificate of ${name}`}
                  asked="A key that was given is lost for good."
                  busy={forgetting.isPending}
                  why={may}
                  onAct={() => forgetting.mutate(name)}
                />
              ),
          },
        ]}
      />
      <p className="quiet pad flat">
        Browsers of the house trust this machine's names, also offline, once its own authority is installed in
        them.
      </p>
    </Card>
  );
}

const MAKERS = {
  given: "a person",
  acme: "the authority of the document",
  house: "this machine's own authority",
};

function MadeBy({ one: { maker, failure, note }, now }: { one: HostCertificate; now: number }) {
  return (
    <>
      {maker === null ? <span className="quiet">nobody</span> : MAKERS[maker]}
      {failure ? (
        <div>
          <span className="wrong">{failure.cause}</span>
          <div className="quiet">
            {failure.remedy}. Next attempt: {clock(failure.again * 1_000, now)}
          </div>
        </div>
      ) : null}
      {note ? <div className="quiet">Nothing is ordered: {note}</div> : null}
    </>
  );
}

function GiveCertificate() {
  const [written, setWritten] = useState({ name: "", chain: "", key: "" });
  const may = useMay("admin");
  const giving = useAct(giveCertificate);
  const change = (part: Partial<typeof written>) => {
    giving.reset();
    setWritten((before) => ({ ...before, ...part }));
  };
  const why =
    may ??
    (written.name.trim() === ""
      ? "It needs a name"
      : written.chain.includes("-----BEGIN CERTIFICATE-----")
        ? written.key.includes("PRIVATE KEY-----")
          ? undefined
          : "The key is needed as PEM"
        : "The chain is needed as PEM, the host's own certificate first");
  return (
    <Card title="Give a certificate">
      <form
        className="stack narrow"
        aria-label="Give a certificate"
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined)
            giving.mutate(
              { ...written, name: written.name.trim() },
              { onSuccess: () => setWritten({ name: "", chain: "", key: "" }) },
            );
        }}
      >
        <label className="field">
          <span>Domain</span>
          <input
            className="input"
            value={written.name}
            autoComplete="off"
            spellCheck={false}
            onChange={(event) => change({ name: event.target.value })}
          />
        </label>
        {(["chain", "key"] as const).map((part) => (
          <label key={part} className="field">
            <span>{part === "chain" ? "Chain, as PEM" : "Private key, as PEM"}</span>
            <textarea
              className="input mono"
              rows={4}
              value={written[part]}
              autoComplete="off"
              spellCheck={false}
              onChange={(event) => change({ [part]: event.target.value })}
            />
          </label>
        ))}
        {giving.error ? <Refused error={giving.error} /> : null}
        {giving.isSuccess ? (
          <Notice tone="good" title="The certificate is kept, and the door has it" />
        ) : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={giving.isPending || why !== undefined}
            title={why}
          >
            Give it
          </button>
        </p>
      </form>
    </Card>
  );
}
