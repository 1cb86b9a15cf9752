import { useState } from "react";
import { RequestError } from "../../../api/client";
import type { TemplateFault, TemplateOrder, TemplateSheet } from "../../../api/xnode";
import { useTemplate } from "../../../api/xnodeQueries";
import type { Box } from "../../../compose/boxes";
import { answersIn, placeOfBackups, type Answers, type Filled } from "../../../compose/changes";
import type { Action } from "../../../compose/model";
import { Empty } from "../../../design";
import { Live } from "../parts";
import { byOption, TemplateForm } from "../TemplateForm";
import { useOrdered, type Ordered } from "../useOrdered";
import { Word } from "./NewOptions";

interface Props {
  box: Box;
  text: string;
  applications: readonly { name: string }[];
  why: string | undefined;
  dispatch: (action: Action) => void;
}

/** The options of an application that is made of a template, as the document has them. */
export function Options({
  template,
  catalogue,
  version,
  ...props
}: Props & { template: string; catalogue: string; version: string }) {
  const found = useTemplate(template, version, catalogue);
  if (found.error instanceof RequestError && found.error.code === "no_template")
    return (
      <Empty>
        The store has no template {catalogue === "" ? "" : `${catalogue}/`}
        {template} {version}: its options are changed in the text.
      </Empty>
    );
  return (
    <Live of={found} what="the template">
      {(sheet) => {
        const filled = answersIn(props.text, props.box.name, sheet.fields);
        return (
          <Form
            // Other answers in the document are what one goes on from.
            key={`${props.box.name} ${JSON.stringify(filled.answers)}`}
            sheet={sheet}
            filled={filled}
            to={placeOfBackups(props.text, props.box.name)}
            {...props}
          />
        );
      }}
    </Live>
  );
}

function Form({
  sheet,
  filled: { fields, answers: before },
  to,
  box,
  applications,
  why,
  dispatch,
}: Props & { sheet: TemplateSheet; filled: Filled; to: string | null }) {
  const { name } = box;
  const [written, setWritten] = useState<Answers>(before);
  const isOther = fields.some((field) => (written[field.name] ?? "") !== (before[field.name] ?? ""));
  // What is brought with other answers is backed up as the application is: they belong together.
  const backup: TemplateOrder["backup"] = sheet.backup && {
    on: to !== null,
    ...(to === null ? {} : { to }),
  };
  const ordered = useOrdered(sheet, fields, name, written, { taken: [], backup, isOn: isOther });
  const { preflight, isFresh, fits, may } = ordered;
  const faults = isOther ? against(ordered, box) : [];
  const made = fits && isFresh && faults.length === 0 ? (preflight.data?.document ?? "") : "";
  const reason =
    may ??
    why ??
    (!isOther
      ? "Nothing is changed"
      : faults.length > 0
        ? "The machine has something against it"
        : undefined);
  return (
    <TemplateForm
      label={`Options of ${name}`}
      fields={fields}
      written={written}
      name={null}
      problems={{ ...byOption(faults), ...ordered.wrong }}
      told={faults}
      applications={applications}
      fits={fits}
      onName={() => undefined}
      onWrite={(field, text) => setWritten({ ...written, [field]: text })}
      onSend={() => {
        if (made === "" || reason !== undefined)
          dispatch({ kind: "say", words: reason ?? "The machine is being asked; try again in a moment." });
        else dispatch({ kind: "answers", change: { name, fields, before, after: written, made } });
      }}
    >
      {isOther ? <Word ordered={ordered} faults={faults} fields={fields.map((field) => field.name)} /> : null}
      <p className="row flat">
        <button type="submit" className="button" disabled={reason !== undefined} title={reason}>
          Change them in the document
        </button>
        {isOther ? (
          <button type="button" className="button" onClick={() => setWritten(before)}>
            Undo
          </button>
        ) : null}
      </p>
    </TemplateForm>
  );
}

/**
 * What the machine has against other answers. An application that it has already stands in its own way there (its name, its ports, its
 * memory); of such a one only what no application can be made of counts, and the plan says the rest.
 */
function against({ faults, preflight }: Ordered, box: Box): readonly TemplateFault[] {
  const isThere = box.mark !== "new";
  return isThere && (preflight.data?.document ?? "") !== "" ? [] : faults;
}
