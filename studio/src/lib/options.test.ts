import { expect, it } from "vitest";
import type { TemplateField } from "../api/xnode";
import { answersOf, freeName, templatesOf, wrongAnswer, wrongAnswers } from "./options";

const field = (kind: string, more: Partial<TemplateField> = {}): TemplateField => ({
  name: "it",
  kind,
  title: "It",
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
const all = (of: TemplateField, texts: string[]) => texts.map((text) => wrongAnswer(of, text));
const rights = (count: number) => Array.from({ length: count }, () => null);

it("wants an answer where one is needed, and else takes the default", () => {
  expect(wrongAnswer(field("text", { required: true }), "")).toMatch(/needed/);
  expect(wrongAnswer(field("number", { default: "5" }), " ")).toBeNull();
});

it("reads numbers and sizes within their bounds", () => {
  const number = field("number", { least: "1", greatest: "16" });
  expect(all(number, ["1", "16", " 4 "])).toEqual(rights(3));
  for (const text of ["0", "17", "1.5", "-1", "1e2", "many"])
    expect(wrongAnswer(number, text)).toBe("A whole number from 1 to 16 is expected.");
  const size = field("size", { least: "64 MiB" });
  expect(all(size, ["64MiB", "1 GiB"])).toEqual(rights(2));
  expect(wrongAnswer(size, "63MiB")).toBe("A size of at least 64 MiB is expected.");
  expect(wrongAnswer(size, "64")).toMatch(/unit is missing/);
  expect(wrongAnswer(field("number"), "18446744073709551616")).toBe("A whole number is expected.");
});

it("holds a text against its pattern, and one line is a line", () => {
  const text = field("text", { pattern: "[a-z]+", pattern_words: "small letters" });
  expect(wrongAnswer(text, "abc")).toBeNull();
  expect(wrongAnswer(text, "abc1")).toBe("It must be small letters.");
  expect(wrongAnswer(field("text"), "two\nlines")).toMatch(/One line/);
  expect(wrongAnswer(field("text"), "ä".repeat(2_049))).toMatch(/4096 bytes/);
  // An expression that no browser knows is left to the agent.
  expect(wrongAnswer(field("text", { pattern: "(?P<a>x)(" }), "anything")).toBeNull();
});

it("knows where a port may be published", () => {
  const good = ["none", "auto", "8080", "127.0.0.1:8080", "[::1]:auto", "0.0.0.0:auto"];
  expect(all(field("port"), good)).toEqual(rights(good.length));
  for (const text of ["0", "65536", "http", "127.0.0.1:", "::1:80", "host:80", "80:80"])
    expect([text, wrongAnswer(field("port"), text)]).toEqual([text, expect.stringMatching(/none, auto/)]);
});

it("reads choices, switches, names and domains", () => {
  expect(wrongAnswer(field("choice", { choices: ["a", "b"] }), "c")).toMatch(/a, b/);
  expect(all(field("boolean"), ["true", "false"])).toEqual(rights(2));
  expect(wrongAnswer(field("boolean"), "yes")).toMatch(/True or false/);
  expect(all(field("secret"), ["db-password", "secret:db-password"])).toEqual(rights(2));
  expect(wrongAnswer(field("secret"), "My Secret")).toMatch(/name of a secret/);
  expect(wrongAnswer(field("application"), "web-")).toMatch(/no hyphen last/);
  expect(all(field("domain"), ["shop.example.org", "Shop.Example.org", "attic"])).toEqual(rights(3));
  for (const text of ["-a.org", "a..org", "a b.org", "http://a.org", `${"a".repeat(64)}.org`])
    expect(wrongAnswer(field("domain"), text)).toMatch(/domain/);
  expect(wrongAnswer(field("of a later agent"), "anything")).toBeNull();
});

it("sends what was written and is not the default anyway", () => {
  const fields = [
    field("number", { name: "memory", default: "64" }),
    field("text", { name: "title" }),
    field("text", { name: "empty" }),
  ];
  expect(answersOf(fields, { memory: " 64 ", title: "Hello", other: "x" })).toEqual({ title: "Hello" });
  expect(answersOf(fields, { memory: "65" })).toEqual({ memory: "65" });
  expect(wrongAnswers(fields, { memory: "x" })).toEqual({ memory: "A whole number is expected." });
});

it("offers a name that is free", () => {
  expect(freeName("redis", [])).toBe("redis");
  expect(freeName("redis", ["redis", "redis-2"])).toBe("redis-3");
  expect(freeName("a".repeat(32), ["a".repeat(32)])).toBe(`${"a".repeat(28)}-2`);
});

it("searches templates by all words, within a category", () => {
  const templates = [
    { name: "redis", title: "Redis", summary: "A store in memory", category: "database" },
    {
      name: "nginx",
      title: "Static site",
      summary: "Files by HTTP",
      category: "web",
      publisher: "Acme Ltd.",
    },
  ];
  const names = (text: string, category = "") =>
    templatesOf(templates, { text, category }).map(({ name }) => name);
  expect(names("")).toEqual(["redis", "nginx"]);
  expect(names("store MEMORY")).toEqual(["redis"]);
  expect(names("", "web")).toEqual(["nginx"]);
  expect(names("redis", "web")).toEqual([]);
  expect(names("acme")).toEqual(["nginx"]);
});
