import { expect, it } from "vitest";
import { canonical, lineAt, linesOf, textOf, valueAt, wordsOf, type Tree } from "./tree";
import { entryLines, flowText, mapOf, word } from "./treePrint";
import { readTree } from "./treeRead";

const treeOf = (text: string): Tree => {
  const read = readTree(text);
  if (!("tree" in read)) throw new Error(`line ${read.line} ${read.what}`);
  return read.tree;
};
/** A tree as plain values. */
const plain = (tree: Tree): unknown => {
  if (tree.kind === "scalar") return textOf(tree);
  if (tree.kind === "list") return tree.items.map(plain);
  return Object.fromEntries(tree.entries.map(({ key, value }) => [key, plain(value)]));
};
const said = (text: string): string => {
  const read = readTree(text);
  return "tree" in read ? "read" : `${read.line}: ${read.what}`;
};

const DOCUMENT = `# the attic
version: 1
applications:
  "db":
    image: "postgres:16" # pinned
    variables: { A: b, "C": 'it''s', D: [x, "y, z"], E: }
    ports:
    - { port: 1 }
    - port: 2
      publish: {}
    -
      port: 3
    files:
      /a: |-
        one

          two
      /b: >
        folded
    nothing:
    command: [/bin/sh, -c,
      "a # b"]
    url: http://x:80/#y
`;

it("reads blocks and flows, with comments and quotes", () => {
  expect(plain(treeOf(DOCUMENT))).toEqual({
    version: "1",
    applications: {
      db: {
        image: "postgres:16",
        variables: { A: "b", C: "it's", D: ["x", "y, z"], E: null },
        ports: [{ port: "1" }, { port: "2", publish: {} }, { port: "3" }],
        files: { "/a": "one\n\n  two", "/b": "folded\n" },
        nothing: null,
        command: ["/bin/sh", "-c", "a # b"],
        url: "http://x:80/#y",
      },
    },
  });
});

it("reads JSON, and keeps numbers as they were written", () => {
  const text = '{\n\t"a": [1, 1.10, true, null, "x\\u00e4\\ud83d\\ude00\\n"],\n\t"b": {"c": {}}\n}\n';
  expect(plain(treeOf(text))).toEqual({ a: ["1", "1.10", "true", null, "xä😀\n"], b: { c: {} } });
});

it("knows where each value stands", () => {
  const tree = treeOf(DOCUMENT);
  const image = valueAt(tree, "applications", "db", "image");
  expect(DOCUMENT.slice(image?.from, image?.to)).toBe('"postgres:16"');
  expect(lineAt(DOCUMENT, image?.from ?? 0)).toBe(5);
  const command = valueAt(tree, "applications", "db", "command");
  expect(DOCUMENT.slice(command?.from, command?.to)).toBe('[/bin/sh, -c,\n      "a # b"]');
  expect(wordsOf(command)).toEqual(["/bin/sh", "-c", "a # b"]);
  expect(valueAt(tree, "applications", "cache")).toBeNull();
});

it.each([
  ["a: &x 1\n", "1: has an anchor"],
  ["a: 1\nb: *x\n", "2: refers to an anchor"],
  ["a: !secret b\n", "1: has a tag"],
  ["a:\n  <<: {b: 1}\n", "2: merges another mapping"],
  ["---\na: 1\n", "1: is one of several documents"],
  ["? a\n: b\n", "1: "],
  ["a: one\n  two\n", "1: goes on in the next line"],
  ['a: "one\n  two"\n', "1: has a quote that is not closed"],
  ["a: 1\n b: 2\n", "1: goes on in the next line"],
  ["a:\n  b: 1\n c: 2\n", "3: stands further right"],
  ["a: 1\na: 2\n", "2: has `a` twice"],
  ["{a: 1, a: 2}\n", "1: has `a` twice"],
  ["a:\n\tb: 1\n", "2: has a tab"],
  ["a: [1, 2\n", "1: has a bracket that is not closed"],
  ["a: {b: c: d}\n", "1: is a pair"],
  ["a: b: c\n", "1: has a value that begins on a line of its own"],
  ["a: |2\n    x\n", "1: says how far its lines are indented"],
  ['a: "\\q"\n', "1: has an escape"],
  ["a: 1\nwords\n", "2: is no key"],
  ["a: {} b\n", "1: goes on behind its value"],
  [`${"[".repeat(40)}${"]".repeat(40)}`, "1: is nested deeper"],
])("says what it does not read, with its line: %j", (text, words) => {
  expect(said(text).startsWith(words), said(text)).toBe(true);
});

it("tells two values apart by what they mean", () => {
  const same = (a: string, b: string) => canonical(treeOf(a)) === canonical(treeOf(b));
  expect(same("a: 1\nb: [x]\n", '{"b": ["x"], "a": "1"}')).toBe(true);
  expect(same("a:\n", "{a: null}")).toBe(true);
  expect(same("a: [x, y]\n", "a: [y, x]\n")).toBe(false);
  expect(same('a: ""\n', "a:\n")).toBe(false);
});

it("prints in blocks what it has read, as the agent does", () => {
  const printed = (tree: Tree) =>
    tree.kind === "map"
      ? tree.entries
          .flatMap(({ key, value, from }) => entryLines(key, value, from, 0))
          .map(({ text }) => `${text}\n`)
          .join("")
      : "";
  const tree = treeOf(DOCUMENT);
  expect(canonical(treeOf(printed(tree)))).toBe(canonical(tree));
  const made = mapOf({
    a: word("5 GiB"),
    b: word("yes"),
    c: word("10"),
    d: word("a: b\n"),
    e: mapOf({}),
    f: word("docker.io/nginx:1"),
    g: word("\u2028"),
  });
  expect(printed(made)).toBe(
    'a: 5 GiB\nb: "yes"\nc: "10"\nd: "a: b\\n"\ne: {}\nf: docker.io/nginx:1\ng: "\\u2028"\n',
  );
});

it("prints as JSON what JSON can say", () => {
  const json = flowText(treeOf("a: 1\nb: [x, 010, on]\nc:\nd: |\n  two\n  lines\ne: {}\n"), 0) ?? "";
  expect(JSON.parse(json)).toEqual({ a: 1, b: ["x", "010", "on"], c: null, d: "two\nlines\n", e: {} });
  expect(flowText(treeOf("a: >\n  folded\n"), 0)).toBeNull();
  expect(flowText(treeOf("{a: [1, {b: 2}]}"), null)).toBe('{"a": [1, {"b": 2}]}');
});

it("tells lines of places one after another as it tells each by itself", () => {
  const text = "a\n\nbc\nd";
  const lineOf = linesOf(text);
  const places = [...text].map((_, at) => at);
  expect(places.map(lineOf)).toEqual(places.map((at) => lineAt(text, at)));
  expect(lineOf(text.length)).toBe(4);
});

it("reads a text behind a byte order mark as the text itself, with its places", () => {
  const mark = "\ufeff";
  for (const text of [DOCUMENT, "a: 1\nb: {c: [1]}\n", '{"a": [1], "b": {}}', "# only a comment\n", ""]) {
    const tree = treeOf(mark + text);
    expect(canonical(tree)).toBe(canonical(treeOf(text)));
    expect(tree.from).toBe(treeOf(text).from + 1);
  }
  const image = valueAt(treeOf(mark + DOCUMENT), "applications", "db", "image");
  expect((mark + DOCUMENT).slice(image?.from, image?.to)).toBe('"postgres:16"');
  expect(said(`${mark}a: 1\na: 2\n`)).toBe(said("a: 1\na: 2\n"));
});
