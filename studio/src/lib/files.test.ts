// @vitest-environment node
import { expect, it } from "vitest";
import {
  beginOf,
  cleanPath,
  isTurned,
  joined,
  lineEndOf,
  named,
  nameOf,
  permissions,
  stepsTo,
  textOf,
  totalOf,
} from "./files";

it("knows paths and permissions", () => {
  expect(["", "/etc", "a/../../b/./c//", "/.."].map(cleanPath)).toEqual(["", "etc", "b/c", ""]);
  expect([joined("", "a"), joined("a", "b"), nameOf("a/b"), nameOf("a")]).toEqual(["a", "a/b", "b", "a"]);
  expect(stepsTo("a/b").map(({ path }) => path)).toEqual(["a", "a/b"]);
  expect(stepsTo("")).toEqual([]);
  expect(named("a\\b")).toBe("a\\x5cb");
  expect([permissions(0o640), permissions(0o100755)]).toEqual(["rw-r-----", "rwxr-xr-x"]);
  expect([totalOf("bytes 0-9/100"), totalOf("bytes */5"), totalOf(null)]).toEqual([100, null, null]);
});

it("tells texts from other bytes, also where they are cut within a character", () => {
  const bytes = new TextEncoder().encode("grün");
  expect([textOf(bytes), textOf(Uint8Array.of(0xff)), textOf(Uint8Array.of(65, 0))]).toEqual([
    "grün",
    null,
    null,
  ]);
  expect([textOf(bytes.subarray(0, 3)), beginOf(bytes.subarray(0, 3))]).toEqual([null, "gr"]);
  expect(beginOf(Uint8Array.of(0xff, 0xfe, 0xfd, 0xfc, 0xfb))).toBeNull();
  // A mark of the order of bytes is a part of the file.
  expect(textOf(Uint8Array.of(0xef, 0xbb, 0xbf, 65))).toBe("\ufeffA");
});

it("keeps the ends of lines, and sees characters that turn others", () => {
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
