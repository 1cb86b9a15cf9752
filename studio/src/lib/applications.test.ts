import { expect, it } from "vitest";
import type { Application, XnodeInfo } from "../api/xnode";
import {
  applicationsOf,
  conditionWords,
  isTroubled,
  machineInWords,
  onItsWay,
  openings,
  placeOf,
  restartWords,
  stateOf,
} from "./applications";

const application = (
  name: string,
  state: Application["state"],
  more: Partial<Application> = {},
): Application => ({
  name,
  state,
  cause: null,
  image: null,
  digest: null,
  revision: null,
  instances: [],
  ports: {},
  volumes: {},
  ...more,
});

it("reads places of the host", () => {
  expect(placeOf("127.0.0.1:8088/tcp")).toEqual({ address: "127.0.0.1", port: 8088, protocol: "tcp" });
  expect(placeOf("[::]:53/udp")).toEqual({ address: "::", port: 53, protocol: "udp" });
  expect(placeOf("nowhere")).toBeNull();
});

it("finds the address at which a browser opens an application", () => {
  const ports = { db: "0.0.0.0:5432/tcp", dns: "0.0.0.0:53/udp", http: "0.0.0.0:8088/tcp", inner: null };
  expect(openings({ ports }, "attic.lan")).toEqual([
    { port: "http", url: "http://attic.lan:8088/", isLocal: false, isWeb: true },
    { port: "db", url: "http://attic.lan:5432/", isLocal: false, isWeb: false },
  ]);
  const local = { ports: { http: "127.0.0.1:80/tcp" } };
  expect(openings(local, "attic.lan")[0]?.isLocal).toBe(true);
  expect(openings(local, "127.0.0.1")[0]).toMatchObject({ isLocal: false, url: "http://127.0.0.1:80/" });
  expect(openings({ ports: { https: "192.168.1.5:443/tcp" } }, "x")[0]?.url).toBe("https://192.168.1.5:443/");
  expect(openings({ ports: { ui: "[fd00::1]:80/http" } }, "x")[0]?.url).toBe("http://[fd00::1]:80/");
});

it("filters by words and by state", () => {
  const all = [
    application("db", "running", { image: "postgres:16" }),
    application("web", "crash_loop", { ports: { http: null } }),
    application("cache", "stopped"),
  ];
  const names = (text: string, state = "") => applicationsOf(all, { text, state }).map(({ name }) => name);
  expect(names("")).toEqual(["db", "web", "cache"]);
  expect(names("POSTGRES")).toEqual(["db"]);
  expect(names("http")).toEqual(["web"]);
  expect(names("", "trouble")).toEqual(["web"]);
  expect(names("", "stopped")).toEqual(["cache"]);
  expect(names("db web")).toEqual([]);
});

it("calls a state that nobody wished trouble, and names one that it does not know", () => {
  expect(
    ["running", "starting", "stopped", "leaving"].map((state) =>
      isTroubled(application("a", state as "running")),
    ),
  ).toEqual([false, false, false, false]);
  for (const state of ["crash_loop", "frozen", "ended", "failed", "held"] as const) {
    expect(isTroubled(application("a", state))).toBe(true);
    expect(stateOf(state).remedy).not.toBeNull();
  }
  const full = { kind: "disk_full", index: 0, text: "at 99 %" };
  expect(isTroubled(application("a", "running", { conditions: [full] }))).toBe(true);
  expect(["disk_full", "of_later"].map(conditionWords)).toEqual(["disk full", "of later"]);
  expect(stateOf("disk_full")).toEqual({ tone: "plain", words: "disk full", remedy: null });
});

it("says the machine in a line", () => {
  const machine = (
    current: number,
    wanted: number,
    state: XnodeInfo["work"]["state"],
    step: string | null = null,
  ) => machineInWords({ current, wanted, work: { state, step } } as XnodeInfo).words;
  expect(machine(0, 0, "idle")).toBe("nothing is wanted of it yet");
  expect(machine(3, 3, "rests")).toBe("everything is as it is wanted · generation 3");
  expect(machine(3, 4, "works", "start web r1/0")).toBe(
    "at work: start web r1/0 · generation 3 serves, 4 is on its way",
  );
  expect(machine(0, 1, "held")).toBe("something is held or fails · generation 1 is on its way");
  // The agent has not looked again since the change was taken.
  expect(machine(3, 4, "rests")).toBe("generation 4 is on its way · generation 3 serves");
  expect(machine(0, 1, "idle")).toBe("generation 1 is on its way");
});

it("says which generation's version of an application is on its way", () => {
  const way = (
    state: Application["state"],
    revision: string | null,
    instances: readonly (readonly [id: string, admitted: boolean])[],
    [current, wanted] = [3, 4],
  ) => {
    const all = instances.map(([id, admitted]) => ({ id, admitted }) as Application["instances"][number]);
    return onItsWay({ state, revision, instances: all }, { current, wanted });
  };
  expect(way("running", "aa", [["aa.0", true]], [4, 4])).toBeNull();
  expect(way("running", "aa", [["aa.0", true]])).toBeNull();
  expect(way("starting", "bb", [["aa.0", true]])).toBe(4);
  expect(way("starting", "bb", [["bb.0", false]])).toBe(4);
  expect(
    way("running", "bb", [
      ["aa.0", false],
      ["bb.0", true],
    ]),
  ).toBe(4);
  expect(way("stopped", "bb", [["aa.0", false]])).toBe(4);
  expect(way("stopped", "bb", [])).toBeNull();
  expect(way("leaving", null, [["aa.0", true]])).toBe(4);
  // Whoever failed or is held says that.
  expect(way("failed", "bb", [["bb.0", false]])).toBeNull();
  expect(way("held", "bb", [["aa.0", true]])).toBeNull();
});

it("tells how far a restart is", () => {
  expect(restartWords({ left: ["a.0", "a.1"], is_over: false })).toBe(
    "goes on: 2 instances are still to be started",
  );
  expect(restartWords({ left: ["a.1"], is_over: false })).toBe("goes on: 1 instance is still to be started");
  expect(restartWords({ left: [], is_over: false })).toBe("goes on: what was started is not healthy yet");
  expect(restartWords({ left: [], is_over: true })).toBe("is done");
});
