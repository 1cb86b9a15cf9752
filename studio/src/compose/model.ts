/**
 * The state of the canvas: a document, places of its applications, what was done and undone. One pure reducer; the document is the
 * state, and the graph is read from it, so that nothing of it can get lost between the two.
 */
import { freeName } from "../lib/options";
import {
  carried,
  withAnswers,
  withApplications,
  withCopy,
  withLink,
  withoutApplication,
  withoutLink,
  type Reordered,
} from "./changes";
import { circleBy } from "./faults";
import { graphOf, type Graph } from "./graph";
import { freePlace, placed, snapped, type Place, type Places } from "./layout";

/** Steps that can be undone; each holds a document, which is seldom above a few KiB. */
const STEPS_MAX = 200;

/** A template that was put on the canvas, and whose options are still to be given: it is in no document yet. */
export interface Draft {
  /** The name that is offered, which no application has. */
  name: string;
  template: string;
  /** Catalogue of another publisher that the template is of; none of a built-in one. */
  catalogue?: string;
  title: string;
}

/** What is undone and done again. */
export interface Snapshot {
  text: string;
  /** Where somebody has put a box, and where it was made; the others have their places from the layout. */
  places: Places;
  drafts: readonly Draft[];
}

interface Step {
  snapshot: Snapshot;
  words: string;
}

export interface Compose {
  /** Number of the generation whose document it began with; 0 before the first. */
  number: number;
  base: string;
  now: Snapshot;
  /** The last text that could be read: what is drawn. */
  drawn: string;
  past: readonly Step[];
  future: readonly Step[];
  /** Kind of the last step where several of it are one: typing, moving one box. */
  run: string | null;
  selected: string | null;
  /** What is said of the last act; the number tells two of the same words apart. */
  said: { number: number; words: string };
}

export type Action =
  | { kind: "draft"; template: string; catalogue?: string; title: string; at: Place }
  | { kind: "add"; draft: string; name: string; document: string }
  | { kind: "answers"; change: Reordered }
  | { kind: "remove"; name: string }
  | { kind: "copy"; name: string; as: string }
  | { kind: "link"; from: string; to: string }
  | { kind: "unlink"; of: "links" | "after"; from: string; to: string }
  | { kind: "move"; name: string; to: Place }
  | { kind: "arrange" }
  | { kind: "write"; text: string }
  | { kind: "undo" }
  | { kind: "redo" }
  | { kind: "select"; name: string | null }
  | { kind: "carry"; number: number; text: string }
  | { kind: "discard" }
  | { kind: "say"; words: string };

/** The canvas of a document. */
export function begin(number: number, text: string, places: Places): Compose {
  const base = text.replace(/\r\n/g, "\n");
  return {
    number,
    base,
    now: { text: base, places, drafts: [] },
    drawn: "graph" in graphOf(base) ? base : "",
    past: [],
    future: [],
    run: null,
    selected: null,
    said: { number: 0, words: "" },
  };
}

/** Nothing was changed of the document. */
export const isUntouched = ({ now, base }: Compose): boolean => now.text === base && now.drafts.length === 0;

/** What is drawn: the graph of the text, or of the last one that could be read. */
export function drawnGraph({ drawn }: Pick<Compose, "drawn">): Graph {
  const read = graphOf(drawn);
  return "graph" in read ? read.graph : { nodes: [], edges: [], rest: "" };
}

/** Names on the canvas: applications, and templates whose options are to be given. */
export const namesOf = (graph: Graph, drafts: readonly Draft[]): string[] => [
  ...graph.nodes.map(({ name }) => name),
  ...drafts.map(({ name }) => name),
];

/** Places of all boxes. */
export const placesOf = (graph: Graph, { drafts, places }: Snapshot): Record<string, Place> =>
  placed(namesOf(graph, drafts), graph.edges, places);

const UNREAD = "The text cannot be read as it is: mend it first.";
const BY_HAND = "The text is written so that this has to be changed in it by hand.";

