/** What stands on the canvas, and its words: the same for who sees it and for who hears it. */
import type { Application } from "../api/xnode";
import { stateOf } from "../lib/applications";
import { ownOf } from "../lib/own";
import { faultsOf, together, type Faults } from "./faults";
import type { AppNode, Graph, Marks, Port } from "./graph";
import type { Place } from "./layout";
import { placesOf, type Draft, type Snapshot } from "./model";

/** An application, or a template whose options are to be given. */
export interface Box {
  name: string;
  at: Place;
  node: AppNode | null;
  draft: Draft | null;
  mark: "new" | "changed" | "same";
  /** It as it runs now. */
  application: Application | undefined;
  problems: readonly string[];
}

const UNGIVEN = "Its options are to be given: it is in no document yet.";

/** All boxes, from left to right and from top to bottom. */
export function boxesOf(
  graph: Graph,
  snapshot: Snapshot,
  marks: Marks,
  applications: readonly Application[],
  refused: Faults,
): Box[] {
  const places = placesOf(graph, snapshot);
  const faults = together(faultsOf(graph), refused);
  const box = (name: string, node: AppNode | null, draft: Draft | null): Box => ({
    name,
    at: ownOf(places, name) ?? { x: 0, y: 0 },
    node,
    draft,
    mark: ownOf(marks.marks, name) ?? "new",
    application: draft ? undefined : applications.find((each) => each.name === name),
    problems: draft ? [UNGIVEN] : (ownOf(faults, name) ?? []),
  });
  return [
    ...graph.nodes.map((node) => box(node.name, node, null)),
    ...snapshot.drafts.map((draft) => box(draft.name, null, draft)),
  ].sort((a, b) => a.at.x - b.at.x || a.at.y - b.at.y);
}

/** A port in words: `http 8080, published at 127.0.0.1:8088`. */
export function portWords({ name, number, published }: Port): string {
  const at = published === "auto" ? "a free port" : published;
  return `${name}${number === "" ? "" : ` ${number}`}${at === null ? "" : `, published at ${at}`}`;
}

/** What is said of a box besides its name: its origin, or the template that it is to be made of. */
export const originWords = ({ node, draft }: Box): string =>
  draft ? draft.title : (node?.origins.map(({ words }) => words).join(", ") ?? "") || "no origin";

export const MARK_WORDS: Record<Box["mark"], string> = { new: "new", changed: "changed", same: "" };

const counted = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;

/** Small facts of an application, as badges have them. */
export function factsOf({ node }: Box): string[] {
  if (node === null) return [];
  const published = node.ports.filter((port) => port.published !== null);
  return [
    ...published.map(({ name, published: at }) => `${name} ↦ ${at ?? ""}`),
    ...node.domains,
    ...(node.volumes.length > 0 ? [counted(node.volumes.length, "volume")] : []),
    ...(node.wish === "running" ? [] : [node.wish]),
  ];
}

/** Everything that a box shows, as one hears it. */
export function boxWords(box: Box): string {
  const { node, mark, application, problems } = box;
  const state = application ? stateOf(application.state).words : "";
  const facts = factsOf(box).map((fact) => fact.replace("↦", "at"));
  const parts = [originWords(box), state, MARK_WORDS[mark], ...facts];
  const links = node && node.links.length > 0 ? `; reaches ${node.links.join(", ")}` : "";
  const after = node && node.after.length > 0 ? `; starts after ${node.after.join(", ")}` : "";
  const wrong = problems.length > 0 ? `; ${counted(problems.length, "problem")}: ${problems.join(" ")}` : "";
  return `${box.name}: ${parts.filter((part) => part !== "").join(", ")}${links}${after}${wrong}`;
}

/** How the document differs from the machine's, in a line; the empty text where it does not. */
export function differenceWords({ marks, removed, isRestOther }: Marks): string {
  const count = (mark: Box["mark"]) => Object.values(marks).filter((each) => each === mark).length;
  const parts = [
    [count("new"), "new"],
    [count("changed"), "changed"],
    [removed.length, "taken out"],
  ] as const;
  const said = parts.filter(([many]) => many > 0).map(([many, words]) => `${many} ${words}`);
  return [...said, ...(isRestOther ? ["the machine's own part is changed"] : [])].join(", ");
}
