/** Fees of an action, as the node estimates them: the base fee twice over, with a tip of a tenth of it. */
import type { ActionInfo } from "../api/types";
import { open } from "./format";
import { units } from "./decimals";

/** What is offered, in units of 10^-18 OPEN. */
export interface Fees {
  maxFee: string;
  tip: string;
}

/** A highest fee under which an action is taken until the base fee has doubled, and a tip that is worth a proposer's while. */
export function suggested({ fee_min }: Pick<ActionInfo, "fee_min">): Fees {
  const base = BigInt(fee_min);
  const tip = base / 10n;
  return { maxFee: (base * 2n + tip).toString(), tip: tip.toString() };
}

/** Amount in OPEN as a person would write it into a form. */
export const writable = (amount: string): string => open(amount).replace(/[^0-9.]/g, "");

/** What is wrong with what was written; nothing where it can be offered. */
export function wrongFees(
  { fee_min }: Pick<ActionInfo, "fee_min">,
  written: Fees,
): { maxFee?: string; tip?: string } {
  const [maxFee, tip] = [units(written.maxFee), units(written.tip)];
  const wrong: { maxFee?: string; tip?: string } = {};
  if (maxFee === null) wrong.maxFee = "A fee is a number of OPEN.";
  else if (BigInt(maxFee) < BigInt(fee_min))
    wrong.maxFee = `The base fee of the next block is ${open(fee_min)}.`;
  if (tip === null) wrong.tip = "A tip is a number of OPEN.";
  else if (maxFee !== null && BigInt(tip) > BigInt(maxFee))
    wrong.tip = "The tip is a part of the highest fee.";
  return wrong;
}
