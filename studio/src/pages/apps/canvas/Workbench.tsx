import { useCallback, useEffect, useRef, useState } from "react";
import type { TemplateSummary } from "../../../api/xnode";
import { useMay } from "../../../api/xnodeAccess";
import type { Box } from "../../../compose/boxes";
import type { Graph } from "../../../compose/graph";
import { BOX, freePlace, type Place } from "../../../compose/layout";
import { namesOf, type Action, type Compose } from "../../../compose/model";
import { fit, middle, toCanvas, ZOOM_STEP, zoomed, type Size, type View } from "../../../compose/view";
import { freeName, fullName } from "../../../lib/options";
import { useFilters } from "../../../lib/urlState";
import { Board, type Taken } from "./Board";
import { INSPECTOR, LINK_TO } from "./ids";
import { Inspector } from "./Inspector";
import { Outline } from "./Outline";
import { Palette } from "./Palette";
import { useNarrow } from "./useNarrow";

/** Size of the canvas until it was measured. */
const FIRST_SIZE: Size = { width: 720, height: 560 };

/** Goes to an element once it is drawn; `within`: the first input of a form in it, where there is one. */
const goTo = (id: string, within = ""): void => {
  requestAnimationFrame(() => {
    const found = document.getElementById(id);
    const first = within === "" ? null : found?.querySelector<HTMLElement>(within);
    (first ?? found)?.focus();
  });
};

/** Palette, canvas and settings side by side; on small screens a list in place of the canvas. */
export function Workbench({
  state,
  graph,
  boxes,
  dispatch,
}: {
  state: Compose;
  graph: Graph;
  boxes: readonly Box[];
  dispatch: (action: Action) => void;
}) {
  const board = useRef<HTMLDivElement>(null);
  const isNarrow = useNarrow();
  const [read, write] = useFilters();
  const isList = isNarrow || read("view") === "list";
  const [own, setOwn] = useState<View | null>(null);
  const [size, setSize] = useState(FIRST_SIZE);
  const [taken, setTaken] = useState<Taken | null>(null);
  const may = useMay("operator");
  const names = namesOf(graph, state.now.drafts);
  const places = Object.fromEntries(boxes.map(({ name, at }) => [name, at]));
  const view = own ?? fit(places, size);
  const why =
    may ?? (state.drawn === state.now.text ? undefined : "The text cannot be read as it is: mend it first");
  const onSize = useCallback(
    (next: Size) =>
      setSize((before) => (before.width === next.width && before.height === next.height ? before : next)),
    [],
  );
  useUndoKeys(dispatch);
  const select = (name: string) => dispatch({ kind: "select", name });
  const open = (name: string) => {
    select(name);
    goTo(INSPECTOR, "form[aria-label^='Options'] input");
  };
  const put = ({ name, catalogue, title }: TemplateSummary, at: Place) => {
    setOwn(view);
    dispatch({ kind: "draft", template: name, ...(catalogue === undefined ? {} : { catalogue }), title, at });
    goTo(INSPECTOR, "form[aria-label^='Options'] input");
  };
  const link = (name: string) => {
    select(name);
    goTo(LINK_TO);
  };
  const copy = (name: string) => dispatch({ kind: "copy", name, as: freeName(name, names) });
  return (
    <div className="compose">
      <Palette
        why={why}
        onDrop={
          isList
            ? null
            : (template, at) => {
                const place = placeOf(board.current, view, at);
                if (place) put(template, place);
                else dispatch({ kind: "say", words: "Beside the canvas: nothing was put there." });
              }
        }
        onPick={(template, isKey) => {
          const at = freePlace(middle(view, size), Object.values(places));
          if (isList || !isKey) return put(template, at);
          setOwn(view);
          setTaken({ template, at });
        }}
      />
      <section className="card canvas" aria-label="Composition">
        <Tools
          state={state}
          isList={isList}
          isNarrow={isNarrow}
          onList={(wanted) => write({ view: wanted ? "list" : null })}
          onZoom={(factor) => setOwn(zoomed(view, factor, { x: size.width / 2, y: size.height / 2 }))}
          onFit={() => setOwn(null)}
          dispatch={dispatch}
        />
        {isList ? (
          <Outline
            boxes={boxes}
            selected={state.selected}
            onOpen={open}
            onLink={link}
            onCopy={copy}
            onRemove={(name) => dispatch({ kind: "remove", name })}
          />
        ) : (
          <>
            <Board
              board={board}
              boxes={boxes}
              edges={graph.edges}
              selected={state.selected}
              view={view}
              size={size}
              taken={taken}
              onView={setOwn}
              onSize={onSize}
              onTaken={(next, isPut) => {
                if (isPut && next) put(next.template, next.at);
                if (next === null && taken) focusTemplate(taken.template);
                setTaken(isPut ? null : next);
              }}
              onOpen={open}
              onLink={link}
              onCopy={copy}
              dispatch={dispatch}
            />
            <p className="quiet hint pad flat" id="canvas-help">
              Arrow keys go from one application to another, Shift and an arrow moves one, Enter opens its
              settings, L links it, Ctrl+D copies it, Delete takes it out; + and − enlarge, 0 shows
              everything, Ctrl+Z undoes.
            </p>
          </>
        )}
        {/* What was done, for whoever does not see it. */}
        <p className="visually-hidden" role="status">
          <span key={state.said.number}>{state.said.words}</span>
        </p>
      </section>
      <Inspector
        box={boxes.find(({ name }) => name === state.selected) ?? null}
        graph={graph}
        names={names}
        text={state.now.text}
        why={why}
        dispatch={dispatch}
        onOpen={open}
        onCopy={copy}
        onLeave={(name) => document.querySelector<HTMLElement>(`[data-box="${CSS.escape(name)}"]`)?.focus()}
      />
    </div>
  );
}

