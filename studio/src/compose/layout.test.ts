import { expect, it } from "vitest";
import { numbers } from "./seeds";
import type { Edge } from "./graph";
import { BOX, boxAt, freePlace, layout, neighbour, placed, type Place } from "./layout";
import { fit, middle, SCALE_MAX, SCALE_MIN, showing, toCanvas, zoomed } from "./view";

const link = (from: string, to: string): Edge => ({ kind: "links", from, to });
const overlap = (a: Place, b: Place) => Math.abs(a.x - b.x) < BOX.width && Math.abs(a.y - b.y) < BOX.height;
const overlaps = (places: Record<string, Place>) => {
  const all = Object.values(places);
  return all.some((a, at) => all.slice(at + 1).some((b) => overlap(a, b)));
};

it("puts what is reached to the right of what reaches it", () => {
  const places = layout(
    ["db", "web", "cache", "proxy", "alone"],
    [link("proxy", "web"), link("web", "db"), link("web", "cache"), link("proxy", "db")],
  );
  const column = (name: string) => places[name]?.x ?? -1;
  expect(column("proxy")).toBeLessThan(column("web"));
  expect(column("web")).toBeLessThan(column("db"));
  expect(column("db")).toBe(column("cache"));
  // Without any link it stands below the others.
  expect(places["alone"]?.y).toBeGreaterThan(Math.max(places["db"]?.y ?? 0, places["cache"]?.y ?? 0));
});

it("is the same whatever the order in the text, without two boxes on one another, also with circles", () => {
  for (let seed = 1; seed <= 100; seed += 1) {
    const next = numbers(seed);
    const names = Array.from({ length: 1 + Math.floor(next() * 14) }, (_, at) => `app-${at}`);
    const one = () => names[Math.floor(next() * names.length)] ?? "app-0";
    const edges = Array.from({ length: Math.floor(next() * 24) }, () => link(one(), one()));
    const places = layout(names, edges);
    expect(Object.keys(places).sort(), `seed ${seed}`).toEqual([...names].sort());
    expect(overlaps(places), `seed ${seed}`).toBe(false);
    expect(layout([...names].reverse(), [...edges].reverse()), `seed ${seed}`).toEqual(places);
  }
});

it("leaves kept boxes where they are, and puts no other one on them", () => {
  const edges = [link("a", "b")];
  const kept = { a: { x: 320, y: 0 }, gone: { x: 0, y: 0 } };
  const places = placed(["a", "b", "c"], edges, kept);
  expect(places["a"]).toEqual(kept.a);
  expect(Object.keys(places).sort()).toEqual(["a", "b", "c"]);
  expect(overlaps(places)).toBe(false);
  expect(freePlace({ x: 331, y: 9 }, [kept.a])).toEqual({ x: 340, y: 140 });
});

it("leads arrow keys to the nearest box on their side", () => {
  const places = {
    a: { x: 0, y: 0 },
    b: { x: 320, y: 0 },
    c: { x: 320, y: 140 },
    d: { x: 0, y: 280 },
  };
  expect(neighbour(places, "a", "right")).toBe("b");
  expect(neighbour(places, "b", "down")).toBe("c");
  // Two at the same distance: the one whose name comes first.
  expect(neighbour(places, "c", "left")).toBe("a");
  expect(neighbour(places, "d", "up")).toBe("a");
  expect(neighbour(places, "a", "left")).toBeNull();
  expect(neighbour(places, "gone", "left")).toBeNull();
  expect(boxAt(places, { x: 330, y: 10 })).toBe("b");
  expect(boxAt(places, { x: 300, y: 10 })).toBeNull();
});

it("shows everything, and holds the place below the pointer while it is enlarged", () => {
  const places = { a: { x: 1_000, y: 500 }, b: { x: 3_000, y: 900 } };
  const size = { width: 800, height: 500 };
  const view = fit(places, size);
  for (const { x, y } of Object.values(places)) {
    expect(x * view.scale + view.x).toBeGreaterThanOrEqual(0);
    expect((x + BOX.width) * view.scale + view.x).toBeLessThanOrEqual(size.width);
    expect((y + BOX.height) * view.scale + view.y).toBeLessThanOrEqual(size.height);
  }
  expect(fit({ a: { x: 0, y: 0 } }, size).scale).toBe(1);
  const point = { x: 200, y: 100 };
  const before = toCanvas(view, point);
  const after = toCanvas(zoomed(view, 1.5, point), point);
  expect(after.x).toBeCloseTo(before.x);
  expect(after.y).toBeCloseTo(before.y);
  expect(zoomed(view, 1_000, point).scale).toBe(SCALE_MAX);
  expect(zoomed(view, 0.001, point).scale).toBe(SCALE_MIN);
});

it("shifts only as far as a box needs to be seen", () => {
  const view = { x: 0, y: 0, scale: 1 };
  const size = { width: 800, height: 500 };
  expect(showing(view, { x: 100, y: 100 }, size)).toBe(view);
  expect(showing(view, { x: 700, y: 100 }, size)).toEqual({ x: 800 - 24 - 920, y: 0, scale: 1 });
  expect(showing(view, { x: -300, y: 100 }, size)).toEqual({ x: 324, y: 0, scale: 1 });
  expect(middle(view, size)).toEqual({ x: 290, y: 194 });
});
