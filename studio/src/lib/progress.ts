/** Progress of a deployment, folded from the events of the history: the same in every tab, and after a reload. */
import type { Work, XnodeEvent } from "../api/xnode";
import type { PlanStep } from "./plan";

export type StepState = "waiting" | "works" | "done" | "failed";

export interface StepProgress {
  /** Of the plan; a step that no plan of this browser has is without one. */
  number: number | null;
  text: string;
  reason: string;
  destroys: string | null;
  state: StepState;
  /** Moment of its last event. */
  at: string | null;
  tookMs: number | null;
  /** Cause of its failure. */
  cause: string | null;
  /** Bytes that are done, and all, while they are known. */
  bytes: [number, number] | null;
}

/** Something that holds a deployment up. */
export interface Hold {
  application: string | null;
  cause: string;
  at: string;
}

export interface Progress {
  generation: number;
  /**
   * `serves`: everything serves, and the new versions are watched; `returned`: it has failed, and the next generation brings
   * back what it changed; `replaced`: a person wants another generation by now.
   */
  state: "unknown" | "works" | "serves" | "done" | "held" | "returned" | "replaced";
  /** Words of the event that wanted it: by whom, and why. */
  asked: string | null;
  begun: string | null;
  ended: string | null;
  /** Words of its return: the cause, and what follows. */
  returned: string | null;
  /** Number of the generation that took its place. */
  replacedBy: number | null;
  steps: StepProgress[];
  holds: Hold[];
  /** Failures of no step, and what the agent said beside the steps. */
  words: XnodeEvent[];
}

const waiting = (step: PlanStep): StepProgress => ({
  ...step,
  state: "waiting",
  at: null,
  tookMs: null,
  cause: null,
  bytes: null,
});

const TOOK = /^([\s\S]*) \((\d+) ms\)$/;

/** The progress of a generation that follows from a plan, where one is known, and from events in their order. */
export function progressOf(
  generation: number,
  planned: readonly PlanStep[],
  events: readonly XnodeEvent[],
): Progress {
  const begin: Progress = {
    generation,
    state: "unknown",
    asked: null,
    begun: null,
    ended: null,
    returned: null,
    replacedBy: null,
    steps: planned.map(waiting),
    holds: [],
    words: [],
  };
  return events.reduce(withEvent, begin);
}

/** A progress with one more event. Events of other generations say only that it was replaced. */
export function withEvent(progress: Progress, event: XnodeEvent): Progress {
  // A deployment ends at its first rest: what is repaired later is no part of it.
  if (progress.state === "done") return progress;
  if (event.kind === "wanted" && event.generation > progress.generation)
    return progress.replacedBy === null
      ? {
          ...progress,
          state: progress.state === "returned" ? "returned" : "replaced",
          replacedBy: event.generation,
          ended: progress.ended ?? event.at,
        }
      : progress;
  if (
    event.generation !== progress.generation ||
    progress.state === "replaced" ||
    progress.state === "returned"
  )
    return progress;
  const state = progress.state === "serves" ? "serves" : "works";
  const going: Progress = { ...progress, state, begun: progress.begun ?? event.at };
  switch (event.kind) {
    case "wanted":
      return { ...going, asked: event.text };
    case "begins":
    case "done":
      if (isAside(progress, event)) return { ...progress, words: [...progress.words, event] };
      if (event.kind === "begins") return { ...going, steps: begun(going.steps, event) };
      return {
        ...going,
        steps: done(going.steps, event),
        holds: withoutHolds(going.holds, event.application),
      };
    case "failed":
      return failed(going, event);
    case "held":
      return {
        ...going,
        state: "held",
        holds: [
          ...going.holds.filter(
            ({ application, cause }) => application !== event.application || cause !== event.text,
          ),
          { application: event.application, cause: event.text, at: event.at },
        ],
      };
    case "serves":
      return { ...going, state: "serves" };
    case "returned":
      return { ...going, state: "returned", returned: event.text, ended: event.at };
    case "rest":
      return { ...going, state: "done", ended: event.at, holds: [], steps: going.steps.map(passed) };
    default:
      // An agent that began again, a secret that was set: nothing of its own, and no news of the deployment.
      return { ...progress, words: [...progress.words, event] };
  }
}

