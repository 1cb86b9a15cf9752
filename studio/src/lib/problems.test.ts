import { expect, it } from "vitest";
import { atWritten, readProblems } from "./problems";

it("reads places, paths and hints", () => {
  const message = `3:5: applications.web.port: is not known (did you mean \`ports\`?)
7:1: has a tab where spaces are expected
web: no image nginx:9 is known; look whether its name is right`;
  expect(readProblems(message)).toEqual([
    {
      line: 3,
      column: 5,
      path: "applications.web.port",
      what: "is not known (did you mean `ports`?)",
      tone: "bad",
    },
    { line: 7, column: 1, path: "", what: "has a tab where spaces are expected", tone: "bad" },
    {
      line: null,
      column: null,
      path: "web",
      what: "no image nginx:9 is known; look whether its name is right",
      tone: "bad",
    },
  ]);
});

it("reads findings of a compose file", () => {
  const found = readProblems(
    "line 4: services.web.build: unsupported: an image is needed\nline 9: services.web.tty: ignored: a terminal is opened when it is asked for",
  );
  expect(found.map(({ line, path, tone }) => [line, path, tone])).toEqual([
    [4, "services.web.build", "warn"],
    [9, "services.web.tty", "plain"],
  ]);
});

it("brings problems back to the lines that were written", () => {
  const problems = readProblems("1:3: version: is missing\n3:5: a: is wrong\n99:1: b: is wrong");
  expect(atWritten(problems, [null, 1, 2]).map(({ line, column }) => [line, column])).toEqual([
    [null, null],
    [2, 5],
    [null, null],
  ]);
});
