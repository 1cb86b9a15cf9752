/** Plans of upgrades in words: how far one has come, when its height is, and who is ready for it. Pure. */
import type { UpgradeInfo, UpgradePlanInfo, UpgradeValidator } from "../api/types";
import { count, duration } from "./format";

/** Blocks until a height, and the time that they take where it can be told. */
export function countdown(
  info: Pick<UpgradeInfo, "height" | "block_ms">,
  newest: number,
  height: number,
): string {
  const left = height - Math.max(info.height, newest);
  if (left <= 0) return "now";
  const blocks = left === 1 ? "1 block" : `${count(left)} blocks`;
  return typeof info.block_ms === "number" && info.block_ms > 0
    ? `${blocks}, about ${duration(left * info.block_ms)}`
    : blocks;
}

/** Least power that is more than two thirds of all. */
export const needed = (total: number): number => Math.floor((total * 2) / 3) + 1;

/** How far a plan has come. */
export function standing({ power, total_power, stands }: UpgradePlanInfo): string {
  const of = `${count(power)} of ${count(total_power)}`;
  return stands
    ? `stands: ${of} of the power`
    : `${of} of the power, ${count(needed(total_power))} are needed`;
}

/** A validator with what it says about a plan. */
export interface Voter {
  validator: UpgradeValidator;
  /** Height of its approval; `null` without one. */
  approved: number | null;
  ready: boolean;
}

/** The validators with what they say about a plan, in the order of the set. */
export function voters(info: UpgradeInfo, plan: UpgradePlanInfo): Voter[] {
  const approvals = new Map(plan.approvals.map(({ validator, height }) => [validator.toLowerCase(), height]));
  return info.validators.map((validator) => ({
    validator,
    approved: approvals.get(validator.address.toLowerCase()) ?? null,
    ready: validator.knows >= plan.version,
  }));
}

/** Whether the network would stand still at a plan's height: too few know its rules to decide a block. */
export const wouldHalt = (plan: UpgradePlanInfo): boolean =>
  plan.stands && plan.ready_power < needed(plan.total_power);

/** The reason of a plan that lapsed, in words. */
export const lapse = (reason: string): string =>
  reason === "too_little_power"
    ? "too little power approved it"
    : reason === "not_later"
      ? "its rules, or later ones, were in force already"
      : reason;
