import { useId } from "react";
import type { ActionField } from "../../api/types";
import { Badge, FieldNotes } from "../../design";
import { labelOf, listed } from "../../lib/fields";

/** What stands in an empty input, where a form alone does not say it. */
const PLACEHOLDERS: Partial<Record<ActionField["type"], string>> = {
  address: "0x…",
  amount: "0.0",
  hash: "64 hexadecimal digits",
  optional_text: "May be left empty",
};

/** The input of one field of an action, by the type that its declaration gives. */
export function ActionInput({
  field,
  written,
  wrong,
  onChange,
  onLeave,
}: {
  field: ActionField;
  written: string;
  /** What is wrong with it, once a person has been there. */
  wrong: string | undefined;
  onChange: (text: string) => void;
  onLeave: () => void;
}) {
  const id = useId();
  const described = [field.help ? `${id}-help` : "", wrong ? `${id}-wrong` : ""].filter(Boolean).join(" ");
  const shared = {
    id,
    value: written,
    "aria-invalid": wrong !== undefined,
    ...(described ? { "aria-describedby": described } : {}),
    onBlur: onLeave,
  };
  return (
    <div className="field">
      <label htmlFor={id}>{labelOf(field)}</label>
      {field.type === "choice" ? (
        <select {...shared} className="input" onChange={(event) => onChange(event.target.value)}>
          <option value="">Choose…</option>
          {field.choices.map((each) => (
            <option key={each}>{each}</option>
          ))}
        </select>
      ) : field.type === "texts" ? (
        <>
          <textarea
            {...shared}
            className="input mono"
            rows={3}
            spellCheck={false}
            placeholder="One on each line, or with commas between"
            onChange={(event) => onChange(event.target.value)}
          />
          <Listed written={written} onSort={onChange} />
        </>
      ) : (
        <input
          {...shared}
          className={["address", "hash"].includes(field.type) ? "input mono" : "input"}
          inputMode={field.type === "amount" ? "decimal" : field.type === "uint" ? "numeric" : undefined}
          placeholder={PLACEHOLDERS[field.type]}
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => onChange(event.target.value)}
        />
      )}
      <FieldNotes id={id} help={field.help} wrong={wrong} />
    </div>
  );
}

/** The list as it will be sent; the ledger wants many of its lists in order, which nobody should have to do by hand. */
function Listed({ written, onSort }: { written: string; onSort: (text: string) => void }) {
  const texts = listed(written);
  // By bytes, as the ledger compares; every text that it takes is ASCII.
  const sorted = [...new Set(texts)].sort();
  if (texts.length === 0) return <span className="help">The list is empty.</span>;
  return (
    <span className="chips">
      {texts.map((text, at) => (
        <Badge key={`${at} ${text}`}>{text}</Badge>
      ))}
      {sorted.join() === texts.join() ? null : (
        <button type="button" className="button small" onClick={() => onSort(sorted.join("\n"))}>
          Put in order
        </button>
      )}
    </span>
  );
}
