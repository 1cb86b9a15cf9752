// @vitest-environment node
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  Base64Parts,
  cleanPath,
  isTurned,
  joined,
  lineEndOf,
  markOf,
  OPEN,
  permissions,
  PUT,
  readEntries,
  readEntry,
  REMOVE,
  scripted,
  stepsTo,
  textOf,
  toBase64,
} from "./files";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script as an application's shell does: its output by lines, its error output, its code. */
function run(script: string, given: (string | number)[], input = "") {
  const [program = "", ...rest] = scripted(script, ...given);
  const { status, stdout, stderr } = spawnSync(program, rest, { input, encoding: "utf8" });
  return { code: status, lines: stdout.split("\n").filter((line) => line !== ""), said: stderr.trim() };
}
const open = (path: string, bytes = 1_000) => run(OPEN, [path, bytes, 100]);

it("lists a folder with whatever names it has", () => {
  mkdirSync(join(folder, "inner"));
  for (const name of ["a b", "-rf", "$(touch owned)", ".hidden", "two\nlines", "<script>"])
    writeFileSync(join(folder, name), "text");
  symlinkSync("inner", join(folder, "link"));
  const { code, lines } = open(folder);
  expect([code, lines[0]]).toEqual([0, "folder"]);
  const entries = readEntries(lines.slice(1));
  expect(entries.map(({ name, kind }) => `${kind} ${name}`)).toEqual([
    "folder inner",
    "file $(touch owned)",
    "file -rf",
    "file .hidden",
    "file <script>",
    "file a b",
    "link link",
    "file two\nlines",
  ]);
  expect(entries.find(({ name }) => name === "a b")?.size).toBe(4);
  // A link to a folder is followed, an empty folder is no error.
  expect(open(join(folder, "link")).lines).toEqual(["folder"]);
});

it("reads the begin of a file, and says why it cannot", () => {
  const path = join(folder, "data");
  writeFileSync(path, Buffer.from([0, 255, 10, 128]));
  const { lines } = open(path, 3);
  expect([lines[0], readEntry(lines[1] ?? "")?.size]).toEqual(["file", 4]);
  expect([...new Base64Parts().add(lines[2] ?? "")]).toEqual([0, 255, 10]);
  writeFileSync(join(folder, "empty"), "");
  expect(open(join(folder, "empty")).lines).toHaveLength(2);
  expect(open(join(folder, "none"))).toMatchObject({ code: 3, said: "nothing is at this path" });
  execFileSync("mkfifo", [join(folder, "pipe")]);
  expect(open(join(folder, "pipe"))).toMatchObject({ code: 3, said: expect.stringContaining("wait forever") as string });
});

const mark = (path: string) => markOf(readEntry(open(path).lines[1] ?? "") ?? { name: "", kind: "file", size: 0, changed: 0, mode: 0 });

it("writes a file in parts, and keeps its permissions", () => {
  const path = join(folder, "run.sh");
  writeFileSync(path, "old");
  chmodSync(path, 0o750);
  symlinkSync("run.sh", join(folder, "link"));
  const before = mark(path);
  expect(run(PUT, [join(folder, "link"), 0, 3, 5, before], toBase64(Buffer.from("new")))).toMatchObject({ code: 0 });
  expect(readFileSync(path, "utf8")).toBe("old");
  expect(run(PUT, [join(folder, "link"), 3, 5, 5, before], toBase64(Buffer.from("er")))).toMatchObject({ code: 0 });
  expect([readFileSync(path, "utf8"), statSync(path).mode & 0o777]).toEqual(["newer", 0o750]);
  expect(readEntries(open(folder).lines.slice(1)).map(({ name }) => name)).toEqual(["link", "run.sh"]);
});

it("takes the place of nothing that it does not know", () => {
  const path = join(folder, "file");
  expect(run(PUT, [path, 0, 1, 1, "new"], toBase64(Buffer.from("a")))).toMatchObject({ code: 0 });
  expect(run(PUT, [path, 0, 1, 1, "new"], toBase64(Buffer.from("b")))).toMatchObject({ code: 4 });
  expect(run(PUT, [path, 0, 1, 1, "7 1"], toBase64(Buffer.from("b")))).toMatchObject({ code: 4 });
  // Input that was cut is no file.
  expect(run(PUT, [path, 0, 9, 9, mark(path)], toBase64(Buffer.from("b")))).toMatchObject({ code: 5 });
  expect([readFileSync(path, "utf8"), open(folder).lines.length]).toEqual(["a", 2]);
});

it("removes files and no folders", () => {
  mkdirSync(join(folder, "inner"));
  writeFileSync(join(folder, "-f"), "");
  expect(run(REMOVE, [join(folder, "inner")])).toMatchObject({ code: 3, said: "it is a folder" });
  expect(run(REMOVE, [join(folder, "-f")]).code).toBe(0);
  expect(open(folder).lines).toHaveLength(2);
});

it("knows paths, permissions and ends of lines", () => {
  expect(["", "etc", "/a/../../b/./c//", "/.."].map(cleanPath)).toEqual(["/", "/etc", "/b/c", "/"]);
  expect([joined("/", "a"), joined("/a", "b")]).toEqual(["/a", "/a/b"]);
  expect(stepsTo("/a/b").map(({ path }) => path)).toEqual(["/", "/a", "/a/b"]);
  expect([permissions(0o640), permissions(0o755)]).toEqual(["rw-r-----", "rwxr-xr-x"]);
  expect(["", "a\nb\n", "a\r\nb\r\n", "a\r\nb\n", "a\rb", "\n\r\n"].map(lineEndOf)).toEqual([
    "\n",
    "\n",
    "\r\n",
    null,
    null,
    null,
  ]);
  expect([isTurned("a\u202eb"), isTurned("שלום")]).toEqual([true, false]);
});

it("carries bytes as base64, in parts of any length", () => {
  const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => at % 251);
  const text = toBase64(bytes);
  const parts = new Base64Parts();
  const found = [text.slice(0, 7), text.slice(7, 9_999), text.slice(9_999)].flatMap((part) => [...parts.add(part)]);
  expect(found).toEqual([...bytes]);
  expect([textOf(new TextEncoder().encode("grün")), textOf(Uint8Array.of(0xff)), textOf(Uint8Array.of(65, 0))]).toEqual([
    "grün",
    null,
    null,
  ]);
});
