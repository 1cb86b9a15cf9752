import { expect, it } from "vitest";
import type { EventKind, Work, XnodeEvent } from "../api/xnode";
import type { PlanStep } from "./plan";
import { counted, progressOf, withWork } from "./progress";

let sequence = 0;
const event = (kind: EventKind, text: string, more: Partial<XnodeEvent> = {}): XnodeEvent => {
  sequence += 1;
  return {
    sequence,
    at: `2026-11-29T10:00:${sequence % 60}Z`,
    kind,
    generation: 4,
    application: null,
    text,
    ...more,
  };
};
const step = (number: number, text: string): PlanStep => ({
  number,
  text,
  reason: "because",
  destroys: null,
});
const PLAN = [
  step(1, "fetch nginx (1a2b, 12 MiB)"),
  step(2, "start web r1/0"),
  step(3, "commit generation 4"),
];
const states = (events: XnodeEvent[]) => progressOf(4, PLAN, events).steps.map(({ state }) => state);

it("follows a deployment from its plan to its rest", () => {
  const events = [
    event("wanted", "generation 4 is wanted by root: news"),
    event("done", "fetch nginx (1a2b, 12 MiB) (1203 ms)"),
    event("begins", "start web r1/0"),
  ];
  expect(states([])).toEqual(["waiting", "waiting", "waiting"]);
  expect(states(events)).toEqual(["done", "works", "waiting"]);
  const progress = progressOf(4, PLAN, events);
  expect(progress).toMatchObject({ state: "works", asked: "generation 4 is wanted by root: news" });
  expect(progress.steps[0]).toMatchObject({ tookMs: 1203, reason: "because" });
  expect(counted(progress)).toEqual({ done: 1, all: 3 });
  const rested = progressOf(4, PLAN, [...events, event("rest", "the machine is as generation 4 says")]);
  expect(rested.state).toBe("done");
  expect(counted(rested)).toEqual({ done: 3, all: 3 });
});

it("knows a step by its words where it has no plan", () => {
  const progress = progressOf(
    4,
    [],
    [event("begins", "mount volume db/data"), event("done", "mount volume db/data (5 ms)")],
  );
  expect(progress.steps).toHaveLength(1);
  expect(progress.steps[0]).toMatchObject({ number: null, state: "done", tookMs: 5 });
});

it("keeps the cause of a failed step until it is done", () => {
  const failure = event("failed", "start web r1/0: no memory", { application: "web" });
  expect(progressOf(4, PLAN, [failure]).steps[1]).toMatchObject({ state: "failed", cause: "no memory" });
  const again = progressOf(4, PLAN, [failure, event("done", "start web r1/0 (7 ms)")]);
  expect(again.steps[1]).toMatchObject({ state: "done", cause: null });
  const other = progressOf(4, PLAN, [event("failed", "the machine cannot be seen")]);
  expect(other.words.map(({ text }) => text)).toEqual(["the machine cannot be seen"]);
});

it("says what holds, and forgets it when that application goes on", () => {
  const held = event("held", "web: its volume is missing", { application: "web" });
  const progress = progressOf(4, PLAN, [held, held]);
  expect(progress).toMatchObject({ state: "held", holds: [{ application: "web" }] });
  expect(progress.holds).toHaveLength(1);
  const on = progressOf(4, PLAN, [held, event("done", "start web r1/0 (7 ms)", { application: "web" })]);
  expect(on).toMatchObject({ state: "works", holds: [] });
});

it("hears of other generations only that it was replaced", () => {
  const events = [
    event("done", "commit generation 3 (1 ms)", { generation: 3 }),
    event("wanted", "generation 4 is wanted by root: a"),
    event("wanted", "generation 5 is wanted by root: b", { generation: 5 }),
    event("done", "start web r1/0 (7 ms)", { generation: 5 }),
  ];
  const progress = progressOf(4, PLAN, events);
  expect(progress).toMatchObject({ state: "replaced", replacedBy: 5 });
  expect(counted(progress).done).toBe(0);
  const ended = progressOf(4, PLAN, [event("rest", "rests"), event("wanted", "5", { generation: 5 })]);
  expect(ended.state).toBe("done");
});

it("says that it serves and is watched, and that it came back by itself", () => {
  const wanted = event("wanted", "w");
  const serves = event("serves", "everything of generation 4 serves; its new versions are watched");
  const watched = progressOf(4, PLAN, [wanted, serves, event("begins", "start web r1/0")]);
  expect(watched.state).toBe("serves");
  const returned = event("returned", "generation 4 has failed: web ended. Generation 5 follows: web returns");
  const back = progressOf(4, PLAN, [
    wanted,
    serves,
    returned,
    event("wanted", "generation 5 is wanted by the agent", { generation: 5 }),
    event("rest", "the machine is as generation 5 says", { generation: 5 }),
  ]);
  expect(back).toMatchObject({
    state: "returned",
    returned: returned.text,
    replacedBy: 5,
    ended: returned.at,
  });
});

it("does not take what is looked up for the next plan for a step, nor a later repair", () => {
  const looks = event("begins", "looks up docker.io/library/redis", { application: "cache" });
  const progress = progressOf(4, PLAN, [event("wanted", "w"), looks]);
  expect(progress.steps).toHaveLength(3);
  expect(progress.words).toEqual([looks]);
  const shell = event("begins", "`a shell` of root in web r1/0", { application: "web" });
  const left = event("done", "`a shell` of root in web r1/0 ended with code 0", { application: "web" });
  expect(progressOf(4, [], [event("wanted", "w"), shell, left])).toMatchObject({
    steps: [],
    words: [shell, left],
  });
  const rested = [event("wanted", "w"), event("rest", "rests"), event("begins", "start web r1/0")];
  expect(progressOf(4, PLAN, rested)).toMatchObject({ state: "done", steps: [{}, { state: "done" }, {}] });
});

it("shows the bytes of the present step", () => {
  const work: Work = {
    state: "works",
    step: "fetch nginx (1a2b, 12 MiB)",
    bytes: [3, 12],
    troubles: [],
    looked_at: null,
  };
  const begun = progressOf(4, PLAN, [event("wanted", "w")]);
  expect(withWork(begun, work).steps[0]).toMatchObject({ state: "works", bytes: [3, 12] });
  const over = progressOf(4, PLAN, [event("done", "fetch nginx (1a2b, 12 MiB) (9 ms)")]);
  expect(withWork(over, work).steps[0]).toMatchObject({ state: "done", bytes: null });
  // Nothing is known of it yet, or it is over: the present step is somebody else's.
  expect(withWork(progressOf(4, PLAN, []), work).steps[0]?.state).toBe("waiting");
});
