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
  try {
    localStorage.setItem(KEY, JSON.stringify([kept, ...others].slice(0, PLANS_MAX)));
  } catch {
    // A full store costs the steps beforehand, and not the way to the deployment.
  }
}

/**
 * The plan of a generation; the empty text where this browser did not deploy it. `from`: the first event of the deployment
 * where that is known, else 0; a plan of an agent that was here before has another one.
 */
export function recallPlan(generation: number, from: number): string {
  const found = read().find((each) => each.generation === generation && (from === 0 || each.events === from));
  return typeof found?.plan === "string" ? found.plan : "";
}
