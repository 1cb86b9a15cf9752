import { useEffect, useState, type KeyboardEvent, type PointerEvent, type RefObject } from "react";
import type { TemplateSummary } from "../../../api/xnode";
import type { Box } from "../../../compose/boxes";
import type { Edge } from "../../../compose/graph";
import {
  BOX,
  boxAt,
  GRID,
  into,
  linePath,
  neighbour,
  outOf,
  type Direction,
  type Place,
} from "../../../compose/layout";
import type { Action } from "../../../compose/model";
import { fit, showing, toCanvas, ZOOM_STEP, zoomed, type Size, type View } from "../../../compose/view";
import { BoxView } from "./BoxView";
import { DRAG_MIN } from "./Palette";

/** A template that is taken up by key, until it is put down. */
export interface Taken {
  template: TemplateSummary;
  at: Place;
}

/** What a pointer does between its going down and up; `begin` is its place on the screen, from the canvas' corner. */
type Gesture = { begin: Place; isMoved: boolean } & (
  | { kind: "pan"; view: View }
  | { kind: "move"; name: string; from: Place; to: Place }
  | { kind: "link"; name: string; to: Place }
);

/** Factor of one turn of the wheel. */
const WHEEL_STEP = 1.1;
const ARROWS: Record<string, Direction | undefined> = {
  ArrowLeft: "left",
  ArrowRight: "right",
  ArrowUp: "up",
  ArrowDown: "down",
};
const STEPS: Record<Direction, Place> = {
  left: { x: -GRID, y: 0 },
  right: { x: GRID, y: 0 },
  up: { x: 0, y: -GRID },
  down: { x: 0, y: GRID },
};
const added = (a: Place, b: Place, times = 1): Place => ({ x: a.x + b.x * times, y: a.y + b.y * times });

interface BoardProps {
  board: RefObject<HTMLDivElement | null>;
  boxes: readonly Box[];
  edges: readonly Edge[];
  selected: string | null;
  view: View;
  size: Size;
  taken: Taken | null;
  onView: (view: View) => void;
  onSize: (size: Size) => void;
  onTaken: (taken: Taken | null, isPut: boolean) => void;
  onOpen: (name: string) => void;
  onLink: (name: string) => void;
  onCopy: (name: string) => void;
  dispatch: (action: Action) => void;
}

/** The canvas: boxes and their links, by pointer and by keyboard. */
export function Board(props: BoardProps) {
  const { board, boxes, edges, selected, view, size, taken, onView, onSize, dispatch } = props;
  const [gesture, setGesture] = useState<Gesture | null>(null);
  const [stop, setStop] = useState<string | null>(null);
  useSize(board, onSize);
  useWheel(board, view, onView);
  const moving = gesture?.kind === "move" && gesture.isMoved ? gesture : null;
  const places = Object.fromEntries(
    boxes.map(({ name, at }) => [name, moving?.name === name ? moving.to : at]),
  );
  const stopAt = boxes.some(({ name }) => name === stop) ? stop : (selected ?? boxes[0]?.name ?? null);
  const focus = (name: string | null) => {
    const found = name === null ? null : board.current?.querySelector<HTMLElement>(selectorOf(name));
    (found ?? board.current)?.focus({ preventScroll: true });
  };
  const pointer = pointersOf({ ...props, places, gesture, setGesture });
  return (
    <div
      ref={board}
      className={gesture?.isMoved ? "board grabbed" : "board"}
      role="group"
      aria-label="Canvas"
      aria-describedby="canvas-help"
      tabIndex={-1}
      {...pointer}
      onKeyDown={(event) => onKey(event, props, places, focus)}
      onFocus={(event) => {
        const name = nameOf(event.target);
        const at = name === null ? undefined : places[name];
        if (name === null || !at) return;
        setStop(name);
        // By a pointer it is seen already, and what lies below the pointer stays there.
        if (event.target.matches(":focus-visible")) onView(showing(view, at, size));
      }}
    >
      <div
        className="layer"
        style={{ transform: `translate(${view.x}px, ${view.y}px) scale(${view.scale})` }}
      >
        <Lines
          edges={edges}
          places={places}
          drawn={gesture?.kind === "link" && gesture.isMoved ? gesture : null}
        />
        {boxes.map((box) => (
          <BoxView
            key={box.name}
            box={box}
            at={places[box.name] ?? box.at}
            isSelected={box.name === selected}
            isStop={box.name === stopAt}
            onOpen={(isKey) => {
              dispatch({ kind: "select", name: box.name });
              if (isKey) props.onOpen(box.name);
            }}
            onLink={() => props.onLink(box.name)}
          />
        ))}
        {taken ? <TakenUp taken={taken} onTaken={props.onTaken} /> : null}
      </div>
      {boxes.length === 0 && !taken ? (
        <p className="quiet empty-board">Nothing is here yet. Drag a template to this place.</p>
      ) : null}
    </div>
  );
}

