import { describe, expect, it } from "vitest";
import type { UpgradeInfo, UpgradePlanInfo } from "../api/types";
import { countdown, lapse, needed, standing, voters, wouldHalt } from "./upgrades";

const plan: UpgradePlanInfo = {
  id: "ab",
  version: 2,
  height: 1_100,
  release: "openmesh-2",
  digest: "00",
  proposer: "0xA1",
  proposed_height: 900,
  approvals: [{ validator: "0xA1", height: 900 }],
  power: 1,
  total_power: 4,
  stands: false,
  ready_power: 2,
  known_here: true,
};

const info: UpgradeInfo = {
  height: 1_000,
  version: 1,
  since: 0,
  known: [{ version: 1, name: "genesis", changes: [] }],
  block_ms: 600,
  plans: [plan],
  validators: ["0xa1", "0xb2"].map((address, at) => ({
    address,
    name: `v${at}`,
    power: 1,
    knows: at + 1,
    next_ballot: 0,
  })),
  history: [],
  lapsed: null,
};

describe("a plan of an upgrade", () => {
  it("counts down to its height by the newest block", () => {
    expect(countdown(info, 0, 1_100)).toBe("100 blocks, about 1 min");
    expect(countdown(info, 1_099, 1_100)).toBe("1 block, about 600 ms");
    expect(countdown(info, 1_100, 1_100)).toBe("now");
    expect(countdown({ ...info, block_ms: null }, 0, 1_100)).toBe("100 blocks");
  });

  it("needs more than two thirds", () => {
    expect([3, 4, 9, 100].map(needed)).toEqual([3, 3, 7, 67]);
    expect(standing(plan)).toBe("1 of 4 of the power, 3 are needed");
    expect(standing({ ...plan, power: 3, stands: true })).toBe("stands: 3 of 4 of the power");
  });

  it("says who approves it and who is ready", () => {
    const said = voters(info, plan).map(({ validator, approved, ready }) => [
      validator.name,
      approved,
      ready,
    ]);
    expect(said).toEqual([
      ["v0", 900, false],
      ["v1", null, true],
    ]);
  });

  it("warns where too few are ready for what stands", () => {
    expect(wouldHalt(plan)).toBe(false);
    expect(wouldHalt({ ...plan, stands: true })).toBe(true);
    expect(wouldHalt({ ...plan, stands: true, ready_power: 3 })).toBe(false);
  });

  it("has words for why it lapsed", () => {
    expect(lapse("too_little_power")).toContain("too little power");
    expect(lapse("not_later")).toContain("in force already");
    expect(lapse("something newer")).toBe("something newer");
  });
});
