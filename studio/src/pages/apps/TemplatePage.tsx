import { useId, useState, type ReactNode } from "react";
import { Link, useParams } from "react-router";
import { RequestError } from "../../api/client";
import type {
  Application,
  TemplateBackups,
  TemplateFault,
  TemplateOrder,
  TemplatePreflight,
  TemplateSheet,
} from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useApplications, usePreflight, useTemplate } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Marked, Notice, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { forgetDrafts, useDraft } from "../../lib/draft";
import { answersOf, freeName, NAME, NAME_WORDS, wrongAnswers } from "../../lib/options";
import { binary } from "../../lib/quantity";
import { useSettled } from "../../lib/settled";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Failure } from "../parts";
import { Decide, Planning, useChange, type ChangeFlow } from "./change";
import { Live, Refused } from "./parts";
import { GradeBadge, Icon, Publisher } from "./Store";
import { TemplateInput } from "./TemplateInput";

/** Pause after the last letter until the machine is asked whether it has room. */
const SETTLE_MS = 400;

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
  const wrong = wrongAnswers(sheet.fields, written);
  const nameWrong = !NAME.test(name)
    ? `A name has ${NAME_WORDS}.`
    : taken.includes(name)
      ? "An application has this name already."
      : null;
  const order: TemplateOrder = {
    name,
    ...(catalogue === undefined ? {} : { catalogue }),
    version: sheet.summary.version,
    answers: answersOf(sheet.fields, written),
    ...(backup === undefined ? {} : { backup }),
  };
  const fits = Object.keys(wrong).length === 0 && nameWrong === null;
  const asked = JSON.stringify(order);
  const settled = useSettled(asked, SETTLE_MS);
  const may = useMay("operator");
  const preflight = usePreflight(template, JSON.parse(settled) as TemplateOrder, fits && may === undefined);
  const isFresh = settled === asked && !preflight.isPlaceholderData;
  const faults = fits && isFresh ? (preflight.data?.problems ?? []) : [];
  const write = (field: string, text: string) => {
    flow.reset();
    setWritten({ ...written, [field]: text });
  };
  if (flow.planned)
    return <Decide flow={flow} planned={flow.planned} verb="Deploy" onDone={() => forgetDrafts(...drafts)} />;
  return (
    <div className="halves">
      <Card title="Settings">
        <Inputs
          sheet={sheet}
          written={written}
          name={name}
          problems={{ ...wrong, ...byOption(faults), ...(nameWrong ? { name: nameWrong } : {}) }}
          applications={applications}
          onName={(text) => {
            flow.reset();
            setName(text);
          }}
          onWrite={write}
          onPlan={() => {
            if (fits && faults.length === 0) flow.plan({ change: { kind: "order", template, order } });
          }}
          flow={flow}
          faults={faults}
          fits={fits}
          may={may}
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
        </Inputs>
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

/** What is wrong by the field that would change it. */
const byOption = (faults: readonly TemplateFault[]): Record<string, string> =>
  Object.fromEntries(faults.flatMap(({ option, message }) => (option === null ? [] : [[option, message]])));

function Inputs({
  sheet,
  written,
  name,
  problems,
  applications,
  onName,
  onWrite,
  onPlan,
  flow,
  faults,
  fits,
  may,
  children,
}: {
  sheet: TemplateSheet;
  written: Readonly<Record<string, string>>;
  name: string;
  problems: Record<string, string>;
  applications: Application[];
  onName: (text: string) => void;
  onWrite: (field: string, text: string) => void;
  onPlan: () => void;
  flow: ChangeFlow;
  faults: readonly TemplateFault[];
  fits: boolean;
  /** Why the person may not deploy. */
  may: string | undefined;
  /** What stands between the fields and the button. */
  children: ReactNode;
}) {
  const [visited, setVisited] = useState<ReadonlySet<string>>(new Set());
  const visit = (...names: string[]) => setVisited((before) => new Set([...before, ...names]));
  const shownOf = (field: string) =>
    visited.has(field) || faults.some(({ option }) => option === field) ? problems[field] : undefined;
  const usual = sheet.fields.filter(({ advanced }) => !advanced);
  const advanced = sheet.fields.filter((field) => field.advanced);
  const input = (field: TemplateSheet["fields"][number]) => (
    <TemplateInput
      key={field.name}
      field={field}
      written={written[field.name] ?? ""}
      wrong={shownOf(field.name)}
      applications={applications}
      onChange={(text) => onWrite(field.name, text)}
      onLeave={() => visit(field.name)}
    />
  );
  return (
    <form
      className="stack narrow"
      aria-label="Settings"
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        visit("name", ...sheet.fields.map((field) => field.name));
        if (fits) onPlan();
        else
          // The first field that is wrong is where a person goes on.
          requestAnimationFrame(() =>
            document.querySelector<HTMLElement>('main [aria-invalid="true"]')?.focus(),
          );
      }}
    >
      <TemplateInput
        field={{
          ...NAME_FIELD,
          help: "Others reach it by this name, and its data belong to it.",
        }}
        written={name}
        // A name is known to be taken as soon as it is: it is not only looked at when it is left.
        wrong={problems["name"]}
        applications={applications}
        onChange={onName}
        onLeave={() => visit("name")}
      />
      {usual.map(input)}
      {advanced.length > 0 ? (
        <details open={advanced.some(({ name }) => shownOf(name) !== undefined) || undefined}>
          <summary>What few people need</summary>
          <div className="stack" style={{ paddingTop: 12 }}>
            {advanced.map(input)}
          </div>
        </details>
      ) : null}
      {children}
      <Planning flow={flow} />
      {flow.refused ? <Refused error={flow.refused} /> : null}
      <p className="row flat">
        <button
          type="submit"
          className="button primary"
          disabled={flow.isPlanning || faults.length > 0 || may !== undefined}
          title={may ?? (faults.length > 0 ? "The machine has something against it: see beside" : undefined)}
        >
          {flow.isPlanning ? "Planning…" : "Show the plan"}
        </button>
      </p>
    </form>
  );
}

