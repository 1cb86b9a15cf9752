import { expect, it } from "vitest";
import type { TemplateField } from "../api/xnode";
import { canonical, entriesOf, valueAt, type Tree } from "../lib/tree";
import { readTree } from "../lib/treeRead";
import {
  answersIn,
  carried,
  placeOfBackups,
  withAnswers,
  withApplications,
  withCopy,
  withLink,
  withoutApplication,
  withoutLink,
} from "./changes";
import { graphOf, type Graph } from "./graph";
import { reasonAgainstLink } from "./model";
import { documentOf, numbers } from "./seeds";

const treeOf = (text: string): Tree => {
  const read = readTree(text);
  if (!("tree" in read)) throw new Error(`line ${read.line} ${read.what} in:\n${text}`);
  return read.tree;
};
const drawn = (text: string): Graph => {
  const found = graphOf(text);
  if (!("graph" in found)) throw new Error(`line ${found.line} ${found.what} in:\n${text}`);
  return found.graph;
};
/** Each application as it is written, and each other key. */
const parts = (text: string): Map<string, string> => {
  const tree = treeOf(text);
  const applications = entriesOf(valueAt(tree, "applications"));
  const others = entriesOf(tree).filter(({ key }) => key !== "applications");
  return new Map([
    ...applications.map(({ key, from, to }): [string, string] => [`app ${key}`, text.slice(from, to)]),
    ...others.map(({ key, from, to }): [string, string] => [`key ${key}`, text.slice(from, to)]),
  ]);
};
const without = (all: Map<string, string>, ...names: string[]) =>
  [...all].filter(([key]) => !names.some((name) => key === `app ${name}`));
const SEEDS = Array.from({ length: 300 }, (_, at) => at + 1);

it("leaves every other part as it was written, whatever is changed", () => {
  for (const seed of SEEDS) {
    const { text, names } = documentOf(seed);
    const next = numbers(seed + 7);
    const pick = () => names[Math.floor(next() * names.length)] ?? "";
    const before = parts(text);
    const [one, other] = [pick(), pick()];
    const said = `seed ${seed}:\n${text}`;
    const added = withApplications(
      text,
      "version: 1\napplications:\n  fresh:\n    image: x\n    links:\n      - db\n",
    );
    if (!added || !("text" in added)) throw new Error(said);
    expect(without(parts(added.text), "fresh"), said).toEqual(without(before));
    expect(canonical(valueAt(treeOf(added.text), "applications", "fresh") ?? treeOf("")), said).toBe(
      '{"image":"x","links":["db"]}',
    );
    if (names.length === 0) continue;
    const copy = withCopy(text, one, "twin") ?? "";
    expect(without(parts(copy), "twin"), said).toEqual(without(before));
    if (one === other || reasonAgainstLink(drawn(text), one, other) !== null) continue;
    const linked = withLink(text, one, other) ?? "";
    expect(without(parts(linked), one), said).toEqual(without(before, one));
    expect(drawn(linked).nodes.find(({ name }) => name === one)?.links, said).toContain(other);
  }
});

it("takes back what it did: a link, a copy, an application", () => {
  for (const seed of SEEDS) {
    const { text, names } = documentOf(seed);
    const said = `seed ${seed}:\n${text}`;
    const meaning = canonical(treeOf(text));
    const added = withApplications(text, "applications: {fresh: {image: x}}");
    if (!added || !("text" in added)) throw new Error(said);
    const back = withoutApplication(added.text, "fresh") ?? "";
    expect(canonical(treeOf(back)), said).toBe(meaning);
    for (const one of names) {
      const copy = withCopy(text, one, "twin") ?? "";
      expect(withoutApplication(copy, "twin"), said).toBe(text);
      for (const other of names) {
        if (reasonAgainstLink(drawn(text), one, other) !== null) continue;
        const linked = withLink(text, one, other) ?? "";
        const unlinked = withoutLink(linked, "links", one, other);
        // A list that was there is as it was; one that was made goes, with its key.
        expect(unlinked, said).toBe(text);
      }
    }
  }
});

