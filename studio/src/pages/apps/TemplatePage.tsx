import { useState } from "react";
import { Link, useParams } from "react-router";
import { RequestError } from "../../api/client";
import type { Application, TemplateOrder, TemplatePreflight, TemplateSheet } from "../../api/xnode";
import { useApplications, useTemplate } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Marked, Notice, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { forgetDrafts, useDraft } from "../../lib/draft";
import { freeName } from "../../lib/options";
import { binary } from "../../lib/quantity";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Failure } from "../parts";
import { BackupSwitch } from "./BackupSwitch";
import { Decide, Planning, useChange } from "./change";
import { Live, Refused } from "./parts";
import { GradeBadge, Icon, Publisher } from "./Store";
import { byOption, TemplateForm } from "./TemplateForm";
import { useOrdered } from "./useOrdered";

export function TemplatePage() {
  const { template: name = "" } = useParams();
  const [read] = useFilters();
  const template = useTemplate(name, read("version"), read("catalogue"));
  const applications = useApplications();
  useTitle(template.data?.summary.title ?? name);
  const isGone = template.error instanceof RequestError && template.error.code === "no_template";
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › <Link to="/store">Store</Link> › {template.data?.summary.title ?? name}
      </p>
      {isGone ? (
        <Empty>The store has no template {name}.</Empty>
      ) : (
        <Live of={template} what="the template">
          {(sheet) => (
            <>
              <Head sheet={sheet} />
              <Live of={applications} what="applications">
                {(all) => <Form key={keyOf(sheet)} sheet={sheet} applications={all} />}
              </Live>
              <Facts sheet={sheet} />
            </>
          )}
        </Live>
      )}
    </div>
  );
}

/** A template and its version, told apart from one of that name in another catalogue. */
const keyOf = ({ summary: { catalogue = "", name, version } }: TemplateSheet): string =>
  `${catalogue}/${name} ${version}`;

function Head({ sheet: { summary, description } }: { sheet: TemplateSheet }) {
  return (
    <>
      <div className="row">
        <Icon svg={summary.icon} />
        <h1>{summary.title}</h1>
        <GradeBadge of={summary} />
        <Publisher of={summary} />
      </div>
      {description.split(/\n+/).map((paragraph) => (
        <p key={paragraph} className="flat">
          <Marked text={paragraph} />
        </p>
      ))}
    </>
  );
}

function Form({ sheet, applications }: { sheet: TemplateSheet; applications: Application[] }) {
  const template = sheet.summary.name;
  const taken = applications.map(({ name }) => name);
  const { catalogue } = sheet.summary;
  const drafts = [`name of ${catalogue ?? ""}/${template}`, `answers of ${keyOf(sheet)}`] as const;
  const [name, setName] = useDraft(drafts[0], () => freeName(template, taken));
  const [written, setWritten] = useDraft<Readonly<Record<string, string>>>(drafts[1], () =>
    Object.fromEntries(sheet.fields.map((field) => [field.name, field.default ?? ""])),
  );
  const [backup, setBackup] = useState<TemplateOrder["backup"]>(undefined);
  const flow = useChange();
  const { order, wrong, fits, may, preflight, isFresh, faults } = useOrdered(
    sheet,
    sheet.fields,
    name,
    written,
    { taken, backup },
  );
  const write = (field: string, text: string) => {
    flow.reset();
    setWritten({ ...written, [field]: text });
  };
  if (flow.planned)
    return <Decide flow={flow} planned={flow.planned} verb="Deploy" onDone={() => forgetDrafts(...drafts)} />;
  return (
    <div className="halves">
      <Card title="Settings">
        <TemplateForm
          fields={sheet.fields}
          written={written}
          name={name}
          problems={{ ...byOption(faults), ...wrong }}
          told={faults}
          applications={applications}
          fits={fits}
          onName={(text) => {
            flow.reset();
            setName(text);
          }}
          onWrite={write}
          onSend={() => {
            if (faults.length === 0) flow.plan({ change: { kind: "order", template, order } });
          }}
        >
          {sheet.backup ? (
            <BackupSwitch
              proposal={sheet.backup}
              found={preflight.data?.backups}
              wish={backup}
              onWish={(wish) => {
                flow.reset();
                setBackup(wish);
              }}
            />
          ) : null}
          <Planning flow={flow} />
          {flow.refused ? <Refused error={flow.refused} /> : null}
          <p className="row flat">
            <button
              type="submit"
              className="button primary"
              disabled={flow.isPlanning || faults.length > 0 || may !== undefined}
              title={
                may ?? (faults.length > 0 ? "The machine has something against it: see beside" : undefined)
              }
            >
              {flow.isPlanning ? "Planning…" : "Show the plan"}
            </button>
          </p>
        </TemplateForm>
      </Card>
      <Card title="What the machine has for it" flush>
        {may !== undefined ? (
          <Empty>{may}.</Empty>
        ) : preflight.error && !preflight.data ? (
          <Failure error={preflight.error} what="the answer of the machine" />
        ) : preflight.data && fits ? (
          <Room of={preflight.data} isFresh={isFresh} fields={sheet.fields.map((field) => field.name)} />
        ) : (
          <Empty>
            As soon as the settings are complete, the machine says whether it has room and ports for them.
          </Empty>
        )}
      </Card>
    </div>
  );
}

