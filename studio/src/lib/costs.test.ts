import { expect, it } from "vitest";
import type { ApplicationCost, Costs } from "../api/xnode";
import { costOf, money, partsOf } from "./costs";

it("tells amounts as plans do", () => {
  for (const [amount, told] of [
    ["0", "0.0000"],
    ["0.000000001", "0.0000"],
    ["0.00005", "0.0001"],
    ["0.0042", "0.0042"],
    ["0.999949999", "0.9999"],
    ["0.99995", "1.00"],
    ["1.005", "1.01"],
    ["16.06", "16.06"],
    ["12345.6789", "12345.68"],
    ["99999999999999999999.5", "99999999999999999999.50"],
  ] as const)
    expect(money(amount), amount).toBe(told);
});

it("says nothing where there are no prices, and names the parts that are something", () => {
  const one: ApplicationCost = {
    name: "db",
    runs: true,
    hour: "0.014",
    month: "10.22",
    processors: "7.3",
    memory: "2.92",
    disk: "0",
    gpus: "0",
  };
  const prices = { currency: "EUR", processor: "0.01", memory: "0.004", disk: "0", gpu: "0" };
  const costs: Costs = { prices, applications: [one], hour: "0.014", month: "10.22" };
  expect(costOf(costs, "db")).toBe(one);
  expect(costOf(costs, "web")).toBeUndefined();
  expect(costOf({ ...costs, prices: null }, "db")).toBeUndefined();
  expect(costOf(undefined, "db")).toBeUndefined();
  expect(partsOf(one)).toBe("processors 7.30, memory 2.92");
});
