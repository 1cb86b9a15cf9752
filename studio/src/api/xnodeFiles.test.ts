// @vitest-environment node
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { PART_BYTES_MAX, toBase64 } from "../lib/files";
import type { Exec, ExecEvent } from "./xnode";
import { openPath, putFile, run, type Place } from "./xnodeFiles";

const PLACE: Place = { name: "web", instance: "r1/0", path: "/etc/motd" };
const HELLO = toBase64(new TextEncoder().encode("hello\n"));
const asked: Exec[] = [];
let answers: ExecEvent[][] = [];

beforeEach(() => {
  asked.length = 0;
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    expect(path).toBe("/v1/xnode/applications/web/exec");
    asked.push(JSON.parse(String(init.body)) as Exec);
    const events = answers.shift() ?? [];
    return Promise.resolve(new Response(events.map((event) => `${JSON.stringify(event)}\n`).join("")));
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const out = (...texts: string[]): ExecEvent[] => texts.map((text) => ({ line: { stream: "stdout", text } }));
const ended = (code: number): ExecEvent => ({ ended: { code } });

it("opens folders and files by one process each, with the path as an argument", async () => {
  answers = [
    [{ started: { instance: "r1/0" } }, ...out("folder", "81a4 5 1764400000 a b", "41ed 4096 1764400000 d"), ended(0)],
    // The agent cuts a long line where it likes.
    [...out("file", "81a4 6 1764400000", HELLO.slice(0, 3), HELLO.slice(3)), ended(0)],
  ];
  const folder = await openPath(PLACE, 10);
  expect(folder.kind === "folder" ? folder.entries.map(({ name }) => name) : []).toEqual(["d", "a b"]);
  const file = await openPath(PLACE, 10);
  expect(file.kind === "file" ? new TextDecoder().decode(file.bytes) : "").toBe("hello\n");
  expect(asked[0]).toMatchObject({ instance: "r1/0" });
  expect(asked[0]?.command?.slice(3)).toEqual(["sh", "/etc/motd", "10", "2000"]);
});

it("says why it was not done", async () => {
  const words = async (events: ExecEvent[]) => {
    answers = [events];
    return run(PLACE, { command: ["/bin/sh"] }, () => undefined).then(
      () => "done",
      (error: unknown) => (error as Error).message,
    );
  };
  expect(await words([{ line: { stream: "stderr", text: "it is a folder" } }, ended(3)])).toBe("it is a folder");
  expect(await words([ended(127)])).toMatch(/no shell/);
  expect(await words([{ refused: { reason: "no room" } }])).toBe("no room");
  expect(await words([...out("half")])).toMatch(/broke off/);
  expect(await words([ended(0)])).toBe("done");
});

it("sends a long file in parts, each with its place", async () => {
  answers = [[ended(0)], [ended(0)]];
  const told: number[] = [];
  await putFile(PLACE, new Uint8Array(PART_BYTES_MAX + 1), "new", (bytes) => told.push(bytes));
  const all = String(PART_BYTES_MAX + 1);
  expect(asked.map(({ command }) => command?.slice(5))).toEqual([
    ["0", String(PART_BYTES_MAX), all, "new"],
    [String(PART_BYTES_MAX), all, all, "new"],
  ]);
  expect([told, asked[1]?.stdin]).toEqual([[PART_BYTES_MAX, PART_BYTES_MAX + 1], "AA=="]);
  // An empty file is a file too.
  answers = [[ended(0)]];
  await putFile(PLACE, new Uint8Array(0), "new");
  expect(asked[2]).toMatchObject({ stdin: "" });
});

it("stops at a part that was refused", async () => {
  answers = [[{ line: { stream: "stderr", text: "there is something of this name already" } }, ended(4)]];
  await expect(putFile(PLACE, new Uint8Array(PART_BYTES_MAX + 1), "new")).rejects.toThrow(/of this name/);
  expect(asked).toHaveLength(1);
});
