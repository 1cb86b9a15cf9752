import { useState, type ReactNode } from "react";
import type { TemplateFault, TemplateField } from "../../api/xnode";
import { TemplateInput } from "./TemplateInput";

/**
 * The form of a template. What few people need comes last; what is wrong stands at its field once somebody was there, or once the
 * machine has said it.
 */
export function TemplateForm({
  label = "Settings",
  fields,
  written,
  name,
  problems,
  told,
  applications,
  fits,
  onName,
  onWrite,
  onSend,
  children,
}: {
  label?: string;
  fields: readonly TemplateField[];
  written: Readonly<Record<string, string>>;
  /** The application's own name; `null` where it has one already. */
  name: string | null;
  /** What is wrong, by the field's name. */
  problems: Readonly<Record<string, string>>;
  /** What the machine has against it. */
  told: readonly TemplateFault[];
  /** Applications that a field may name. */
  applications: readonly { name: string }[];
  fits: boolean;
  onName: (text: string) => void;
  onWrite: (field: string, text: string) => void;
  onSend: () => void;
  /** What stands below the fields. */
  children: ReactNode;
}) {
  const [visited, setVisited] = useState<ReadonlySet<string>>(new Set());
  const visit = (...names: string[]) => setVisited((before) => new Set([...before, ...names]));
  const shownOf = (field: string) =>
    visited.has(field) || told.some(({ option }) => option === field) ? problems[field] : undefined;
  const usual = fields.filter(({ advanced }) => !advanced);
  const advanced = fields.filter((field) => field.advanced);
  const input = (field: TemplateField) => (
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
      aria-label={label}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        const form = event.currentTarget;
        visit("name", ...fields.map((field) => field.name));
        if (fits) onSend();
        else
          // The first field that is wrong is where a person goes on.
          requestAnimationFrame(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
      }}
    >
      {name === null ? null : (
        <TemplateInput
          field={NAME_FIELD}
          written={name}
          // A name is known to be taken as soon as it is: it is not only looked at when it is left.
          wrong={problems["name"]}
          applications={applications}
          onChange={onName}
          onLeave={() => visit("name")}
        />
      )}
      {usual.map(input)}
      {advanced.length > 0 ? (
        <details open={advanced.some((field) => shownOf(field.name) !== undefined) || undefined}>
          <summary>What few people need</summary>
          <div className="stack" style={{ paddingTop: 12 }}>
            {advanced.map(input)}
          </div>
        </details>
      ) : null}
      {children}
    </form>
  );
}

/** What is wrong by the field that would change it. */
export const byOption = (faults: readonly TemplateFault[]): Record<string, string> =>
  Object.fromEntries(faults.flatMap(({ option, message }) => (option === null ? [] : [[option, message]])));

/** The application's own name, as a field beside those of the template. */
const NAME_FIELD: TemplateField = {
  name: "name",
  kind: "text",
  title: "Name",
  help: "Others reach it by this name, and its data belong to it.",
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
