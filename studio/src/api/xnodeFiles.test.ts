// @vitest-environment node
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { FileEntry } from "./xnode";
import {
  makeFolder,
  openFile,
  readWhole,
  removeEntry,
  renameEntry,
  writeFile,
  type Place,
} from "./xnodeFiles";

const PLACE: Place = { name: "web", volume: "data", path: "a b/c.txt" };
const ENTRY: FileEntry = {
  name: "c.txt",
  kind: "file",
  bytes: 5,
  mode: 0o644,
  user: 0,
  group: 0,
  modified: "2026-11-29T10:00:00Z",
  target: null,
  tag: "t-1",
};
let asked: { method: string; path: string; headers: Headers; body: unknown }[] = [];
let answers: Response[] = [];

beforeEach(() => {
  asked = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit) => {
    asked.push({ method: init.method ?? "", path, headers: new Headers(init.headers), body: init.body });
    return Promise.resolve(
      answers.shift() ?? Response.json({ code: "missing", message: "none" }, { status: 404 }),
    );
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const CONTENT = "/v1/xnode/applications/web/files/volumes/data/content?path=a+b%2Fc.txt";

it("opens a file by its first bytes, and an empty one as it is", async () => {
  answers = [
    new Response("hello", { status: 206, headers: { "content-range": "bytes 0-4/900000", etag: '"t-1"' } }),
    Response.json({ code: "range", message: "no such part" }, { status: 416 }),
    new Response("", { headers: { etag: '"t-2"' } }),
  ];
  const opened = await openFile(PLACE);
  expect([new TextDecoder().decode(opened.bytes), opened.total, opened.tag]).toEqual([
    "hello",
    900_000,
    '"t-1"',
  ]);
  expect([asked[0]?.path, asked[0]?.headers.get("range")]).toEqual([CONTENT, "bytes=0-262143"]);
  expect(await openFile({ ...PLACE, volume: null })).toMatchObject({ total: 0, tag: '"t-2"' });
  expect(asked[2]?.path).toBe("/v1/xnode/applications/web/files/root/content?path=a+b%2Fc.txt");
});

it("writes in the place of what was seen, or where there is nothing", async () => {
  answers = [Response.json(ENTRY), Response.json(ENTRY), Response.json(ENTRY)];
  await writeFile({ place: PLACE, body: "text", tag: '"t-1"' });
  await writeFile({ place: PLACE, body: new Blob(["bytes"]), tag: null });
  await makeFolder({ ...PLACE, path: "new" });
  expect(
    asked.map(({ method, path, headers }) => [
      method,
      path,
      headers.get("if-match"),
      headers.get("if-none-match"),
    ]),
  ).toEqual([
    ["PUT", CONTENT, '"t-1"', null],
    ["PUT", CONTENT, null, "*"],
    ["PUT", "/v1/xnode/applications/web/files/volumes/data?path=new", null, null],
  ]);
  expect(asked[0]?.body).toBe("text");
});

it("removes a file that is still the same, and a folder with all in it", async () => {
  answers = [Response.json(1), Response.json(7)];
  await removeEntry({ place: PLACE, entry: ENTRY });
  await removeEntry({ place: { ...PLACE, path: "old" }, entry: { ...ENTRY, kind: "folder", tag: null } });
  expect(asked.map(({ path, headers }) => [path, headers.get("if-match")])).toEqual([
    ["/v1/xnode/applications/web/files/volumes/data?path=a+b%2Fc.txt", '"t-1"'],
    ["/v1/xnode/applications/web/files/volumes/data?path=old&all=true", null],
  ]);
});

it("gives a file another name in its volume", async () => {
  answers = [Response.json(ENTRY)];
  await renameEntry({ place: PLACE, to: "a b/d.txt" });
  expect(asked[0]).toMatchObject({
    method: "POST",
    path: "/v1/xnode/applications/web/files/volumes/data",
    body: '{"from":"a b/c.txt","to":"a b/d.txt"}',
  });
});

it("carries a file from the machine, and says what was refused", async () => {
  answers = [new Response("0123456789")];
  const told: number[] = [];
  const parts = await readWhole(PLACE, (bytes) => told.push(bytes));
  expect([await new Blob(parts).text(), told.at(-1)]).toEqual(["0123456789", 10]);
  await expect(readWhole(PLACE, () => undefined)).rejects.toThrow("none");
});
