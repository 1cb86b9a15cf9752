import { expect, it } from "vitest";
import type { OwnRole } from "../api/xnode";
import { onlyFor, readRights, rightFault, roleChoices, roleWords } from "./ownRoles";

const own = (name: string, of: OwnRole["of"]): OwnRole => ({
  name,
  of,
  rights: ["GET /v1/xnode"],
  since: "1796000000",
  by: "root",
  used: 0,
});

it("offers roles of one's own behind the one that they narrow, and what somebody has", () => {
  const all = [own("deploys", "operator"), own("rules", "admin")];
  expect(roleChoices(["viewer", "operator"], all).map(({ value }) => value)).toEqual([
    "viewer",
    "operator",
    "operator deploys",
  ]);
  const now = { role: "admin", only: "rules" } as const;
  expect(roleChoices(["viewer"], all, now)[0]).toEqual({ value: "admin rules", ...now });
  expect(roleChoices(["viewer"], all, { role: "viewer", only: null })).toHaveLength(1);
  expect([roleWords("viewer", null), roleWords("operator", "deploys")]).toEqual([
    "viewer",
    "operator, only deploys",
  ]);
});

it("takes a narrowing role away where there is one, and says nothing of it else", () => {
  expect(onlyFor({ only: "deploys" }, undefined)).toBe("deploys");
  expect(onlyFor({ only: null }, { only: "deploys" })).toBe("");
  expect([onlyFor({ only: null }, {}), onlyFor({ only: null }, undefined)]).toEqual([null, null]);
});

it("reads rights a line, and says what is none", () => {
  expect(readRights(" GET   /v1/xnode/events \n\n* /v1/xnode/applications/web/**\n")).toEqual([
    "GET /v1/xnode/events",
    "* /v1/xnode/applications/web/**",
  ]);
  expect(rightFault("GET /v1/xnode/events")).toBeUndefined();
  expect(rightFault("* /v1/xnode")).toBeUndefined();
  expect(rightFault("/v1/xnode")).toMatch(/no method and path/);
  expect(rightFault("get /v1/xnode")).toMatch(/none of GET/);
  expect(rightFault("GET /v1/xnodes")).toMatch(/something else/);
});