/** What holds up an application is over when a step of it is done. */
const withoutHolds = (holds: Hold[], application: string | null): Hold[] =>
  application === null ? holds : holds.filter((hold) => hold.application !== application);

/** At rest a step of the plan that no event told of was done before it could be told, or needs no doing. */
const passed = (step: StepProgress): StepProgress =>
  step.state === "done" ? step : { ...step, state: "done", cause: null, bytes: null };

/** First words of what is done beside a deployment: for the plan of the next one, by a person, and by jobs of applications. */
const ASIDE = /^(?:`|job |looks up |builds |pulls |makes an image )/;

/**
 * True for what is told under a deployment's number and is no step of it. A step that was not planned still is one: it says
 * how long it took.
 */
function isAside({ steps }: Progress, { kind, text }: XnodeEvent): boolean {
  const [, words = text, ms] = kind === "done" ? (TOOK.exec(text) ?? []) : [];
  if (knows(steps, words)) return false;
  if (ASIDE.test(text)) return true;
  return kind === "done" ? ms === undefined : steps.some(({ number }) => number !== null);
}

const knows = (steps: StepProgress[], words: string): boolean => steps.some(({ text }) => text === words);

/** The first step of a text that is not done, else the first of it; a new one at the end where there is none. */
function changed(
  steps: StepProgress[],
  text: string,
  change: (step: StepProgress) => StepProgress,
): StepProgress[] {
  const open = steps.findIndex((step) => step.text === text && step.state !== "done");
  const at = open >= 0 ? open : steps.findIndex((step) => step.text === text);
  if (at < 0)
    return [...steps, change(waiting({ number: 0, text, reason: "", destroys: null }))].map(unnumbered);
  return steps.map((step, each) => (each === at ? change(step) : step));
}

const unnumbered = (step: StepProgress): StepProgress =>
  step.number === 0 ? { ...step, number: null } : step;

const begun = (steps: StepProgress[], event: XnodeEvent) =>
  changed(steps, event.text, (step) => ({ ...step, state: "works", at: event.at, cause: null }));

function done(steps: StepProgress[], event: XnodeEvent): StepProgress[] {
  const [, text = event.text, ms] = TOOK.exec(event.text) ?? [];
  return changed(steps, text, (step) => ({
    ...step,
    state: "done",
    at: event.at,
    tookMs: ms === undefined ? null : Number(ms),
    cause: null,
    bytes: null,
  }));
}

/** A failure names its step before its cause; one of no step is said as it is. */
function failed(progress: Progress, event: XnodeEvent): Progress {
  const step = progress.steps.find(
    ({ text, state }) => state !== "done" && event.text.startsWith(`${text}: `),
  );
  if (!step) return { ...progress, words: [...progress.words, event] };
  const cause = event.text.slice(step.text.length + 2);
  return {
    ...progress,
    steps: changed(progress.steps, step.text, (each) => ({ ...each, state: "failed", at: event.at, cause })),
  };
}

/** A progress with what the agent does at this moment: its step, with its bytes. */
export function withWork(progress: Progress, work: Work): Progress {
  const { step: text, bytes } = work;
  if (text === null || !["works", "serves", "held"].includes(progress.state)) return progress;
  return {
    ...progress,
    steps: changed(progress.steps, text, (step) => ({
      ...step,
      // A step that is tried again keeps the cause of its last failure until it is done.
      state: step.state === "done" ? "done" : "works",
      bytes: step.state === "done" ? null : bytes,
    })),
  };
}

/** Steps that are done, and all that are known. */
export const counted = ({ steps }: Progress): { done: number; all: number } => ({
  done: steps.filter(({ state }) => state === "done").length,
  all: steps.length,
});
