import { expect, it } from "vitest";
import { circleBy, circleOf, faultsOf, refusalsOf, together } from "./faults";
import { graphOf, marksOf, type Graph } from "./graph";

const drawn = (text: string): Graph => {
  const found = graphOf(text);
  if (!("graph" in found)) throw new Error(`line ${found.line} ${found.what}`);
  return found.graph;
};
const apps = (body: string) => drawn(`version: 1\napplications:\n${body}`);

const DOCUMENT = `version: 1
machine: { name: attic }
applications:
  web:
    template:
      name: wordpress
      version: "1"
      answers:
        password: { secret: web-password }
        database: db
    ports:
      http: { port: 8080, protocol: http, publish: { port: 8088, address: 127.0.0.1 } }
    domains:
      shop.example.org: { port: http }
    links: [db]
    mystery: 1
  db:
    image: mariadb:11
    variables: { ROOT: { secret: root } }
    volumes: { data: { path: /data, size: 1 GiB } }
    ports: { sql: { port: 3306 }, admin: { port: 80, publish: {} } }
  tidy:
    recipe: { debian: { busybox: "1" } }
    after: [db]
    wish: stopped
`;

it("reads applications with what is drawn of them", () => {
  const { nodes, edges } = drawn(DOCUMENT);
  expect(nodes.map(({ name, line }) => [name, line])).toEqual([
    ["db", 17],
    ["tidy", 22],
    ["web", 4],
  ]);
  const [db, tidy, web] = nodes;
  expect(web).toMatchObject({
    origins: [
      { kind: "template", words: "wordpress 1", template: "wordpress", catalogue: null, version: "1" },
    ],
    links: ["db"],
    ports: [{ name: "http", number: "8080", protocol: "http", published: "127.0.0.1:8088" }],
    domains: ["shop.example.org"],
    secrets: [{ name: "web-password", isAnswer: true }],
    wish: "running",
  });
  expect(db).toMatchObject({
    origins: [{ kind: "image", words: "mariadb:11" }],
    volumes: [{ name: "data", path: "/data", size: "1 GiB" }],
    secrets: [{ name: "root", isAnswer: false }],
  });
  expect(db?.ports.map(({ published }) => published)).toEqual([null, "auto"]);
  expect(tidy).toMatchObject({ origins: [{ words: "recipe of busybox" }], after: ["db"], wish: "stopped" });
  expect(edges).toEqual([
    { kind: "after", from: "tidy", to: "db" },
    { kind: "links", from: "web", to: "db" },
  ]);
});

it("names a template of another publisher with its catalogue", () => {
  const [shop] = apps("  shop:\n    template: { catalogue: acme, name: shop, version: 3 }\n").nodes;
  expect(shop?.origins).toEqual([
    { kind: "template", words: "acme/shop 3", template: "shop", catalogue: "acme", version: "3" },
  ]);
});

it("says what cannot be drawn, and draws what is of no form as far as it goes", () => {
  expect(graphOf("applications: {a: &x {}}")).toMatchObject({ line: 1 });
  expect(graphOf("[]")).toEqual({ line: 1, what: "is no document" });
  expect(graphOf("")).toMatchObject({ graph: { nodes: [], edges: [] } });
  expect(apps("  a:\n  b: 5\n  c: { links: x, ports: [1], image: {} }\n").nodes).toMatchObject([
    { name: "a", origins: [] },
    { name: "b", origins: [], links: [] },
    { name: "c", links: [], ports: [] },
  ]);
});

it("marks what became another, whatever its form", () => {
  const base = drawn(DOCUMENT);
  const now = drawn(
    DOCUMENT.replace("links: [db]", 'links:\n      - "db"')
      .replace("mariadb:11", "mariadb:12")
      .replace("  tidy:", "  clean:")
      .replace("name: attic", "name: cellar"),
  );
  expect(marksOf(base, now)).toEqual({
    marks: { clean: "new", db: "changed", web: "same" },
    removed: ["tidy"],
    isRestOther: true,
  });
  expect(marksOf(base, base).isRestOther).toBe(false);
});

it("sees links to nothing, circles, and what two claim", () => {
  const faults = faultsOf(
    apps(`  a: { image: x, links: [b, gone], ports: { h: { port: 1, publish: { port: 80 } } } }
  b: { image: x, after: [c] }
  c: { links: [a] }
  d: { image: x, recipe: {}, ports: { h: { port: 1, publish: { port: 80, address: 127.0.0.1 } } } }
  e: { image: x, ports: { h: { port: 1, protocol: udp, publish: { port: 80 } } }, domains: { x.org: {} } }
  F-: { image: x, domains: { x.org: {} }, ports: { h: { port: 2, publish: {} } } }
`),
  );
  expect(faults["a"]).toEqual([
    "Its link leads to gone, which is not here.",
    "It waits for itself: a → b → c → a.",
    "Port 80 of the machine is also claimed by d.",
  ]);
  expect(faults["b"]).toEqual(["It waits for itself: a → b → c → a."]);
  expect(faults["c"]?.[0]).toBe("It has no origin: an image, a recipe or a template.");
  expect(faults["d"]).toEqual([
    "It has several origins: image, recipe.",
    "Port 80 of the machine is also claimed by a.",
  ]);
  expect(faults["e"]).toEqual(["x.org is also a domain of F-."]);
  expect(faults["F-"]?.[0]).toMatch(/^A name has/);
  expect(faultsOf(drawn(DOCUMENT))).toEqual({});
});

it("finds the circle that a link would close, whatever else is there", () => {
  const graph = apps(
    "  a: { links: [b] }\n  b: { after: [c] }\n  c: {}\n  d: { links: [e] }\n  e: { links: [d] }\n",
  );
  expect(circleBy(graph, "c", "a")).toEqual(["c", "a", "b", "c"]);
  expect(circleBy(graph, "a", "c")).toEqual([]);
  expect(circleBy(graph, "a", "d")).toEqual([]);
  expect(circleOf(graph.nodes, graph.edges)).toEqual(["d", "e"]);
});

it("brings a refusal to the applications that it concerns", () => {
  const names = ["web", "db", "applications"];
  const told = refusalsOf(
    "document",
    "10:5: applications.web.imaeg: is not known\n1:1: version: is 2\n12:3: applications.db: waits for itself",
    names,
  );
  expect(told).toEqual({
    faults: { web: ["imaeg: is not known"], db: ["waits for itself"] },
    others: ["Line 1: version: is 2"],
  });
  expect(refusalsOf("unresolved", "web: 1:1: template.answers.port: needs an answer", names).faults).toEqual({
    web: ["template.answers.port: needs an answer"],
  });
  expect(
    refusalsOf("refused", "db: port 0.0.0.0:80/tcp of the host is held by sshd; end that", names),
  ).toEqual({
    faults: { db: ["port 0.0.0.0:80/tcp of the host is held by sshd; end that"] },
    others: [],
  });
  expect(refusalsOf("refused", "memory is short of 1 GiB", names).others).toEqual([
    "memory is short of 1 GiB",
  ]);
  expect(refusalsOf("changed", "web: another", names)).toEqual({ faults: {}, others: ["web: another"] });
  expect(together({ a: ["x"] }, { a: ["x", "y"], b: ["z"] })).toEqual({ a: ["x", "y"], b: ["z"] });
});
