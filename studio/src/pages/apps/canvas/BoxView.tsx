import { boxWords, factsOf, MARK_WORDS, originWords, type Box } from "../../../compose/boxes";
import { BOX, type Place } from "../../../compose/layout";
import { Badge } from "../../../design";
import { StateBadge } from "../parts";

/** An application on the canvas: its name, what it is, and what became of it, in words and signs. */
export function BoxView({
  box,
  at,
  isSelected,
  isStop,
  onOpen,
  onLink,
}: {
  box: Box;
  at: Place;
  isSelected: boolean;
  /** It is where the Tab key stops. */
  isStop: boolean;
  /** Chosen; by a key, its settings are gone to. */
  onOpen: (isKey: boolean) => void;
  /** Its links are asked for. */
  onLink: () => void;
}) {
  const { name, draft } = box;
  return (
    <div
      className={["box", draft ? "draft" : "", isSelected ? "chosen-box" : ""].filter(Boolean).join(" ")}
      style={{ left: at.x, top: at.y, width: BOX.width, height: BOX.height }}
    >
      <button
        type="button"
        className="box-body"
        data-box={name}
        tabIndex={isStop ? 0 : -1}
        aria-pressed={isSelected}
        aria-label={boxWords(box)}
        onClick={(event) => onOpen(event.detail === 0)}
      >
        <strong>{name}</strong>
        <span className="quiet">{originWords(box)}</span>
        <Signs box={box} />
      </button>
      <button
        type="button"
        className="handle"
        data-handle={name}
        tabIndex={isStop ? 0 : -1}
        disabled={draft !== null}
        aria-label={`Link ${name} to…`}
        title={
          draft
            ? "It is in no document yet: give its options first"
            : `Drag it to an application that ${name} is to reach, or press L`
        }
        onClick={onLink}
      >
        <span aria-hidden="true">→</span>
      </button>
    </div>
  );
}

/** Badges of a box: each is a word or a sign, and colours only help. */
export function Signs({ box }: { box: Box }) {
  const { draft, application, mark, problems } = box;
  return (
    <span className="signs">
      {problems.length > 0 ? (
        <Badge tone={draft ? "warn" : "bad"} title={problems.join(" ")}>
          ✕ {problems.length === 1 ? "1 problem" : `${problems.length} problems`}
        </Badge>
      ) : null}
      {MARK_WORDS[mark] ? <Badge tone="warn">{MARK_WORDS[mark]}</Badge> : null}
      {application ? <StateBadge state={application.state} /> : null}
      {factsOf(box).map((fact) => (
        <Badge key={fact}>{fact}</Badge>
      ))}
    </span>
  );
}