export function reduce(state: Compose, action: Action): Compose {
  switch (action.kind) {
    case "select":
      return action.name === state.selected ? state : { ...state, selected: action.name, run: null };
    case "say":
      return saying(state, action.words);
    case "undo":
      return undone(state);
    case "redo":
      return redone(state);
    case "write":
      return written(state, action.text);
    case "discard":
      return step(
        state,
        { ...state.now, text: state.base, drafts: [] },
        "The document is as on the machine.",
      );
    case "carry":
      return taken(state, action.number, action.text.replace(/\r\n/g, "\n"));
    default:
      // What the canvas shows is then not what the text says.
      return state.drawn === state.now.text ? changed(state, action) : saying(state, UNREAD);
  }
}

type Change = Exclude<Action, { kind: "select" | "say" | "undo" | "redo" | "write" | "discard" | "carry" }>;
type Of<K extends Change["kind"]> = Extract<Change, { kind: K }>;

function changed(state: Compose, action: Change): Compose {
  const graph = drawnGraph(state);
  const { now } = state;
  switch (action.kind) {
    case "draft":
      return drafted(state, graph, action);
    case "add":
      return added(state, graph, action);
    case "answers":
      return texted(state, withAnswers(now.text, action.change), `${action.change.name} has other answers.`);
    case "remove":
      return removed(state, graph, action.name);
    case "copy":
      return copied(state, graph, action);
    case "link":
      return linked(state, graph, action);
    case "unlink": {
      const words =
        action.of === "links"
          ? `${action.from} no longer reaches ${action.to}.`
          : `${action.from} no longer waits for ${action.to}.`;
      return texted(state, withoutLink(now.text, action.of, action.from, action.to), words);
    }
    case "move": {
      const places = { ...placesOf(graph, now), [action.name]: snapped(action.to) };
      return step(state, { ...now, places }, `${action.name} is moved.`, `move ${action.name}`);
    }
    case "arrange":
      return step(state, { ...now, places: {} }, "All are arranged by their links.");
  }
}

function drafted(state: Compose, graph: Graph, { template, catalogue, title, at }: Of<"draft">): Compose {
  const { now } = state;
  const name = freeName(template, namesOf(graph, now.drafts));
  const place = freePlace(at, Object.values(placesOf(graph, now)));
  const next = {
    ...now,
    drafts: [...now.drafts, { name, template, ...(catalogue === undefined ? {} : { catalogue }), title }],
    places: { ...placesOf(graph, now), [name]: place },
  };
  return { ...step(state, next, `${title} is on the canvas: give its options.`), selected: name };
}

function added(state: Compose, graph: Graph, action: Of<"add">): Compose {
  const { now } = state;
  const made = withApplications(now.text, action.document);
  if (made === null) return saying(state, BY_HAND);
  if ("taken" in made) return saying(state, `There is an application ${made.taken.join(", ")} already.`);
  const before = placesOf(graph, now);
  const place = before[action.draft];
  const places = without(before, action.draft);
  const next = {
    text: made.text,
    drafts: now.drafts.filter(({ name }) => name !== action.draft),
    places: place ? { ...places, [action.name]: place } : places,
  };
  return { ...step(state, next, `${action.name} is in the document.`), selected: action.name };
}

function removed(state: Compose, graph: Graph, name: string): Compose {
  const { now } = state;
  const places = without(placesOf(graph, now), name);
  if (now.drafts.some((draft) => draft.name === name)) {
    const drafts = now.drafts.filter((draft) => draft.name !== name);
    return step(state, { ...now, places, drafts }, `${name} is taken away.`);
  }
  const text = withoutApplication(now.text, name);
  if (text === null) return saying(state, BY_HAND);
  const users = graph.edges.filter(({ to }) => to === name).map(({ from }) => from);
  const also = users.length === 0 ? "" : `, and with it the links of ${[...new Set(users)].join(", ")}`;
  return step(state, { ...now, text, places }, `${name} is taken out${also}.`);
}

function copied(state: Compose, graph: Graph, { name, as }: Of<"copy">): Compose {
  const { now } = state;
  const text = namesOf(graph, now.drafts).includes(as) ? null : withCopy(now.text, name, as);
  if (text === null) return saying(state, `${name} cannot be copied as ${as}. ${BY_HAND}`);
  const places = placesOf(graph, now);
  const at = places[name] ?? { x: 0, y: 0 };
  const place = freePlace({ x: at.x, y: at.y }, Object.values(places));
  const next = { ...now, text, places: { ...places, [as]: place } };
  return { ...step(state, next, `${as} is a copy of ${name}.`), selected: as };
}