const selectorOf = (name: string): string => `[data-box="${CSS.escape(name)}"]`;

/** The box in which an element is; `null` outside of all. */
const nameOf = (target: EventTarget): string | null =>
  target instanceof HTMLElement ? (target.dataset["box"] ?? target.dataset["handle"] ?? null) : null;

/** Follows the size of an element. */
function useSize(element: RefObject<HTMLElement | null>, onSize: (size: Size) => void): void {
  useEffect(() => {
    const found = element.current;
    if (!found) return;
    const observer = new ResizeObserver(() =>
      onSize({ width: found.clientWidth, height: found.clientHeight }),
    );
    observer.observe(found);
    return () => observer.disconnect();
  }, [element, onSize]);
}

/** The wheel enlarges where a key is held with it; else it is the page's, which scrolls. */
function useWheel(element: RefObject<HTMLElement | null>, view: View, onView: (view: View) => void): void {
  useEffect(() => {
    const found = element.current;
    if (!found) return;
    const turn = (event: WheelEvent) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const { left, top } = found.getBoundingClientRect();
      const factor = event.deltaY < 0 ? WHEEL_STEP : 1 / WHEEL_STEP;
      onView(zoomed(view, factor, { x: event.clientX - left, y: event.clientY - top }));
    };
    found.addEventListener("wheel", turn, { passive: false });
    return () => found.removeEventListener("wheel", turn);
  }, [element, view, onView]);
}

/** Handlers of a pointer: it moves a box, draws a link, or shifts what is seen. */
function pointersOf({
  view,
  places,
  gesture,
  setGesture,
  onView,
  dispatch,
}: BoardProps & {
  places: Record<string, Place>;
  gesture: Gesture | null;
  setGesture: (gesture: Gesture | null) => void;
}) {
  const pointOf = (event: PointerEvent<HTMLDivElement>): Place => {
    const { left, top } = event.currentTarget.getBoundingClientRect();
    return { x: event.clientX - left, y: event.clientY - top };
  };
  return {
    onPointerDown: (event: PointerEvent<HTMLDivElement>) => {
      const { target } = event;
      if (event.button !== 0 || !(target instanceof Element)) return;
      const begin = pointOf(event);
      const handle = target.closest<HTMLElement>("[data-handle]")?.dataset["handle"];
      const box = target.closest<HTMLElement>("[data-box]")?.dataset["box"];
      const from = places[handle ?? box ?? ""];
      // From here on the view is a person's: it does not follow what is added.
      onView(view);
      if (!from) return setGesture({ kind: "pan", begin, view, isMoved: false });
      if (handle !== undefined)
        return setGesture({ kind: "link", name: handle, begin, to: outOf(from), isMoved: false });
      if (box !== undefined) setGesture({ kind: "move", name: box, begin, from, to: from, isMoved: false });
    },
    onPointerMove: (event: PointerEvent<HTMLDivElement>) => {
      if (!gesture) return;
      // It went up beside the canvas, before it had moved.
      if (event.buttons === 0) return setGesture(null);
      const moved = movedTo(gesture, pointOf(event), view);
      if (!moved.isMoved) return;
      event.currentTarget.setPointerCapture(event.pointerId);
      if (moved.kind === "pan") onView(moved.view);
      setGesture(moved.kind === "pan" ? { ...gesture, isMoved: true } : moved);
    },
    onPointerUp: (event: PointerEvent<HTMLDivElement>) => {
      setGesture(null);
      // Where it went up, whether or not its last way was drawn.
      const last = gesture ? movedTo(gesture, pointOf(event), view) : null;
      if (!last?.isMoved) return;
      if (last.kind === "move") dispatch({ kind: "move", name: last.name, to: last.to });
      if (last.kind !== "link") return;
      const to = boxAt(places, last.to);
      if (to === null) dispatch({ kind: "say", words: "There is no application: nothing was linked." });
      else dispatch({ kind: "link", from: last.name, to });
    },
    onPointerCancel: () => setGesture(null),
  };
}

