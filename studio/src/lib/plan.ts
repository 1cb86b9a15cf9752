/** Plans of the agent, read from the text in which they are said. */

/** A step of a plan. */
export interface PlanStep {
  number: number;
  text: string;
  reason: string;
  /** What is lost by it. */
  destroys: string | null;
}

/** A plan in its parts. What has none of their forms stays among the notes: nothing of a plan is left out. */
export interface PlanParts {
  /** `generation 4 after 3: 5 steps`. */
  head: string;
  /** Changes and rights by application. */
  notes: string[];
  steps: PlanStep[];
  /** Applications that are left as they are, with the reason. */
  held: string[];
}

const STEP = /^ *(\d+)\. (.*)$/;
const REASON = /^(.*) \(([^()]*)\)$/;
const DESTROYS = /^ {6}destroys (.*)$/;
const HELD = /^held: (.*)$/;

/** Reads the text of a plan. */
export function readPlan(text: string): PlanParts {
  const [head = "", ...lines] = text.trimEnd().split("\n");
  const parts: PlanParts = { head, notes: [], steps: [], held: [] };
  for (const line of lines) {
    const step = STEP.exec(line);
    const held = HELD.exec(line);
    const destroys = DESTROYS.exec(line);
    const last = parts.steps.at(-1);
    if (step && parts.held.length === 0) {
      const said = step[2] ?? "";
      const [, words = said, reason = ""] = REASON.exec(said) ?? [];
      parts.steps.push({ number: Number(step[1]), text: words, reason, destroys: null });
    } else if (held) parts.held.push(held[1] ?? "");
    else if (destroys && last && last.destroys === null) last.destroys = destroys[1] ?? "";
    // A refusal of several lines.
    else if (parts.held.length > 0) parts.held.push(`${parts.held.pop() ?? ""}\n${line}`);
    else if (line.trim() !== "") parts.notes.push(line);
  }
  return parts;
}

/** A difference of two generations, by path. */
export interface Change {
  kind: "added" | "removed" | "changed" | "other";
  path: string;
  before: string;
  after: string;
}

/** Reads a line of the agent's diff of two generations: `~ path: before -> after`, `+ path: after`, `- path: before`. */
export function readChange(line: string): Change {
  const [, mark = "", path = "", rest = ""] = /^([~+-]) (\S+): ([\s\S]*)$/.exec(line) ?? [];
  if (mark === "+") return { kind: "added", path, before: "", after: rest };
  if (mark === "-") return { kind: "removed", path, before: rest, after: "" };
  const [before = "", after, ...more] = rest.split(" -> ");
  // With an arrow in a value nobody can tell where it is cut.
  if (mark === "~" && after !== undefined && more.length === 0)
    return { kind: "changed", path, before, after };
  return { kind: "other", path: "", before: "", after: line };
}
