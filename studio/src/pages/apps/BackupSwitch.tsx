import { useId } from "react";
import type { TemplateBackups, TemplateOrder, TemplateSheet } from "../../api/xnode";
import { Marked } from "../../design";

/** Backups that a template proposes, with a switch. It is off where the machine has no place for them, which is said. */
export function BackupSwitch({
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
        {isOn && places.length > 0
          ? `To ${place}, at ${proposal.schedule} (UTC). Kept are ${proposal.keeps}. `
          : ""}
        {found?.lacks ? (
          <Marked text={`${found.lacks[0]?.toUpperCase() ?? ""}${found.lacks.slice(1)}.`} />
        ) : null}
      </span>
    </div>
  );
}