/** What it comes to, held against the machine: before anything is fetched. */
function Room({
  of,
  isFresh,
  fields,
}: {
  of: TemplatePreflight;
  isFresh: boolean;
  fields: readonly string[];
}) {
  const general = of.problems.filter(
    ({ option }) => option === null || ![...fields, "name"].includes(option),
  );
  return (
    <div className="stack pad" aria-busy={!isFresh}>
      {!isFresh ? (
        <p role="status" className="quiet flat">
          Asking the machine…
        </p>
      ) : of.problems.length === 0 ? (
        <Notice tone="good" title="There is room for it" />
      ) : (
        <Notice tone="bad" title="It cannot be deployed so">
          {of.problems.map(({ option, message }) => (
            <span key={`${option ?? ""} ${message}`} className="below">
              {option === null || general.some((each) => each.message === message) ? "" : `${option}: `}
              <Marked text={message} />
            </span>
          ))}
        </Notice>
      )}
      <dl className="facts" aria-label="Needs and room">
        <Need name="Memory" needs={of.memory_bytes} has={of.memory_free_bytes} />
        <Need name="Disk" needs={of.disk_bytes} has={of.disk_free_bytes} />
        {of.secrets.length > 0 ? (
          <div className="fact">
            <dt>Secrets</dt>
            <dd>{of.secrets.join(", ")}: made on the machine, and shown to nobody</dd>
          </div>
        ) : null}
      </dl>
      <Table
        label="Applications that are made"
        items={of.applications}
        keyOf={({ name }) => name}
        empty="Nothing is made of these answers yet."
        columns={[
          { head: "Name", cell: ({ name }) => name },
          {
            head: "Template",
            cell: ({ template, publisher }) => (publisher ? `${template} of ${publisher}` : template),
          },
          {
            head: "Ports",
            cell: ({ ports }) =>
              ports.length === 0 ? (
                <span className="quiet">none published</span>
              ) : (
                ports.map(([port, at]) => `${port} ${at === "auto" ? "at a free port" : at}`).join(", ")
              ),
          },
          {
            head: "Domains",
            cell: ({ domains }) => domains.join(", ") || <span className="quiet">none</span>,
          },
        ]}
      />
      {of.document ? (
        <details className="typed">
          <summary>The same as document</summary>
          <pre tabIndex={0}>{of.document}</pre>
        </details>
      ) : null}
    </div>
  );
}

