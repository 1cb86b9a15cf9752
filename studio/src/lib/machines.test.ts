import { expect, it } from "vitest";
import type { JoinedMachine, MachineReport, MachineState } from "../api/xnode";
import { clockWords, machineState, readInvitation, rowsOf, shareOf } from "./machines";

const report = (name: string, more: Partial<MachineReport> = {}): MachineReport => ({
  name,
  version: "0.1.0",
  url: null,
  at: "1796000000",
  work: "rests",
  processors: 4,
  load_milli: 500,
  memory_bytes: 4 * 2 ** 30,
  memory_used_bytes: 2 ** 30,
  disk_bytes: 100 * 2 ** 30,
  disk_used_bytes: 25 * 2 ** 30,
  applications: 3,
  running: 3,
  troubled: [],
  critical: 0,
  warnings: 0,
  ...more,
});

const machine = (name: string, state: MachineState, of: Partial<MachineReport> = {}): JoinedMachine => ({
  id: name,
  name,
  owner: "0x00",
  joined: "1796000000",
  state,
  heard: null,
  from: null,
  clock_ms: null,
  report: state === "arrives" ? null : report(name, of),
});

it("puts this machine first, and whoever is in trouble before the others", () => {
  const all = [
    machine("shed", "here"),
    machine("barn", "here"),
    machine("cellar", "here", { troubled: [{ name: "db", state: "held" }] }),
    machine("roof", "arrives"),
    machine("attic", "silent"),
    machine("yard", "here", { critical: 1 }),
  ];
  const names = rowsOf(report("hall"), all).map(({ name }) => name);
  expect(names).toEqual(["hall", "attic", "yard", "cellar", "barn", "roof", "shed"]);
  expect(all[0]?.name, "what was handed in is as it was").toBe("shed");
});

it("says of a clock what somebody should do something about", () => {
  expect(clockWords(null)).toBeNull();
  expect(clockWords(59_999)).toBeNull();
  expect(clockWords(90_000)).toBe("its clock is 90 s ahead of this machine's");
  expect(clockWords(-1_200_000)).toBe("its clock is 20 min behind this machine's");
  expect(clockWords(86_400_000)).toBe("its clock is 24 h ahead of this machine's");
});

it("knows shares, and states of later agents", () => {
  expect(shareOf(1, 4)).toBe(0.25);
  expect(shareOf(5, 4)).toBe(1);
  expect(shareOf(0, 0)).toBeNull();
  expect(machineState("silent").tone).toBe("bad");
  expect(machineState("half_here").words).toBe("half here");
});

it("sends no line to an address in the open", () => {
  expect(readInvitation(60_000, " ")).toEqual({ wish: { lasts_ms: 60_000, at: null } });
  for (const at of ["https://xnode.lan", "https://xnode.lan:8443/", "http://127.0.0.1:7780"])
    expect(readInvitation(60_000, at), at).toEqual({ wish: { lasts_ms: 60_000, at } });
  for (const at of ["xnode.lan", "http://10.0.0.5", "ftp://xnode.lan"])
    expect(readInvitation(60_000, at), at).toHaveProperty("wrong");
  for (const at of ["https://xnode.lan/v1", "https://xnode.lan/?a", "https://a@xnode.lan"])
    expect(readInvitation(60_000, at), at).toHaveProperty("wrong");
});
