import { useId, type ReactNode } from "react";
import { Link } from "react-router";
import type { TemplateField } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useSecrets } from "../../api/xnodeQueries";
import { FieldNotes } from "../../design";

/** The input of one field of a template, by the kind that its description gives. */
export function TemplateInput({
  field,
  written,
  wrong,
  applications,
  onChange,
  onLeave,
}: {
  field: TemplateField;
  written: string;
  /** What is wrong with it, once a person has been there. */
  wrong: string | undefined;
  applications: readonly { name: string }[];
  onChange: (text: string) => void;
  onLeave: () => void;
}) {
  const id = useId();
  const described = [field.help ? `${id}-help` : "", wrong ? `${id}-wrong` : ""].filter(Boolean).join(" ");
  const shared = {
    id,
    "aria-invalid": wrong !== undefined,
    ...(described ? { "aria-describedby": described } : {}),
    onBlur: onLeave,
  };
  return (
    <div className="field">
      <label htmlFor={id}>{field.unit ? `${field.title} in ${field.unit}` : field.title}</label>
      {field.kind === "boolean" ? (
        <input
          {...shared}
          type="checkbox"
          checked={written === "true"}
          style={{ alignSelf: "flex-start" }}
          onChange={(event) => onChange(String(event.target.checked))}
        />
      ) : field.kind === "choice" ? (
        <Select shared={shared} written={written} onChange={onChange}>
          {field.default === null ? <option value="">Choose…</option> : null}
          {field.choices.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </Select>
      ) : field.kind === "application" ? (
        <Select shared={shared} written={written} onChange={onChange}>
          <option value="">
            {field.makes === null ? "Choose…" : `A new one, of the template ${field.makes}`}
          </option>
          {applications.map(({ name }) => (
            <option key={name}>{name}</option>
          ))}
        </Select>
      ) : field.kind === "secret" ? (
        <SecretSelect field={field} shared={shared} written={written} onChange={onChange} />
      ) : (
        <input
          {...shared}
          className={["port", "domain", "size", "number"].includes(field.kind) ? "input mono" : "input"}
          value={written}
          inputMode={field.kind === "number" ? "numeric" : undefined}
          placeholder={PLACEHOLDERS[field.kind]}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      <FieldNotes id={id} help={field.help} wrong={wrong} />
    </div>
  );
}

const PLACEHOLDERS: Record<string, string | undefined> = {
  port: "auto",
  size: "512MiB",
  domain: "shop.example.org",
};

interface Shared {
  id: string;
  "aria-invalid": boolean;
  "aria-describedby"?: string | undefined;
  onBlur: () => void;
}

function Select({
  shared,
  written,
  onChange,
  children,
}: {
  shared: Shared;
  written: string;
  onChange: (text: string) => void;
  children: ReactNode;
}) {
  return (
    <select {...shared} className="input" value={written} onChange={(event) => onChange(event.target.value)}>
      {children}
    </select>
  );
}

/** A secret that is there, or one that the machine makes and shows to nobody. */
function SecretSelect({
  field,
  shared,
  written,
  onChange,
}: {
  field: TemplateField;
  shared: Shared;
  written: string;
  onChange: (text: string) => void;
}) {
  const may = useMay("operator");
  const { data: secrets = [] } = useSecrets(may === undefined);
  return (
    <>
      <Select shared={shared} written={written} onChange={onChange}>
        <option value="">
          {field.generated === null
            ? "Choose…"
            : `Made by the machine, ${field.generated} letters and digits`}
        </option>
        {secrets.map(({ name }) => (
          <option key={name} value={`secret:${name}`}>
            {name}
          </option>
        ))}
      </Select>
      <span className="help">
        One of your own is set among the <Link to="/node/secrets">secrets of the node</Link>.
      </span>
    </>
  );
}
