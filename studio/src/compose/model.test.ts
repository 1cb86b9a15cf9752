import { expect, it } from "vitest";
import { canonical } from "../lib/tree";
import { readTree } from "../lib/treeRead";
import { begin, drawnGraph, isUntouched, placesOf, reduce, type Action, type Compose } from "./model";
import { documentOf, numbers } from "./seeds";

const BASE = "version: 1\napplications:\n  db:\n    image: db:1\n  web:\n    image: web:1\n";
const CACHE = "version: 1\napplications:\n  cache:\n    template:\n      name: redis\n";
const does = (state: Compose, ...actions: Action[]) => actions.reduce(reduce, state);
const start = () => begin(4, BASE, {});
const AT = { x: 640, y: 320 };
const linkTo = (from: string, to: string): Action => ({ kind: "link", from, to });

it("begins with the machine's document, untouched", () => {
  const state = start();
  expect(isUntouched(state)).toBe(true);
  expect(drawnGraph(state).nodes.map(({ name }) => name)).toEqual(["db", "web"]);
  expect(begin(0, "", {}).drawn).toBe("");
  expect(begin(1, "version: 1\r\n", {}).base).toBe("version: 1\n");
});

it("brings a template to the canvas, and into the document once its options are given", () => {
  const draft: Action = { kind: "draft", template: "redis", title: "Redis", at: AT };
  const drafted = does(start(), draft, draft);
  expect(drafted.now.drafts.map(({ name }) => name)).toEqual(["redis", "redis-2"]);
  expect(drafted.selected).toBe("redis-2");
  expect(drafted.now.text).toBe(BASE);
  const places = placesOf(drawnGraph(drafted), drafted.now);
  expect(places["redis"]).toEqual(AT);
  expect(places["redis-2"]).not.toEqual(AT);
  const added = does(drafted, { kind: "add", draft: "redis", name: "cache", document: CACHE });
  expect(added.now.text).toBe(`${BASE}  cache:\n    template:\n      name: redis\n`);
  expect(added.now.drafts.map(({ name }) => name)).toEqual(["redis-2"]);
  expect(placesOf(drawnGraph(added), added.now)["cache"]).toEqual(AT);
  expect(added.selected).toBe("cache");
  const again = does(added, { kind: "add", draft: "redis-2", name: "cache", document: CACHE });
  expect(again.now).toBe(added.now);
  expect(again.said.words).toBe("There is an application cache already.");
  const taken = does(added, { kind: "remove", name: "redis-2" });
  expect(taken.now.drafts).toEqual([]);
  expect(taken.now.text).toBe(added.now.text);
});

it("keeps the catalogue of a template that is put on the canvas", () => {
  const theirs: Action = { kind: "draft", template: "shop", catalogue: "acme", title: "Shop", at: AT };
  const own: Action = { kind: "draft", template: "shop", title: "Shop", at: AT };
  expect(does(start(), theirs, own).now.drafts).toEqual([
    { name: "shop", template: "shop", catalogue: "acme", title: "Shop" },
    { name: "shop-2", template: "shop", title: "Shop" },
  ]);
});

it("links, unlinks and refuses what would close a circle, each in words", () => {
  const linked = does(start(), linkTo("web", "db"));
  expect(linked.now.text).toBe(`${BASE}    links:\n      - db\n`);
  expect(linked.said.words).toBe("web reaches db by the name db.");
  for (const [from, to, words] of [
    ["db", "web", "That would close a circle: db → web → db."],
    ["web", "db", "web reaches db already."],
    ["web", "web", "web reaches itself anyway."],
    ["web", "redis", "redis is not in the document yet."],
  ] as const) {
    const refused = does(linked, linkTo(from, to));
    expect([refused.now, refused.said.words]).toEqual([linked.now, words]);
  }
  const unlinked = does(linked, { kind: "unlink", of: "links", from: "web", to: "db" });
  expect(unlinked.now.text).toBe(BASE);
});

it("copies and takes out, with the links that go with it", () => {
  const linked = does(start(), linkTo("web", "db"));
  const copied = does(linked, { kind: "copy", name: "web", as: "web-2" });
  expect(copied.now.text).toBe(`${linked.now.text}  web-2:\n    image: web:1\n    links:\n      - db\n`);
  expect(copied.selected).toBe("web-2");
  expect(does(copied, { kind: "copy", name: "web", as: "db" }).now).toBe(copied.now);
  const removed = does(copied, { kind: "select", name: "db" }, { kind: "remove", name: "db" });
  expect(removed.now.text).toBe(
    "version: 1\napplications:\n  web:\n    image: web:1\n  web-2:\n    image: web:1\n",
  );
  expect(removed.said.words).toBe("db is taken out, and with it the links of web, web-2.");
  expect(removed.selected).toBeNull();
});

it("keeps boxes where they are while the document changes, until they are arranged", () => {
  const before = placesOf(drawnGraph(start()), start().now);
  const linked = does(start(), linkTo("db", "web"));
  expect(placesOf(drawnGraph(linked), linked.now)).toEqual(before);
  const moved = does(linked, { kind: "move", name: "db", to: { x: 33, y: 47 } });
  expect(placesOf(drawnGraph(moved), moved.now)["db"]).toEqual({ x: 40, y: 40 });
  const arranged = does(moved, { kind: "arrange" });
  const places = placesOf(drawnGraph(arranged), arranged.now);
  expect(places["db"]?.x).toBeLessThan(places["web"]?.x ?? 0);
});

