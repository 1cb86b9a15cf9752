import { expect, it } from "vitest";
import { listOf, mapOf, word } from "./treePrint";
import { addWord, removeIn, removeWord, setIn } from "./treeEdit";

const YAML = `# mine
version: 1
applications:
  db: # the store
    image: postgres:16 # pinned
    mystery: { a: [1, 2] }
  web:
    image: nginx
    links: [db] # by name

# the machine
machine: { name: attic }
`;
const JSON_TEXT = `{
  "version": 1,
  "applications": {
    "db": {
      "image": "postgres:16"
    }
  }
}
`;

it("puts a value in its place, and touches nothing else", () => {
  expect(setIn(YAML, ["applications", "db", "image"], word("postgres:17"))).toBe(
    YAML.replace("postgres:16", "postgres:17"),
  );
  expect(setIn(YAML, ["applications", "cache"], mapOf({ image: word("redis") }))).toBe(
    YAML.replace("    links: [db] # by name\n", "    links: [db] # by name\n  cache:\n    image: redis\n"),
  );
  expect(setIn(YAML, ["applications", "db", "limits", "memory"], word("64 MiB"))).toBe(
    YAML.replace("[1, 2] }\n", "[1, 2] }\n    limits:\n      memory: 64 MiB\n"),
  );
  expect(setIn("a:\n", ["a"], word("b"))).toBe("a: b\n");
  expect(setIn("a: {}\n", ["a", "b"], word("c"))).toBe("a:\n  b: c\n");
  expect(setIn("a: [1]\n", ["a", "b"], word("c"))).toBeNull();
  expect(setIn("a: &x 1\n", ["b"], word("c"))).toBeNull();
});

it("puts a value into JSON, which stays JSON", () => {
  const made = setIn(
    JSON_TEXT,
    ["applications", "web"],
    mapOf({ image: word("nginx"), links: listOf(["db"]) }),
  );
  expect(made).toBe(`{
  "version": 1,
  "applications": {
    "db": {
      "image": "postgres:16"
    },
    "web": {
      "image": "nginx",
      "links": [
        "db"
      ]
    }
  }
}
`);
  expect(setIn('{"version":1,"applications":{}}', ["applications", "a"], mapOf({ image: word("b") }))).toBe(
    '{"version":1,"applications": {"a": {"image": "b"}}}',
  );
});

it("takes a value out, with what would be left empty below an application", () => {
  expect(removeIn(YAML, ["applications", "db"])).toBe(YAML.replace(/ {2}db:[\s\S]*?(?= {2}web)/, ""));
  const one = removeIn(YAML, ["applications", "db"]) ?? "";
  expect(removeIn(one, ["applications", "web"])).toContain("applications: {}\n");
  const ports = "applications:\n  a:\n    image: b\n    ports:\n      http:\n        port: 80\n";
  expect(removeIn(ports, ["applications", "a", "ports", "http"])).toBe("applications:\n  a:\n    image: b\n");
  expect(removeIn("applications:\n  a:\n    links:\n      - b", ["applications", "a", "links"])).toBe(
    "applications:\n  a: {}",
  );
  const json = removeIn(JSON_TEXT, ["applications", "db"]) ?? "";
  expect(JSON.parse(json)).toEqual({ version: 1, applications: {} });
  expect(removeIn(YAML, ["applications", "cache"])).toBeNull();
});

it.each([
  ["links: [db] # by name", "links: [db, cache] # by name"],
  ["links:\n      - db", "links:\n      - db\n      - cache"],
  ["links:\n    - db # by name", "links:\n    - db # by name\n    - cache"],
  ["links: []", "links:\n      - cache"],
  ["links: [\n      db\n    ]", "links: [\n      db,\n      cache\n    ]"],
])("adds a word to a list as it is written, and takes it out again: %j", (before, after) => {
  const text = (links: string) =>
    `applications:\n  web:\n    image: nginx\n    ${links}\n    root: writable\n`;
  const path = ["applications", "web", "links"];
  expect(addWord(text(before), path, "cache")).toBe(text(after));
  expect(addWord(text(after), path, "cache")).toBe(text(after));
  if (before !== "links: []") expect(removeWord(text(after), path, "cache")).toBe(text(before));
});

it("makes a list where there is none, and takes an empty one away", () => {
  const path = ["applications", "db", "links"];
  const linked = addWord(YAML, path, "web") ?? "";
  expect(linked).toBe(YAML.replace("[1, 2] }\n", "[1, 2] }\n    links:\n      - web\n"));
  expect(removeWord(linked, path, "web")).toBe(YAML);
  const json = addWord(JSON_TEXT, path, "web") ?? "";
  expect(JSON.parse(json)).toEqual({
    version: 1,
    applications: { db: { image: "postgres:16", links: ["web"] } },
  });
  expect(JSON.parse(addWord(json, path, "cache") ?? "")).toMatchObject({
    applications: { db: { links: ["web", "cache"] } },
  });
  expect(removeWord(json, path, "web")).toBe(JSON_TEXT);
  expect(removeWord(YAML, path, "web")).toBeNull();
});

it("changes a text behind a byte order mark as the text itself", () => {
  const mark = "\ufeff";
  const first = "version: 1\nmachine: { name: attic }\n";
  const changes: ((text: string) => string | null)[] = [
    (text) => setIn(text, ["version"], word("2")),
    (text) => setIn(text, ["applications", "web"], mapOf({ image: word("nginx") })),
    (text) => removeIn(text, ["version"]),
    (text) => setIn(text, ["machine", "name"], word("cellar")),
  ];
  for (const text of [YAML, JSON_TEXT, first])
    for (const change of changes) {
      const made = change(text);
      expect(change(mark + text)).toBe(made === null ? null : mark + made);
    }
});