it("takes an application out with the links that lead to it, and nothing else", () => {
  for (const seed of SEEDS) {
    const { text, names } = documentOf(seed);
    for (const gone of names) {
      const said = `seed ${seed}, ${gone}:\n${text}`;
      const left = withoutApplication(text, gone) ?? "";
      const graph = drawn(left);
      expect(graph.nodes.map(({ name }) => name).sort(), said).toEqual(names.filter((name) => name !== gone));
      expect(
        graph.nodes.flatMap(({ links, after }) => [...links, ...after]),
        said,
      ).not.toContain(gone);
      const users = drawn(text).nodes.filter(({ links }) => links.includes(gone));
      const touched = [gone, ...users.map(({ name }) => name)];
      expect(without(parts(left), ...touched), said).toEqual(without(parts(text), ...touched));
    }
  }
});

it("gives a copy free ports and no domain", () => {
  const text = `applications:
  web:
    image: nginx
    ports: { http: { port: 80, publish: { port: 8080, address: 127.0.0.1 } }, inner: { port: 81 } }
    domains: { x.org: { port: http } }
    mystery: [1]
`;
  const twin = valueAt(treeOf(withCopy(text, "web", "twin") ?? ""), "applications", "twin");
  expect(twin && canonical(twin)).toBe(
    canonical(
      treeOf(
        "{image: nginx, mystery: [1], ports: {http: {port: 80, publish: {address: 127.0.0.1}}, inner: {port: 81}}}",
      ),
    ),
  );
  expect(withCopy(text, "web", "web")).toBeNull();
  expect(withCopy(text, "gone", "twin")).toBeNull();
});

it("adds to an empty machine and to JSON, and names what is there already", () => {
  const part = "version: 1\napplications:\n  db:\n    image: x\n";
  expect(withApplications("", part)).toEqual({ text: part });
  expect(withApplications("version: 1\n", part)).toEqual({ text: part });
  expect(withApplications(part, part)).toEqual({ taken: ["db"] });
  expect(withApplications("a: &x 1\n", part)).toBeNull();
  expect(withApplications("", "version: 1\n")).toBeNull();
  const json = withApplications('{\n  "version": 1\n}\n', part);
  expect(json && "text" in json && JSON.parse(json.text)).toEqual({
    version: 1,
    applications: { db: { image: "x" } },
  });
});

const field = (name: string, kind: string, more: Partial<TemplateField> = {}): TemplateField => ({
  name,
  kind,
  title: name,
  help: null,
  default: null,
  choices: [],
  least: null,
  greatest: null,
  unit: null,
  pattern: null,
  pattern_words: null,
  advanced: false,
  required: false,
  generated: null,
  makes: null,
  ...more,
});
const FIELDS = [
  field("memory", "size", { default: "64 MiB" }),
  field("port", "port", { port: "http" }),
  field("domain", "domain", { default: "" }),
  field("password", "secret", { generated: 32 }),
  field("database", "application", { makes: "mariadb" }),
  field("key", "text"),
];
const FORM = `version: 1
applications:
  db:
    image: mariadb:11
  web: # mine
    template:
      name: wordpress
      version: "1"
      answers:
        password: { secret: web-password } # of the machine
        database: db
        domain: old.example.org
        key: { secret: hidden }
    ports:
      http: { port: 8080, publish: { port: 8088 } }
    domains:
      old.example.org: { port: http, audience: members }
      own.example.org: { port: http }
    links: [db]
    limits: { memory: 1 GiB }
`;

it("reads the answers of an application as its form has them", () => {
  const { fields, answers } = answersIn(FORM, "web", FIELDS);
  expect(answers).toEqual({
    memory: "64 MiB",
    port: "8088",
    domain: "old.example.org",
    password: "secret:web-password",
    database: "db",
  });
  // A secret as the answer of a text has no input.
  expect(fields.map(({ name }) => name)).not.toContain("key");
  expect(answersIn(FORM, "web", [field("port", "port")]).fields).toEqual([]);
});

