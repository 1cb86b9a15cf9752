import { useRef, useState, type PointerEvent } from "react";
import type { TemplateSummary } from "../../../api/xnode";
import { useTemplates } from "../../../api/xnodeQueries";
import type { Place } from "../../../compose/layout";
import { Card, Empty } from "../../../design";
import { fullName, templatesOf } from "../../../lib/options";
import { Choice } from "../../parts";
import { Live } from "../parts";
import { GradeBadge, Icon, Publisher } from "../Store";

/** Way of the pointer from which on it drags, in pixels: a hand is never quite still. */
export const DRAG_MIN = 5;

interface Dragged {
  template: TemplateSummary;
  at: Place;
}

/** Templates that are dragged onto the canvas, or put there by a key or a click. */
export function Palette({
  why,
  onDrop,
  onPick,
}: {
  /** The reason for which nothing can be put there. */
  why: string | undefined;
  /** Dropped at a place of the page. */
  onDrop: ((template: TemplateSummary, at: Place) => void) | null;
  /** Picked, by a key or by a pointer. */
  onPick: (template: TemplateSummary, isKey: boolean) => void;
}) {
  const templates = useTemplates();
  const [text, setText] = useState("");
  const [category, setCategory] = useState("");
  const [dragged, setDragged] = useState<Dragged | null>(null);
  const categories = [...new Set(templates.data?.map((each) => each.category))].sort();
  return (
    <Card title="Templates" flush>
      <div className="filters">
        <label className="field grow">
          <span>Search</span>
          <input
            className="input"
            type="search"
            placeholder="Database, web…"
            value={text}
            onChange={(event) => setText(event.target.value)}
          />
        </label>
        <Choice name="Category" value={category} options={categories} onChange={setCategory} />
      </div>
      <p className="quiet hint pad flat" id="palette-help">
        {onDrop
          ? "Drag one onto the canvas. By keyboard: Enter takes it up, arrow keys move it, Enter puts it down."
          : "Choose one to give its options."}
      </p>
      <Live of={templates} what="templates">
        {(all) => (
          <Shelf
            shown={templatesOf(all, { text, category })}
            why={why}
            onDrop={onDrop}
            onDrag={setDragged}
            onPick={onPick}
          />
        )}
      </Live>
      {dragged ? (
        <div className="ghost" aria-hidden="true" style={{ left: dragged.at.x, top: dragged.at.y }}>
          {dragged.template.title}
        </div>
      ) : null}
    </Card>
  );
}

function Shelf({
  shown,
  why,
  onDrop,
  onDrag,
  onPick,
}: {
  shown: readonly TemplateSummary[];
  why: string | undefined;
  onDrop: ((template: TemplateSummary, at: Place) => void) | null;
  onDrag: (dragged: Dragged | null) => void;
  onPick: (template: TemplateSummary, isKey: boolean) => void;
}) {
  const begin = useRef<Place | null>(null);
  // A drag ends with a click at the place where it began, which is none.
  const wasDragged = useRef(false);
  if (shown.length === 0) return <Empty>No template matches these filters.</Empty>;
  const end = (event: PointerEvent, template: TemplateSummary, isDropped: boolean) => {
    if (begin.current && wasDragged.current && isDropped)
      onDrop?.(template, { x: event.clientX, y: event.clientY });
    begin.current = null;
    onDrag(null);
  };
  return (
    <ul className="palette" aria-label="Templates">
      {shown.map((template) => (
        <li key={fullName(template)}>
          <button
            type="button"
            className="pick"
            data-template={fullName(template)}
            aria-describedby="palette-help"
            disabled={why !== undefined}
            title={why ?? template.summary}
            onClick={(event) => {
              const isDrag = wasDragged.current && event.detail > 0;
              wasDragged.current = false;
              if (!isDrag) onPick(template, event.detail === 0);
            }}
            onPointerDown={(event) => {
              wasDragged.current = false;
              if (event.button !== 0 || !onDrop) return;
              begin.current = { x: event.clientX, y: event.clientY };
              event.currentTarget.setPointerCapture(event.pointerId);
            }}
            onPointerMove={(event) => {
              const at = { x: event.clientX, y: event.clientY };
              if (!begin.current) return;
              wasDragged.current ||= Math.hypot(at.x - begin.current.x, at.y - begin.current.y) >= DRAG_MIN;
              if (wasDragged.current) onDrag({ template, at });
            }}
            onPointerUp={(event) => end(event, template, true)}
            onPointerCancel={(event) => end(event, template, false)}
          >
            <Icon svg={template.icon} />
            <span>
              <strong>{template.title}</strong>
              <span className="quiet below">{template.category}</span>
            </span>
            <GradeBadge of={template} />
            <Publisher of={template} />
          </button>
        </li>
      ))}
    </ul>
  );
}
