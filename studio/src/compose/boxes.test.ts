import { expect, it } from "vitest";
import type { Application } from "../api/xnode";
import { boxesOf, boxWords, differenceWords, portWords } from "./boxes";
import { graphOf, marksOf, type Graph } from "./graph";
import { begin } from "./model";

const drawn = (text: string): Graph => {
  const found = graphOf(text);
  if (!("graph" in found)) throw new Error(found.what);
  return found.graph;
};
const BASE = "applications:\n  db: { image: x }\n  old: { image: x }\n";
const NOW = `applications:
  db: { image: x, volumes: { data: { path: /d, size: 1 GiB } }, wish: stopped }
  web:
    template: { name: wordpress, version: "1" }
    links: [db, gone]
    after: [db]
    ports: { http: { port: 80, publish: { address: 127.0.0.1 } }, inner: { port: 81 } }
    domains: { x.org: { port: http } }
`;

it("says of each box what it shows", () => {
  const [base, now] = [drawn(BASE), drawn(NOW)];
  const snapshot = {
    ...begin(1, NOW, {}).now,
    drafts: [{ name: "redis", template: "redis", title: "Redis" }],
    places: { redis: { x: 5_000, y: 0 } },
  };
  const running = { name: "db", state: "crash_loop" } as Application;
  const boxes = boxesOf(now, snapshot, marksOf(base, now), [running], { web: ["it is refused"] });
  expect(boxes.map(boxWords)).toEqual([
    "web: wordpress 1, new, http at 127.0.0.1:auto, x.org; reaches db, gone; starts after db; " +
      "2 problems: Its link leads to gone, which is not here. it is refused",
    "db: x, crash loop, changed, 1 volume, stopped",
    "redis: Redis, new; 1 problem: Its options are to be given: it is in no document yet.",
  ]);
});

it("takes a name for a name, also one that every object has", () => {
  const now = drawn("applications:\n  constructor: { image: x, links: [after] }\n  after: { image: x }\n");
  const [first, second] = boxesOf(now, begin(0, "", {}).now, marksOf(drawn(""), now), [], {});
  expect(first).toMatchObject({ name: "constructor", at: { x: 0, y: 0 }, mark: "new", problems: [] });
  expect(second?.at.x).toBeGreaterThan(0);
});

it("says ports and differences in words", () => {
  expect(portWords({ name: "http", number: "80", protocol: "tcp", published: "auto" })).toBe(
    "http 80, published at a free port",
  );
  expect(portWords({ name: "http", number: "", protocol: "tcp", published: null })).toBe("http");
  expect(differenceWords(marksOf(drawn(BASE), drawn(NOW)))).toBe("1 new, 1 changed, 1 taken out");
  expect(differenceWords(marksOf(drawn(BASE), drawn(BASE)))).toBe("");
  expect(differenceWords(marksOf(drawn("version: 1\n"), drawn("version: 2\n")))).toBe(
    "the machine's own part is changed",
  );
});