it("takes typing and moves of one box for one step each", () => {
  const move = (x: number): Action => ({ kind: "move", name: "db", to: { x, y: 0 } });
  const write = (text: string): Action => ({ kind: "write", text });
  const state = does(
    start(),
    move(20),
    move(40),
    write(`${BASE}#`),
    write(`${BASE}# a`),
    { kind: "select", name: "db" },
    write(`${BASE}# ab`),
  );
  expect(state.past).toHaveLength(3);
  const undone = does(state, { kind: "undo" }, { kind: "undo" });
  expect(undone.now.text).toBe(BASE);
  expect(undone.now.places["db"]).toEqual({ x: 40, y: 0 });
});

it("draws the last text that could be read, and changes nothing meanwhile", () => {
  const broken = does(start(), { kind: "write", text: `${BASE}  new: &x\n` });
  expect(drawnGraph(broken).nodes).toHaveLength(2);
  const refused = does(broken, linkTo("web", "db"));
  expect(refused.now).toBe(broken.now);
  expect(refused.said.words).toMatch(/cannot be read/);
  const mended = does(broken, { kind: "write", text: `${BASE}  new:\n    image: x\n` });
  expect(drawnGraph(mended).nodes).toHaveLength(3);
  expect(does(broken, { kind: "undo" }).now.text).toBe(BASE);
});

it("says each act anew, also the same one again", () => {
  const once = does(start(), { kind: "undo" });
  const twice = does(once, { kind: "undo" });
  expect([once.said.words, twice.said.words]).toEqual(Array(2).fill("There is nothing to undo."));
  expect(twice.said.number).toBe(once.said.number + 1);
  expect(does(once, { kind: "redo" }).said.words).toBe("There is nothing to do again.");
  expect(does(once, { kind: "say", words: "x" }).said.words).toBe("x");
});

it("goes on from another generation with what was changed here", () => {
  const next = BASE.replace("web:1", "web:9");
  const untouched = does(start(), { kind: "carry", number: 5, text: next });
  expect([untouched.number, untouched.now.text, isUntouched(untouched)]).toEqual([5, next, true]);
  const mine = does(start(), linkTo("web", "db"), { kind: "carry", number: 5, text: next });
  expect(mine.now.text).toBe(BASE.replace("web:1", "web:1\n    links:\n      - db"));
  expect(mine.said.words).toBe("It goes on from generation 5. Changed on both sides, and as here: web.");
  // What somebody else has deployed is not taken back by undoing.
  expect(mine.past).toEqual([]);
  const discarded = does(mine, { kind: "discard" });
  expect(discarded.now.text).toBe(next);
  expect(does(discarded, { kind: "undo" }).now.text).toBe(mine.now.text);
});

it("undoes and does again every series of acts, and loses nothing that it does not know", () => {
  for (let seed = 1; seed <= 150; seed += 1) {
    const { text, names } = documentOf(seed);
    const next = numbers(seed + 3);
    const all = [...names, "fresh", "twin"];
    const pick = () => all[Math.floor(next() * all.length)] ?? "fresh";
    const acts: (() => Action)[] = [
      () => ({ kind: "draft", template: "redis", title: "Redis", at: { x: 0, y: 0 } }),
      () => ({ kind: "add", draft: "redis", name: "fresh", document: "applications: {fresh: {image: x}}" }),
      () => linkTo(pick(), pick()),
      () => ({ kind: "unlink", of: "links", from: pick(), to: pick() }),
      () => ({ kind: "copy", name: pick(), as: "twin" }),
      () => ({ kind: "remove", name: pick() }),
      () => ({ kind: "move", name: pick(), to: { x: next() * 500, y: next() * 500 } }),
      () => ({ kind: "arrange" }),
    ];
    const states = [begin(1, text, {})];
    for (let count = 0; count < 12; count += 1) {
      const act = acts[Math.floor(next() * acts.length)];
      const before = states.at(-1);
      if (!act || !before) continue;
      const after = reduce({ ...before, run: null }, act());
      if (after.now !== before.now) states.push(after);
    }
    const last = states.at(-1) ?? begin(1, text, {});
    const said = `seed ${seed}:\n${text}\n---\n${last.now.text}`;
    let state = last;
    for (const before of states.slice(0, -1).reverse()) {
      state = reduce(state, { kind: "undo" });
      expect(state.now, said).toEqual(before.now);
    }
    for (const after of states.slice(1)) {
      state = reduce(state, { kind: "redo" });
      expect(state.now, said).toEqual(after.now);
    }
    expect(restOf(last.now.text), said).toEqual(restOf(text));
  }
});

/** Keys beside the applications, as they mean. */
function restOf(text: string): string[] {
  const read = readTree(text);
  if (!("tree" in read) || read.tree.kind !== "map") throw new Error(`not read:\n${text}`);
  return read.tree.entries
    .filter(({ key }) => key !== "applications")
    .map(({ key, value }) => `${key} ${canonical(value)}`);
}
