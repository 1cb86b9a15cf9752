import { RequestError } from "../../api/client";
import { Notice } from "../../design";
import { atWritten, readProblems, type LineProblem } from "../../lib/problems";

/** Refusals that are about the text, each with its line. */
const TEXT_CODES = ["document", "unresolved", "recipe", "compose"];

/** Problems of the text, at the lines that the person wrote. */
export function problemsOf(error: Error | null, origins?: readonly (number | null)[]): LineProblem[] {
  if (!(error instanceof RequestError) || !TEXT_CODES.includes(error.code)) return [];
  const problems = readProblems(error.message);
  return origins ? atWritten(problems, origins) : problems;
}

/** All problems in the order of the text. */
export function ProblemList({ problems }: { problems: LineProblem[] }) {
  if (problems.length === 0) return null;
  const bad = problems.filter(({ tone }) => tone === "bad").length;
  return (
    <Notice
      tone={bad > 0 ? "bad" : "warn"}
      title={problems.length === 1 ? "1 problem" : `${problems.length} problems`}
    >
      {problems.map((problem, at) => (
        <span key={at} className="below">
          {problem.line === null ? "" : `Line ${problem.line}: `}
          {problem.path ? <code className="long">{problem.path}</code> : null} {problem.what}
        </span>
      ))}
    </Notice>
  );
}