it("finds the place to which an application is backed up", () => {
  const text = "applications:\n  db: { image: x, backup: { to: disk } }\n  web: { image: x }\n";
  expect(["db", "web", "none"].map((name) => placeOfBackups(text, name))).toEqual(["disk", null, null]);
});

it("puts other answers into a document, and leaves what somebody wrote beside them", () => {
  const before = answersIn(FORM, "web", FIELDS).answers;
  const made = `version: 1
applications:
  web:
    template:
      name: wordpress
      version: "1"
      answers:
        password:
          secret: web-password
        database: web-database
        domain: new.example.org
        memory: 96 MiB
    ports:
      http:
        port: 8080
        publish:
          address: 127.0.0.1
    domains:
      new.example.org:
        port: http
    links:
      - web-database
  web-database:
    template:
      name: mariadb
`;
  const after = {
    ...before,
    memory: "96 MiB",
    port: "127.0.0.1:auto",
    domain: "new.example.org",
    database: "",
  };
  expect(withAnswers(FORM, { name: "web", fields: FIELDS, before, after, made })).toBe(`version: 1
applications:
  db:
    image: mariadb:11
  web: # mine
    template:
      name: wordpress
      version: "1"
      answers:
        password: { secret: web-password } # of the machine
        database: web-database
        domain: new.example.org
        key: { secret: hidden }
        memory: 96 MiB
    ports:
      http: { port: 8080, publish: {"address": "127.0.0.1"} }
    domains:
      own.example.org: { port: http }
      new.example.org:
        port: http
    links: [web-database]
    limits: { memory: 1 GiB }
  web-database:
    template:
      name: mariadb
`);
  expect(withAnswers(FORM, { name: "web", fields: FIELDS, before, after: before, made })).toContain(
    "database: db",
  );
  expect(withAnswers(FORM, { name: "gone", fields: FIELDS, before, after, made })).toBeNull();
});

it("takes a publication away, and an answer that is the default again", () => {
  const before = { memory: "96 MiB", port: "auto" };
  const text = `applications:
  web:
    template: { name: x, answers: { memory: 96 MiB } }
    ports: { http: { port: 80, publish: {} } }
`;
  const made = "applications:\n  web:\n    template:\n      name: x\n";
  const after = { memory: "64 MiB", port: "none" };
  const done = withAnswers(text, { name: "web", fields: FIELDS, before, after, made }) ?? "";
  expect(canonical(treeOf(done))).toBe(
    canonical(treeOf("applications: {web: {template: {name: x}, ports: {http: {port: 80}}}}")),
  );
});

it("carries changes over to what somebody else has deployed meanwhile", () => {
  const base =
    "version: 1\napplications:\n  a:\n    image: a:1\n  b:\n    image: b:1\n  c:\n    image: c:1\n";
  const mine = `${base.replace("a:1", "a:2").replace("  c:\n    image: c:1\n", "")}  d:\n    image: d:1\n`;
  const next = `${base.replace("b:1", "b:9").replace("a:1", "a:9")}machine:\n  name: attic\n`;
  const over = carried(base, mine, next);
  expect(over?.both).toEqual(["a"]);
  expect(canonical(treeOf(over?.text ?? ""))).toBe(
    canonical(
      treeOf(
        "{version: 1, machine: {name: attic}, applications: {a: {image: a:2}, b: {image: b:9}, d: {image: d:1}}}",
      ),
    ),
  );
  expect(carried("", "version: 1\napplications: {a: {image: x}}\n", "")?.text).toBe(
    "version: 1\napplications:\n  a:\n    image: x\n",
  );
  expect(carried(base, "a: &x 1", next)).toBeNull();
});
