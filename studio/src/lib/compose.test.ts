import { expect, it } from "vitest";
import { isCompose, readImages, readVariables } from "./compose";

it("tells a compose file from a document", () => {
  expect(isCompose("version: '3'\nservices:\n  web:\n    image: nginx\n")).toBe(true);
  expect(isCompose("version: 1\napplications:\n  services:\n    image: nginx\n")).toBe(false);
  expect(isCompose("  services:\n")).toBe(false);
  expect(isCompose("\ufeffservices:\n  web:\n    image: nginx\n")).toBe(true);
  expect(isCompose("\ufeffapplications: {}\nservices: {}\n")).toBe(false);
});

it("reads variables as an .env file has them", () => {
  expect(readVariables("# mine\nA=1\nexport B = no\nC=\"x = y\"\nD='z'\n\nE=\n=x\n")).toEqual({
    values: { A: "1", C: "x = y", D: "z", E: "" },
    wrong: [3, 8],
  });
});

it("reads images by service", () => {
  expect(readImages("my-web = ghcr.io/me/web:2\n\nworker=me/worker\nhalf=\n")).toEqual({
    values: { "my-web": "ghcr.io/me/web:2", worker: "me/worker" },
    wrong: [4],
  });
});