/** A gesture whose pointer is at a place of the screen: a box, the end of a link, or all of the view is somewhere else. */
function movedTo(gesture: Gesture, at: Place, view: View): Gesture {
  const way = { x: at.x - gesture.begin.x, y: at.y - gesture.begin.y };
  const isMoved = gesture.isMoved || Math.hypot(way.x, way.y) >= DRAG_MIN;
  switch (gesture.kind) {
    case "pan":
      return { ...gesture, isMoved, view: { ...gesture.view, ...added(gesture.view, way) } };
    case "move":
      return {
        ...gesture,
        isMoved,
        to: added(gesture.from, { x: way.x / view.scale, y: way.y / view.scale }),
      };
    case "link":
      return { ...gesture, isMoved, to: toCanvas(view, at) };
  }
}

/** Keys on the canvas: each does what a pointer can do too. */
function onKey(
  event: KeyboardEvent<HTMLDivElement>,
  { boxes, view, size, onView, onLink, onCopy, dispatch }: BoardProps,
  places: Record<string, Place>,
  focus: (name: string | null) => void,
): void {
  const middle = { x: size.width / 2, y: size.height / 2 };
  const name = nameOf(event.target);
  const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
  const direction = ARROWS[event.key];
  const does = (act: () => void) => {
    event.preventDefault();
    act();
  };
  if (isPlain && "+=".includes(event.key)) return does(() => onView(zoomed(view, ZOOM_STEP, middle)));
  if (isPlain && event.key === "-") return does(() => onView(zoomed(view, 1 / ZOOM_STEP, middle)));
  if (isPlain && event.key === "0") return does(() => onView(fit(places, size)));
  const at = name === null ? undefined : places[name];
  if (name === null || !at) return;
  if (direction && isPlain && event.shiftKey)
    return does(() => {
      const to = added(at, STEPS[direction]);
      dispatch({ kind: "move", name, to });
      onView(showing(view, to, size));
    });
  if (direction && isPlain)
    return does(() => {
      const next = neighbour(places, name, direction);
      if (next !== null) focus(next);
    });
  if (isPlain && event.key.toLowerCase() === "l") return does(() => onLink(name));
  if (isPlain && (event.key === "Delete" || event.key === "Backspace"))
    return does(() => {
      const others = boxes.filter((box) => box.name !== name);
      focus(neighbour(places, name, "left") ?? others[0]?.name ?? null);
      dispatch({ kind: "remove", name });
    });
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "d") return does(() => onCopy(name));
}

/** Links with the names by which others are reached, and orders of starting; both are said by the boxes too. */
function Lines({
  edges,
  places,
  drawn,
}: {
  edges: readonly Edge[];
  places: Record<string, Place>;
  /** A link that is being drawn. */
  drawn: { name: string; to: Place } | null;
}) {
  const begin = drawn ? places[drawn.name] : undefined;
  return (
    <svg className="lines" width={BOX.width} height={BOX.height} aria-hidden="true">
      <defs>
        <marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">
          <path d="M 0 0 L 8 4 L 0 8 z" />
        </marker>
      </defs>
      {edges.map(({ kind, from, to }) => {
        const [left, right] = [places[from], places[to]];
        if (!left || !right) return null;
        const [begin, end] = [outOf(left), into(right)];
        return (
          <g key={`${kind} ${from} ${to}`} className={kind}>
            <path d={linePath(begin, end)} markerEnd="url(#arrow)" />
            <text x={(begin.x + end.x) / 2} y={(begin.y + end.y) / 2 - 6}>
              {kind === "links" ? to : `after ${to}`}
            </text>
          </g>
        );
      })}
      {drawn && begin ? (
        <g className="links drawn">
          <path d={linePath(outOf(begin), drawn.to)} markerEnd="url(#arrow)" />
        </g>
      ) : null}
    </svg>
  );
}

/** A template that is carried by arrow keys. It has the focus until it is put down or taken back. */
function TakenUp({
  taken,
  onTaken,
}: {
  taken: Taken;
  onTaken: (taken: Taken | null, isPut: boolean) => void;
}) {
  return (
    <button
      type="button"
      className="box box-body taken"
      autoFocus
      style={{ left: taken.at.x, top: taken.at.y, width: BOX.width, height: BOX.height }}
      aria-label={`${taken.template.title}: arrow keys move it, Enter puts it down, Escape takes it back`}
      onClick={() => onTaken(taken, true)}
      onPointerDown={(event) => event.stopPropagation()}
      onKeyDown={(event) => {
        const direction = ARROWS[event.key];
        event.stopPropagation();
        if (event.key === "Escape") onTaken(null, false);
        if (!direction) return;
        event.preventDefault();
        onTaken({ ...taken, at: added(taken.at, STEPS[direction], event.shiftKey ? 5 : 2) }, false);
      }}
    >
      <strong>{taken.template.title}</strong>
      <span className="quiet">Enter puts it here</span>
    </button>
  );
}
