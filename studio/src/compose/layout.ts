/**
 * Places of applications on the canvas: in layers from those that reach others to those that are reached, the same for the same
 * graph, whatever the order in its text. Pure; lengths are in pixels of the canvas.
 */
import { ownOf } from "../lib/own";
import { order, type Edge } from "./graph";

export interface Place {
  x: number;
  y: number;
}

export type Places = Readonly<Record<string, Place>>;

/** Size of an application's box. */
export const BOX = { width: 220, height: 112 };
/** Room between two boxes, to the side and below. */
const GAP = { x: 100, y: 28 };
/** Steps to which a box is moved. */
export const GRID = 20;
/** Passes in which each layer is ordered by the one beside it: more than a few change nothing that anybody sees. */
const PASSES = 6;
/** Applications without any link in one row. */
const ROW = 4;

/** Places of all applications. */
export function layout(names: readonly string[], edges: readonly Edge[]): Record<string, Place> {
  const sorted = [...new Set(names)].sort(order);
  const own = edges.filter(({ from, to }) => from !== to && sorted.includes(from) && sorted.includes(to));
  const linked = sorted.filter((name) => own.some(({ from, to }) => from === name || to === name));
  const layers = ordered(layersOf(linked, own), own);
  const step = { x: BOX.width + GAP.x, y: BOX.height + GAP.y };
  const places: Record<string, Place> = {};
  const tallest = Math.max(0, ...layers.map((layer) => layer.length));
  layers.forEach((layer, column) => {
    // Each layer stands in the middle of the tallest one.
    const top = ((tallest - layer.length) * step.y) / 2;
    layer.forEach((name, row) => {
      places[name] = snapped({ x: column * step.x, y: top + row * step.y });
    });
  });
  const alone = sorted.filter((name) => !linked.includes(name));
  alone.forEach((name, at) => {
    const row = tallest + Math.floor(at / ROW);
    places[name] = snapped({ x: (at % ROW) * step.x, y: row * step.y });
  });
  return places;
}

export const snapped = ({ x, y }: Place): Place => ({
  x: Math.round(x / GRID) * GRID,
  y: Math.round(y / GRID) * GRID,
});

/** Layers, each with those that only layers before it reach. An edge that would close a circle counts for nothing. */
function layersOf(names: readonly string[], edges: readonly Edge[]): string[][] {
  const next = new Map(names.map((name) => [name, targets(name, edges)]));
  const rank = new Map<string, number>();
  const open = new Set<string>();
  const done: string[] = [];
  const forward: [string, string][] = [];
  const visit = (name: string): void => {
    open.add(name);
    for (const to of next.get(name) ?? []) {
      if (open.has(to)) continue;
      forward.push([name, to]);
      if (!rank.has(to)) visit(to);
    }
    open.delete(name);
    rank.set(name, 0);
    done.push(name);
  };
  for (const name of names) if (!rank.has(name)) visit(name);
  // From the first to the last: what comes later in this order is reached by what comes before.
  for (const name of done.reverse())
    for (const [from, to] of forward)
      if (from === name) rank.set(to, Math.max(rank.get(to) ?? 0, (rank.get(name) ?? 0) + 1));
  const layers: string[][] = [];
  for (const name of names) {
    const at = rank.get(name) ?? 0;
    while (layers.length <= at) layers.push([]);
    layers[at]?.push(name);
  }
  return layers;
}

const targets = (name: string, edges: readonly Edge[]): string[] =>
  [...new Set(edges.filter(({ from }) => from === name).map(({ to }) => to))].sort(order);

/** Layers whose applications stand near those with which they are linked. */
function ordered(layers: string[][], edges: readonly Edge[]): string[][] {
  const now = layers.map((layer) => [...layer]);
  for (let pass = 0; pass < PASSES; pass += 1) {
    const isForward = pass % 2 === 0;
    const ways = now.map((_, at) => (isForward ? at : now.length - 1 - at));
    for (const at of ways) {
      const beside = now[isForward ? at - 1 : at + 1];
      const layer = now[at];
      if (beside && layer) now[at] = byNeighbours(layer, beside, edges, isForward);
    }
  }
  return now;
}

