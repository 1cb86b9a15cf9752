import { expect, it } from "vitest";
import { readChange, readPlan } from "./plan";

const PLAN = `generation 4 after 3: 3 steps
db is removed
web ~ variables.MODE: "a" -> "b"
web has CHOWN in its own namespace; a writable root of 1 GiB
   1. fetch docker.io/library/nginx:1.27 (1a2b3c4d, 12.5 MiB) (its image is not here)
   2. hold requests to db for at most 30s (another version)
      destroys open connections of raw TCP, once
  10. commit generation 4 (everything is done)
held: cache: its volume is missing
  look at it
`;

it("reads a plan with what it destroys and what it holds", () => {
  const plan = readPlan(PLAN);
  expect(plan.head).toBe("generation 4 after 3: 3 steps");
  expect(plan.notes).toHaveLength(3);
  expect(plan.steps).toEqual([
    {
      number: 1,
      text: "fetch docker.io/library/nginx:1.27 (1a2b3c4d, 12.5 MiB)",
      reason: "its image is not here",
      destroys: null,
    },
    {
      number: 2,
      text: "hold requests to db for at most 30s",
      reason: "another version",
      destroys: "open connections of raw TCP, once",
    },
    { number: 10, text: "commit generation 4", reason: "everything is done", destroys: null },
  ]);
  expect(plan.held).toEqual(["cache: its volume is missing\n  look at it"]);
});

it("loses nothing of a plan that it does not understand", () => {
  expect(readPlan("nothing to do\nsome news\n\n   1. step without reason").notes).toEqual(["some news"]);
  expect(readPlan("x\n   1. step without reason").steps[0]).toMatchObject({
    text: "step without reason",
    reason: "",
  });
  expect(readPlan("")).toEqual({ head: "", notes: [], steps: [], held: [] });
});

it("reads the lines of a diff", () => {
  expect(readChange("~ portable.a.b: 1 -> 2")).toEqual({
    kind: "changed",
    path: "portable.a.b",
    before: "1",
    after: "2",
  });
  expect(readChange('+ x.y: "a: b -> c"')).toEqual({
    kind: "added",
    path: "x.y",
    before: "",
    after: '"a: b -> c"',
  });
  expect(readChange("- x.y: 3").kind).toBe("removed");
  // An arrow in a value: the line is shown as it is.
  expect(readChange('~ x: "a -> b" -> "c"')).toMatchObject({ kind: "other", after: '~ x: "a -> b" -> "c"' });
  expect(readChange("words")).toMatchObject({ kind: "other", after: "words" });
});
