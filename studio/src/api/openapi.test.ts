// @vitest-environment node
import { readFile } from "node:fs/promises";
import openapiTS, { astToString } from "openapi-typescript";
import { expect, it } from "vitest";

it("types are those of the contract", { timeout: 120_000 }, async () => {
  const made = astToString(await openapiTS(new URL("../../../openapi/openmesh.json", import.meta.url)));
  const committed = await readFile(new URL("./openapi.ts", import.meta.url), "utf8");
  // Before it stands the generator's own comment.
  expect(committed.endsWith(made), "openapi.ts is not what the contract makes: npm run generate").toBe(true);
});
