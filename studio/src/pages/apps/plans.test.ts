import { beforeEach, expect, it, vi } from "vitest";
import { recallPlan, rememberPlan } from "./plans";

beforeEach(() => localStorage.clear());

it("keeps the last plans, each with the deployment that it belongs to", () => {
  for (let n = 1; n <= 7; n += 1) rememberPlan({ generation: n, events: n * 10, plan: `plan ${n}` });
  expect([recallPlan(2, 0), recallPlan(3, 0), recallPlan(7, 70)]).toEqual(["", "plan 3", "plan 7"]);
  // A generation of this number of another agent.
  expect(recallPlan(7, 5)).toBe("");
});

it("goes on where the store is full or holds something else", () => {
  localStorage.setItem("openmesh-xnode-plans", "{");
  expect(recallPlan(1, 0)).toBe("");
  vi.spyOn(Storage.prototype, "setItem").mockImplementation(() => {
    throw new DOMException("full", "QuotaExceededError");
  });
  expect(() => rememberPlan({ generation: 1, events: 1, plan: "plan" })).not.toThrow();
});
