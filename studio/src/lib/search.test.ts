import { expect, it } from "vitest";
import { cidsIn, KIND_WORDS, pageOf, wrongNote, wrongTopic } from "./search";
import type { SearchKind } from "../api/types";

it("knows a page for every kind", () => {
  const pages = Object.keys(KIND_WORDS).map((kind) => pageOf({ kind: kind as SearchKind, key: "a b" }));
  expect(pages.every((page) => page.startsWith("/") && page.includes("a%20b"))).toBe(true);
  expect(new Set(pages).size).toBe(pages.length);
});

it("finds the CIDs of a note", () => {
  const cid = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";
  expect(cidsIn(`see ${cid}, please`)).toEqual([cid]);
  expect(cidsIn("no CID: bafkrei")).toEqual([]);
});

it("says what is wrong with a topic and a note, each by its own words", () => {
  expect(wrongTopic("xnode.drill")).toBeNull();
  expect(wrongTopic("")).toMatch(/needed/);
  expect(wrongTopic("a\u0007b")).toMatch(/control character/);
  expect(wrongTopic("A/b")).toMatch(/a-z/);
  expect(wrongTopic("a".repeat(65))).toMatch(/65/);
  expect(wrongNote("ü".repeat(128))).toBeNull();
  expect(wrongNote("ü".repeat(129))).toMatch(/258/);
  expect(wrongNote("a\nb")).toMatch(/control character/);
});
