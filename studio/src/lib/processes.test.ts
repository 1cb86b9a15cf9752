import { expect, it } from "vitest";
import type { AppProcess } from "../api/xnode";
import { commandOf, ORDERS, ownersOf, processesOf, shareWords } from "./processes";

const made = (pid: number, more: Partial<AppProcess> = {}): AppProcess => ({
  of: "0123456789ab.0",
  pid,
  pid_inside: pid,
  parent: 1,
  parent_inside: null,
  user: 0,
  name: "nginx",
  state: "sleeping",
  started: `${1_000 - pid}`,
  processors_milli: 0,
  over_ms: 3_000,
  cpu_ms: 10,
  memory_bytes: 0,
  is_share: true,
  threads: 1,
  command: ["/usr/sbin/nginx", "-g", "daemon off;"],
  is_cut: false,
  ...more,
});
const all = [
  made(3, { processors_milli: 500, name: "redis", command: ["redis-server"] }),
  made(1, { memory_bytes: 9, threads: 4 }),
  made(2, { of: "job tidy run 3", processors_milli: 500, memory_bytes: 5 }),
];
const pids = (wish: Partial<Parameters<typeof processesOf>[1]>) =>
  processesOf(all, { text: "", of: "", order: "pid", ...wish }).map(({ pid }) => pid);

it("sorts by what is asked for, and by number where that is equal", () => {
  expect(ORDERS.map((order) => pids({ order }))).toEqual([
    [2, 3, 1],
    [1, 2, 3],
    [1, 2, 3],
    [3, 2, 1],
    [1, 2, 3],
    [1, 2, 3],
  ]);
});

it("finds a text in names and arguments, and those of one owner", () => {
  expect(pids({ text: " DAEMON off" })).toEqual([1, 2]);
  expect(pids({ text: "redis-s" })).toEqual([3]);
  expect(pids({ text: "hunter" })).toEqual([]);
  expect(pids({ of: "job tidy run 3" })).toEqual([2]);
  expect(ownersOf(all)).toEqual(["0123456789ab.0", "job tidy run 3"]);
});

it("says what there is no command line of, and what is cut", () => {
  expect(commandOf(made(1))).toBe("/usr/sbin/nginx -g daemon off;");
  expect(commandOf(made(1, { is_cut: true }))).toBe("/usr/sbin/nginx -g daemon off; …");
  expect(commandOf(made(1, { command: [] }))).toBe("[nginx]");
  expect([0, 5, 1_503].map(shareWords)).toEqual(["0.0 %", "0.5 %", "150.3 %"]);
});
