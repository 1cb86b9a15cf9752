/** Problems of a document by line, read from the words in which the agent refuses it. */

/** A problem with its place in the text that a person wrote. */
export interface LineProblem {
  /** From 1; `null` where it is about no line. */
  line: number | null;
  column: number | null;
  path: string;
  what: string;
  /** What goes on nevertheless: a key of a compose file without which nothing changes. */
  tone: "bad" | "warn" | "plain";
}

const PLACED = /^(\d+):(\d+): (.*)$/;
const COMPOSE = /^line (\d+): (\S+): (ignored|changed|unsupported): (.*)$/;
const PATH = /^([^\s:]+): (.*)$/;

/** One problem of each line of a message. */
export function readProblems(message: string): LineProblem[] {
  return message
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(readProblem);
}

function readProblem(text: string): LineProblem {
  const compose = COMPOSE.exec(text);
  if (compose) {
    const [, line, path = "", kind, what = ""] = compose;
    return { line: Number(line), column: null, path, what, tone: kind === "unsupported" ? "warn" : "plain" };
  }
  const placed = PLACED.exec(text);
  const rest = placed?.[3] ?? text;
  const [, path = "", what = rest] = PATH.exec(rest) ?? [];
  return {
    line: placed ? Number(placed[1]) : null,
    column: placed ? Number(placed[2]) : null,
    path,
    what,
    tone: "bad",
  };
}

/**
 * Problems of a text that was made of another one, at the lines that a person wrote. `origins` has the written line for
 * each line that was sent; a line that nobody wrote has none.
 */
export function atWritten(problems: LineProblem[], origins: readonly (number | null)[]): LineProblem[] {
  return problems.map((problem) => {
    const line = problem.line === null ? null : (origins[problem.line - 1] ?? null);
    return { ...problem, line, column: line === null ? null : problem.column };
  });
}
