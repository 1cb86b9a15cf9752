/** The supply as a picture: shares of what there is, without passing an amount through a float. */
import type { SupplyInfo } from "../api/types";

/** Parts of a whole that a share is exact to. */
const PARTS = 10_000n;

/** An amount as a share of a whole, between 0 and 1, cut to a hundredth of a per cent. */
export function shareOf(amount: string, whole: string): number {
  const [part, all] = [BigInt(amount), BigInt(whole)];
  return all <= 0n ? 0 : Number((part * PARTS) / all) / Number(PARTS);
}

/** `20 %`, `0.5 %`, and `under 0.01 %` of what is not nothing. */
export function percent(amount: string, whole: string): string {
  const share = shareOf(amount, whole);
  if (share === 0 && BigInt(amount) > 0n) return "under 0.01 %";
  return `${(share * 100).toFixed(2).replace(/\.?0+$/, "")} %`;
}

/** A sum of amounts. */
export const sumOf = (amounts: readonly string[]): string =>
  amounts.reduce((sum, amount) => sum + BigInt(amount), 0n).toString();

/** A place where OPEN stands, with its name for people. */
export interface Place {
  name: string;
  amount: string;
  /** One of the tones of the picture. */
  tone: "pools" | "accounts" | "deposits" | "burnt";
}

/** The places of the whole supply, which sum to the cap. */
export const placesOf = (supply: SupplyInfo): Place[] => [
  { name: "In pools", amount: supply.pools, tone: "pools" },
  { name: "In accounts", amount: supply.accounts, tone: "accounts" },
  { name: "Deposits", amount: supply.deposits, tone: "deposits" },
  { name: "Burnt", amount: supply.burnt, tone: "burnt" },
];