/** Backups that the template proposes, with a switch. It is off where the machine has no place for them, which is said. */
function BackupSwitch({
  proposal,
  found,
  wish,
  onWish,
}: {
  proposal: NonNullable<TemplateSheet["backup"]>;
  /** What the machine says; none before it was asked. */
  found: TemplateBackups | undefined;
  wish: TemplateOrder["backup"];
  onWish: (wish: NonNullable<TemplateOrder["backup"]>) => void;
}) {
  const id = useId();
  const places = found?.places ?? [];
  const isOn = wish?.on ?? (found !== undefined && found.to !== null);
  const place = wish?.to ?? found?.to ?? places[0] ?? "";
  return (
    <div className="field">
      <label htmlFor={id}>Backups</label>
      <input
        id={id}
        type="checkbox"
        aria-describedby={`${id}-help`}
        checked={isOn && places.length > 0}
        disabled={places.length === 0}
        style={{ alignSelf: "flex-start" }}
        onChange={(event) => onWish({ on: event.target.checked, ...(place === "" ? {} : { to: place }) })}
      />
      {isOn && places.length > 1 ? (
        <select
          className="input"
          aria-label="Place of backups"
          value={place}
          onChange={(event) => onWish({ on: true, to: event.target.value })}
        >
          {places.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      ) : null}
      <span id={`${id}-help`} className="help">
        {isOn && places.length > 0 ? `To ${place}, at ${proposal.schedule} (UTC). Kept are ${proposal.keeps}. ` : ""}
        {found?.lacks ? <Marked text={`${found.lacks[0]?.toUpperCase() ?? ""}${found.lacks.slice(1)}.`} /> : null}
      </span>
    </div>
  );
}

/** The application's own name, as a field beside those of the template. */
const NAME_FIELD: TemplateSheet["fields"][number] = {
  name: "name",
  kind: "text",
  title: "Name",
  help: null,
  default: null,
  choices: [],
  least: null,
  greatest: null,
  unit: null,
  pattern: null,
  pattern_words: null,
  advanced: false,
  required: true,
  generated: null,
  makes: null,
};

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
              {summary.publisher ?? "unknown"}, of the catalogue {summary.catalogue} that this machine's document names
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
