import { beforeEach, expect, it, vi } from "vitest";
import { recallPlaces, rememberPlaces } from "./places";

beforeEach(() => localStorage.clear());

it("keeps places for each machine, the last ones first", () => {
  rememberPlaces("attic", { web: { x: 20, y: 40 } });
  rememberPlaces("cellar", { web: { x: 0, y: 0 } });
  rememberPlaces("attic", { web: { x: 60, y: 40 } });
  expect(recallPlaces("attic")).toEqual({ web: { x: 60, y: 40 } });
  expect(recallPlaces("cellar")).toEqual({ web: { x: 0, y: 0 } });
  for (let at = 0; at < 20; at += 1) rememberPlaces(`other ${at}`, {});
  expect(recallPlaces("attic")).toEqual({});
});

it("goes on where the store is full or holds something else", () => {
  for (const stored of ["{", "5", '[null, {"machine": "attic", "places": 5}]']) {
    localStorage.setItem("openmesh-xnode-canvas", stored);
    expect(recallPlaces("attic")).toEqual({});
    expect(() => rememberPlaces("attic", { web: { x: 0, y: 0 } })).not.toThrow();
  }
  localStorage.setItem(
    "openmesh-xnode-canvas",
    '[{"machine": "attic", "places": {"a": {"x": "1", "y": 2}, "b": {"x": 1, "y": 2}, "c": null}}]',
  );
  expect(recallPlaces("attic")).toEqual({ b: { x: 1, y: 2 } });
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  expect(() => rememberPlaces("attic", {})).not.toThrow();
});
