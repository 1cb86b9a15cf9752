/** Plans of this browser's last deployments, so that a second tab and a page that is loaded again know all steps beforehand. */

const KEY = "openmesh-xnode-plans";
/** Plans that are kept: of the deployments that somebody still looks at. */
const PLANS_MAX = 5;
/** Longest plan that is kept, in characters; a longer one is followed by its events alone. */
const PLAN_CHARS_MAX = 100_000;

interface Kept {
  generation: number;
  /** First event of the deployment: numbers of generations begin anew with another agent, and those of its events too. */
  events: number;
  plan: string;
}

function read(): Kept[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(stored) ? (stored as Kept[]) : [];
  } catch {
    return [];
  }
}

export function rememberPlan(kept: Kept): void {
  if (kept.plan.length > PLAN_CHARS_MAX) return;
  const others = read().filter(({ generation }) => generation !== kept.generation);
  localStorage.setItem(KEY, JSON.stringify([kept, ...others].slice(0, PLANS_MAX)));
}

/** The plan of a generation; the empty text where this browser did not deploy it. */
export function recallPlan(generation: number): string {
  const found = read().find((each) => each.generation === generation);
  return typeof found?.plan === "string" ? found.plan : "";
}