function linked(state: Compose, graph: Graph, { from, to }: Of<"link">): Compose {
  const why = reasonAgainstLink(graph, from, to);
  if (why !== null) return saying(state, why);
  return texted(state, withLink(state.now.text, from, to), `${from} reaches ${to} by the name ${to}.`);
}

/** The reason for which one application cannot be linked to another; `null` where it can. */
export function reasonAgainstLink(graph: Graph, from: string, to: string): string | null {
  if (from === to) return `${from} reaches itself anyway.`;
  const nodes = [from, to].map((name) => graph.nodes.find((node) => node.name === name));
  const lacks = [from, to].filter((_, at) => nodes[at] === undefined);
  if (lacks.length > 0) return `${lacks.join(" and ")} is not in the document yet.`;
  if (nodes[0]?.links.includes(to)) return `${from} reaches ${to} already.`;
  const circle = circleBy(graph, from, to);
  return circle.length === 0 ? null : `That would close a circle: ${circle.join(" → ")}.`;
}

const without = (places: Places, name: string): Places =>
  Object.fromEntries(Object.entries(places).filter(([each]) => each !== name));

function saying(state: Compose, words: string): Compose {
  return { ...state, said: { number: state.said.number + 1, words } };
}

const readable = (text: string): boolean => "graph" in graphOf(text);

/** The state after a step, which can be undone. Steps of one run are one. */
function step(state: Compose, next: Snapshot, words: string, run: string | null = null): Compose {
  const isSame = run !== null && run === state.run;
  const past = isSame ? state.past : [...state.past, { snapshot: state.now, words }].slice(-STEPS_MAX);
  return showing(saying({ ...state, past, future: [], run }, words), next);
}

/** The state with another snapshot: what is not there any more is not selected. */
function showing(state: Compose, now: Snapshot): Compose {
  const drawn = now.text === state.drawn || readable(now.text) ? now.text : state.drawn;
  const next = { ...state, now, drawn };
  const isThere = state.selected !== null && namesOf(drawnGraph(next), now.drafts).includes(state.selected);
  return isThere ? next : { ...next, selected: null };
}

/** Another text, with every box where it was. */
const settled = (state: Compose, text: string): Snapshot => ({
  ...state.now,
  text,
  places: { ...state.now.places, ...placesOf(drawnGraph(state), state.now) },
});

function texted(state: Compose, text: string | null, words: string): Compose {
  if (text === null) return saying(state, BY_HAND);
  return text === state.now.text ? state : step(state, settled(state, text), words);
}

/** What somebody types is said by the editor already. */
function written(state: Compose, text: string): Compose {
  if (text === state.now.text) return state;
  const next = step(state, settled(state, text), "The text was changed.", "write");
  return { ...next, said: state.said };
}

function undone(state: Compose): Compose {
  const last = state.past.at(-1);
  if (!last) return saying(state, "There is nothing to undo.");
  const future = [...state.future, { snapshot: state.now, words: last.words }];
  const next = { ...state, past: state.past.slice(0, -1), future, run: null };
  return showing(saying(next, `Undone: ${last.words}`), last.snapshot);
}

function redone(state: Compose): Compose {
  const last = state.future.at(-1);
  if (!last) return saying(state, "There is nothing to do again.");
  const past = [...state.past, { snapshot: state.now, words: last.words }];
  const next = { ...state, past, future: state.future.slice(0, -1), run: null };
  return showing(saying(next, `Done again: ${last.words}`), last.snapshot);
}

/** Goes on from the document that the machine has by now, with what was changed here on top of it. */
function taken(state: Compose, number: number, text: string): Compose {
  if (isUntouched(state)) return { ...begin(number, text, state.now.places), said: state.said };
  const over = carried(state.base, state.now.text, text);
  if (over === null) return saying(state, UNREAD);
  const both = over.both.length === 0 ? "" : ` Changed on both sides, and as here: ${over.both.join(", ")}.`;
  // Undone past this moment, what somebody else has deployed would be taken back.
  const next = { ...state, number, base: text, past: [], future: [], run: null };
  return showing(saying(next, `It goes on from generation ${number}.${both}`), settled(state, over.text));
}
