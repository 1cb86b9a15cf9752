import { expect, it } from "vitest";
import { governed, reasonAgainst } from "../../api/xnodeAccess";
import type { XnodeEvent } from "../../api/xnode";
import { eventsOf } from "./Events";
import { splitLack } from "./Machine";

it("splits what the kernel lacks from what would bring it", () => {
  expect(splitLack("loop devices: load it: modprobe loop")).toEqual({
    feature: "loop devices",
    remedy: "load it: modprobe loop",
  });
  expect(splitLack("something")).toEqual({ feature: "something", remedy: "" });
});

it("filters events, the newest first", () => {
  const event = (sequence: number, kind: string, application: string | null, text: string): XnodeEvent => ({
    sequence,
    at: "",
    kind,
    generation: 1,
    application,
    text,
  });
  const all = [
    event(1, "done", "web", "Start web"),
    event(2, "failed", "db", "start db"),
    event(3, "done", null, "commit"),
  ];
  const found = (kind: string, application: string, text: string) =>
    eventsOf(all, { kind, application, text }).map(({ sequence }) => sequence);
  expect(found("", "", "")).toEqual([3, 2, 1]);
  expect(found("done", "", "")).toEqual([3, 1]);
  expect(found("", "db", "")).toEqual([2]);
  expect(found("", "", "START")).toEqual([2, 1]);
});

it("says beforehand what the agent would refuse, and nothing where the role is not known", () => {
  expect(reasonAgainst("viewer", "operator")).toBe("This needs the role operator, and viewer is yours");
  expect(reasonAgainst("owner", "admin")).toBeUndefined();
  expect(reasonAgainst(undefined, "owner")).toBeUndefined();
  expect(governed("owner")).toEqual(["viewer", "operator", "admin", "owner"]);
  expect(governed("admin")).toEqual(["viewer", "operator"]);
  expect(governed("operator")).toEqual([]);
});
