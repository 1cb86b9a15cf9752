import { useEffect, useState } from "react";
import type { TemplateFault, TemplateOrder, TemplateSheet } from "../../../api/xnode";
import { useTemplate } from "../../../api/xnodeQueries";
import type { AppNode } from "../../../compose/graph";
import type { Action, Draft } from "../../../compose/model";
import { Marked, Notice } from "../../../design";
import { forgetDrafts, useDraft } from "../../../lib/draft";
import { Failure } from "../../parts";
import { BackupSwitch } from "../BackupSwitch";
import { Live } from "../parts";
import { Publisher } from "../Store";
import { byOption, TemplateForm } from "../TemplateForm";
import { useOrdered, type Ordered } from "../useOrdered";
import { INSPECTOR } from "./ids";

interface Props {
  draft: Draft;
  /** Other names on the canvas. */
  names: readonly string[];
  /** Applications of the document, which a field may name. */
  applications: readonly AppNode[];
  /** The reason for which the document cannot be changed here. */
  why: string | undefined;
  dispatch: (action: Action) => void;
  onAdded: (name: string) => void;
}

/** The options of a template that was put on the canvas: with them it becomes an application of the document. */
export function NewOptions(props: Props) {
  const template = useTemplate(props.draft.template, "", props.draft.catalogue ?? "");
  return (
    <Live of={template} what="the template">
      {(sheet) => <NewForm key={sheet.summary.version} sheet={sheet} {...props} />}
    </Live>
  );
}

function NewForm({
  sheet,
  draft,
  names,
  applications,
  why,
  dispatch,
  onAdded,
}: Props & { sheet: TemplateSheet }) {
  const own = `${draft.catalogue ?? ""}/${draft.name}`;
  const drafts = [`canvas name of ${own}`, `canvas answers of ${own}`] as const;
  const [name, setName] = useDraft(drafts[0], () => draft.name);
  const [written, setWritten] = useDraft<Readonly<Record<string, string>>>(drafts[1], () =>
    Object.fromEntries(sheet.fields.map((field) => [field.name, field.default ?? ""])),
  );
  const [backup, setBackup] = useState<TemplateOrder["backup"]>(undefined);
  const ordered = useOrdered(sheet, sheet.fields, name, written, { taken: names, backup });
  const { preflight, isFresh, fits, may } = ordered;
  const faults = [...ordered.faults, ...meetings(ordered, names), ...shared(ordered, applications)];
  const made = fits && isFresh && faults.length === 0 ? (preflight.data?.document ?? "") : "";
  useEffect(() => {
    // The form came after whoever put the template there had been led to it.
    const place = document.getElementById(INSPECTOR);
    if (document.activeElement === place) place?.querySelector<HTMLElement>("form input")?.focus();
  }, []);
  const against = may ?? why ?? (faults.length > 0 ? "The machine has something against it" : undefined);
  return (
    <TemplateForm
      label={`Options of ${draft.name}`}
      fields={sheet.fields}
      written={written}
      name={name}
      problems={{ ...byOption(faults), ...ordered.wrong }}
      told={faults}
      applications={applications}
      fits={fits}
      onName={setName}
      onWrite={(field, text) => setWritten({ ...written, [field]: text })}
      onSend={() => {
        if (made === "" || against !== undefined) {
          dispatch({ kind: "say", words: against ?? "The machine is being asked; try again in a moment." });
          return;
        }
        forgetDrafts(...drafts);
        dispatch({ kind: "add", draft: draft.name, name, document: made });
        onAdded(name);
      }}
    >
      {sheet.backup ? (
        <BackupSwitch
          proposal={sheet.backup}
          found={preflight.data?.backups}
          wish={backup}
          onWish={setBackup}
        />
      ) : null}
      <Word ordered={ordered} faults={faults} fields={sheet.fields.map((field) => field.name)} />
      <p className="row flat">
        <Publisher of={sheet.summary} />
        <button type="submit" className="button primary" disabled={against !== undefined} title={against}>
          Put it into the document
        </button>
      </p>
    </TemplateForm>
  );
}

/** Applications that would be made with it, and whose names somebody on the canvas has. */
function meetings({ order, preflight, isFresh, fits }: Ordered, names: readonly string[]): TemplateFault[] {
  if (!isFresh || !fits) return [];
  const made = (preflight.data?.applications ?? []).map(({ name }) => name);
  return made
    .filter((name) => name !== order.name && names.includes(name))
    .map((name) => ({ option: null, message: `\`${name}\` would be made with it, and is there already` }));
}

/**
 * Secrets that would be made for it, and that an application of the document names. Where one of the two is of another publisher it
 * would have the other's secret, which nobody has given it.
 */
function shared(
  { order, preflight, isFresh, fits }: Ordered,
  applications: readonly AppNode[],
): TemplateFault[] {
  if (!isFresh || !fits) return [];
  const made = new Set(preflight.data?.secrets);
  return applications
    .filter(({ origins }) => order.catalogue !== undefined || origins.some((each) => each.catalogue !== null))
    .flatMap(({ name, secrets }) =>
      secrets
        .filter((secret) => made.has(secret.name))
        .map((secret) => ({
          option: "name",
          message: `its secret \`${secret.name}\` would be the one that ${name} names; take another name for the application`,
        })),
    );
}

/** What the machine says of the options, before they are in the document. */
export function Word({
  ordered: { order, preflight, isFresh, fits, may },
  faults,
  fields,
}: {
  ordered: Ordered;
  faults: readonly TemplateFault[];
  /** Names of the fields, which say their own faults. */
  fields: readonly string[];
}) {
  if (may !== undefined) return <p className="quiet flat">{may}.</p>;
  if (!fits) return null;
  if (preflight.error && !preflight.data)
    return <Failure error={preflight.error} what="the answer of the machine" />;
  if (!isFresh || !preflight.data)
    return (
      <p role="status" className="quiet flat">
        Asking the machine…
      </p>
    );
  const general = faults.filter(({ option }) => option === null || ![...fields, "name"].includes(option));
  const made = preflight.data.applications.map(({ name }) => name);
  const others = made.filter((name) => name !== order.name);
  if (faults.length > 0)
    return (
      <Notice tone="bad" title="It cannot be deployed so">
        {general.map(({ option, message }) => (
          <span key={`${option ?? ""} ${message}`} className="below">
            {option === null ? "" : `${option}: `}
            <Marked text={message} />
          </span>
        ))}
      </Notice>
    );
  return (
    <p role="status" className="quiet flat">
      The machine has room for it.
      {others.length > 0 ? ` It brings ${others.join(", ")}.` : ""}
      {preflight.data.secrets.length > 0
        ? ` Made on the machine, and shown to nobody: ${preflight.data.secrets.join(", ")}.`
        : ""}
    </p>
  );
}