function byNeighbours(
  layer: readonly string[],
  beside: readonly string[],
  edges: readonly Edge[],
  isForward: boolean,
): string[] {
  const middle = (name: string, at: number): number => {
    const found = edges.flatMap(({ from, to }) => {
      const other = isForward ? (to === name ? from : null) : from === name ? to : null;
      const place = other === null ? -1 : beside.indexOf(other);
      return place < 0 ? [] : [place];
    });
    return found.length === 0 ? at : found.reduce((sum, each) => sum + each, 0) / found.length;
  };
  return layer
    .map((name, at) => ({ name, weight: middle(name, at) }))
    .sort((a, b) => a.weight - b.weight || order(a.name, b.name))
    .map(({ name }) => name);
}

const meets = (a: Place, b: Place): boolean =>
  Math.abs(a.x - b.x) < BOX.width + GRID && Math.abs(a.y - b.y) < BOX.height + GRID;

/** The nearest place below a wished one at which no other box is. */
export function freePlace(wished: Place, taken: readonly Place[]): Place {
  const place = snapped(wished);
  while (taken.some((other) => meets(place, other))) place.y += GRID;
  return place;
}

/** Places of all boxes: those that are kept, and for the others those of the layout, moved down where somebody is. */
export function placed(
  names: readonly string[],
  edges: readonly Edge[],
  kept: Places,
): Record<string, Place> {
  const wished = layout(names, edges);
  const sorted = [...new Set(names)].sort(order);
  const places: Record<string, Place> = {};
  for (const name of sorted) {
    const own = ownOf(kept, name);
    if (own) places[name] = own;
  }
  for (const name of sorted)
    if (!ownOf(places, name))
      places[name] = freePlace(ownOf(wished, name) ?? { x: 0, y: 0 }, Object.values(places));
  return places;
}

export type Direction = "left" | "right" | "up" | "down";

/** The box that an arrow key leads to: the nearest on that side, those beside it before those across. */
export function neighbour(places: Places, from: string, direction: Direction): string | null {
  const at = places[from];
  if (!at) return null;
  const found = Object.entries(places).flatMap(([name, { x, y }]) => {
    const [dx, dy] = [x - at.x, y - at.y];
    const along = { left: -dx, right: dx, up: -dy, down: dy }[direction];
    const across = Math.abs(direction === "left" || direction === "right" ? dy : dx);
    return name === from || along <= 0 ? [] : [{ name, distance: along + 2 * across }];
  });
  found.sort((a, b) => a.distance - b.distance || order(a.name, b.name));
  return found[0]?.name ?? null;
}

/** The box at a place; the last drawn lies on top. */
export function boxAt(places: Places, { x, y }: Place): string | null {
  const found = Object.entries(places).filter(
    ([, at]) => x >= at.x && x <= at.x + BOX.width && y >= at.y && y <= at.y + BOX.height,
  );
  return found.at(-1)?.[0] ?? null;
}

/** Where links leave a box. */
export const outOf = ({ x, y }: Place): Place => ({ x: x + BOX.width, y: y + BOX.height / 2 });
/** Where links come into a box. */
export const into = ({ x, y }: Place): Place => ({ x, y: y + BOX.height / 2 });

/** Least length for which a line leaves and comes in straight. */
const BEND = 40;

/** A line of a link, as a path of SVG. */
export function linePath(from: Place, to: Place): string {
  const bend = Math.max(BEND, Math.abs(to.x - from.x) / 2);
  return `M ${from.x} ${from.y} C ${from.x + bend} ${from.y}, ${to.x - bend} ${to.y}, ${to.x} ${to.y}`;
}