/** The place of the canvas at a place of the page, for the middle of a box; `null` beside the canvas. */
function placeOf(board: HTMLElement | null, view: View, { x, y }: Place): Place | null {
  const rect = board?.getBoundingClientRect();
  if (!rect || x < rect.left || x > rect.right || y < rect.top || y > rect.bottom) return null;
  const at = toCanvas(view, { x: x - rect.left, y: y - rect.top });
  return { x: at.x - BOX.width / 2, y: at.y - BOX.height / 2 };
}

/** Back to where a template was taken up. */
const focusTemplate = (template: TemplateSummary): void =>
  document.querySelector<HTMLElement>(`[data-template="${CSS.escape(fullName(template))}"]`)?.focus();

/** Undo and redo by key, but for texts: an input, and the editor, have their own. */
function useUndoKeys(dispatch: (action: Action) => void): void {
  useEffect(() => {
    const press = (event: KeyboardEvent) => {
      const isText =
        event.target instanceof HTMLElement &&
        event.target.closest("input, textarea, select, [contenteditable='true']") !== null;
      if (isText || !(event.ctrlKey || event.metaKey) || event.altKey) return;
      const key = event.key.toLowerCase();
      const isRedo = key === "y" || (key === "z" && event.shiftKey);
      if (!isRedo && key !== "z") return;
      event.preventDefault();
      dispatch({ kind: isRedo ? "redo" : "undo" });
    };
    window.addEventListener("keydown", press);
    return () => window.removeEventListener("keydown", press);
  }, [dispatch]);
}

interface Tool {
  words: string;
  /** The reason for which it is not offered. */
  why?: string | undefined;
  title?: string | undefined;
  act: () => void;
}

function Tools({
  state: { past, future },
  isList,
  isNarrow,
  onList,
  onZoom,
  onFit,
  dispatch,
}: {
  state: Compose;
  isList: boolean;
  isNarrow: boolean;
  onList: (wanted: boolean) => void;
  onZoom: (factor: number) => void;
  onFit: () => void;
  dispatch: (action: Action) => void;
}) {
  const tools: Tool[] = [
    {
      words: "Undo",
      why: past.length === 0 ? "There is nothing to undo" : undefined,
      title: past.at(-1)?.words,
      act: () => dispatch({ kind: "undo" }),
    },
    {
      words: "Redo",
      why: future.length === 0 ? "There is nothing to do again" : undefined,
      title: future.at(-1)?.words,
      act: () => dispatch({ kind: "redo" }),
    },
    ...(isList
      ? []
      : [
          { words: "Smaller", act: () => onZoom(1 / ZOOM_STEP) },
          { words: "Larger", act: () => onZoom(ZOOM_STEP) },
          { words: "Show all", act: onFit },
          {
            words: "Arrange",
            title: "Puts each application behind those that reach it",
            act: () => {
              dispatch({ kind: "arrange" });
              onFit();
            },
          },
        ]),
  ];
  return (
    <header>
      <h2>Applications</h2>
      <span className="row tight" role="group" aria-label="Tools">
        {tools.map(({ words, why, title, act }) => (
          <button
            key={words}
            type="button"
            className="button small"
            disabled={why !== undefined}
            title={why ?? title}
            onClick={act}
          >
            {words}
          </button>
        ))}
        {isNarrow ? null : (
          <button
            type="button"
            className="button small"
            aria-pressed={isList}
            onClick={() => onList(!isList)}
          >
            As a list
          </button>
        )}
      </span>
    </header>
  );
}