function Need({ name, needs, has }: { name: string; needs: number; has: number }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>
        <span className={needs > has ? "wrong" : undefined}>{binary(needs)}</span>{" "}
        <span className="quiet">of {binary(has)} that are free</span>
      </dd>
    </div>
  );
}

function Facts({ sheet }: { sheet: TemplateSheet }) {
  const { grade, data, homepage, licence, versions, summary, architectures, release } = sheet;
  // In these words NAME stands for the application, which most people call as the template.
  const named = (text: string) => text.replaceAll("NAME", summary.name);
  const notes = sheet.notes.map(named);
  const signIn = sheet.open?.sign_in ?? null;
  return (
    <Card title="About it">
      <dl className="facts" aria-label="Facts of the template">
        <div className="fact">
          <dt>Version</dt>
          <dd>
            {summary.version}
            {versions.length > 1 ? <span className="quiet"> of {versions.join(", ")}</span> : null}
          </dd>
        </div>
        {summary.catalogue === undefined ? null : (
          <div className="fact">
            <dt>Publisher</dt>
            <dd>
              {summary.publisher ?? "unknown"}, of the catalogue {summary.catalogue} that this machine's
              document names
            </dd>
          </div>
        )}
        {sheet.backup === undefined ? null : (
          <div className="fact">
            <dt>Backups</dt>
            <dd>
              proposed at <code>{sheet.backup.schedule}</code> (UTC); kept are {sheet.backup.keeps}
            </dd>
          </div>
        )}
        <div className="fact">
          <dt>Software</dt>
          <dd>
            <a href={homepage} target="_blank" rel="noreferrer">
              {homepage}
            </a>
            , {licence}
          </dd>
        </div>
        {release === null ? null : (
          <div className="fact">
            <dt>Made of</dt>
            <dd>packages of Debian {release}, put together on the machine</dd>
          </div>
        )}
        <div className="fact">
          <dt>Runs on</dt>
          <dd>{architectures.length === 0 ? "every architecture" : architectures.join(", ")}</dd>
        </div>
        <div className="fact">
          <dt>Keeps</dt>
          <dd>
            {data.length === 0 ? <span className="quiet">nothing</span> : null}
            {data.map(({ volume, holds }) => (
              <span key={volume} className="below">
                {volume}: <Marked text={holds} />
              </span>
            ))}
          </dd>
        </div>
        {signIn === null ? null : (
          <div className="fact">
            <dt>First sign-in</dt>
            <dd>
              <Marked text={named(signIn)} />
            </dd>
          </div>
        )}
        {notes.length > 0 ? (
          <div className="fact">
            <dt>Hints</dt>
            <dd>
              {notes.map((note) => (
                <span key={note} className="below">
                  <Marked text={note} />
                </span>
              ))}
            </dd>
          </div>
        ) : null}
        <div className="fact">
          <dt>Grade</dt>
          <dd>
            <Grade of={grade} />
          </dd>
        </div>
      </dl>
    </Card>
  );
}

const OUTCOMES: Record<"passed" | "failed" | "nothing", { tone: Tone; mark: string; title: string }> = {
  passed: { tone: "good", mark: "✓", title: "It worked" },
  failed: { tone: "bad", mark: "✕", title: "It did not work" },
  nothing: { tone: "plain", mark: "–", title: "There is nothing of it to try" },
};

function Grade({ of: grade }: { of: TemplateSheet["grade"] }) {
  if (grade === null) return <span className="quiet">no run of it is on record</span>;
  return (
    <>
      <span className="row">
        {Object.entries(grade.checks).map(([check, outcome]) => (
          <Badge key={check} tone={OUTCOMES[outcome].tone} title={OUTCOMES[outcome].title}>
            {OUTCOMES[outcome].mark} {check.replaceAll("_", " ")}
          </Badge>
        ))}
      </span>
      <span className="below quiet">
        version {grade.version} on {grade.day}, {grade.architecture}
      </span>
      {grade.failure === null ? null : <span className="below wrong">{grade.failure}</span>}
    </>
  );
}
