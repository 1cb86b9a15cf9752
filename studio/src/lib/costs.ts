/** Costs by the prices of the machine's operator: amounts are decimal texts, exact to the billionth. */
import type { ApplicationCost, Costs } from "../api/xnode";

const PLACES = 9;
const UNIT = 10n ** BigInt(PLACES);

/** An amount for people, as plans tell it: two places behind the point, and four below 1, a half rounded up. */
export function money(amount: string): string {
  const [whole = "0", part = ""] = amount.split(".");
  const billionths = BigInt(whole) * UNIT + BigInt(part.padEnd(PLACES, "0").slice(0, PLACES));
  const places = billionths >= UNIT ? 2 : 4;
  const step = 10n ** BigInt(PLACES - places);
  const rounded = (billionths + step / 2n) / step;
  const unit = 10n ** BigInt(places);
  // What is rounded up to 1 has the places of 1.
  if (places === 4 && rounded >= unit) return `${rounded / unit}.00`;
  return `${rounded / unit}.${String(rounded % unit).padStart(places, "0")}`;
}

/** The cost of an application; none where the document names no prices, or it is in no wanted generation. */
export const costOf = (costs: Costs | undefined, name: string): ApplicationCost | undefined =>
  costs?.prices ? costs.applications.find((each) => each.name === name) : undefined;

/** The parts of a cost that are something, in words. */
export function partsOf(cost: ApplicationCost): string {
  const parts = [
    ["processors", cost.processors],
    ["memory", cost.memory],
    ["disk", cost.disk],
    ["GPUs", cost.gpus],
  ] as const;
  const told = parts.filter(([, amount]) => Number(amount) > 0);
  return told.map(([words, amount]) => `${words} ${money(amount)}`).join(", ");
}
