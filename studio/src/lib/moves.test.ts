import { expect, it } from "vitest";
import { faultOfAddress, fieldOf } from "./moves";

it("an address is one of https, or of this machine itself", () => {
  for (const good of [
    "https://b.lan",
    " https://b.lan:8443/ ",
    "http://127.0.0.1:7780",
    "http://localhost:1",
    "http://[::1]:7780",
  ])
    expect(faultOfAddress(good), good).toBeNull();
  for (const [wrong, part] of [
    ["b.lan", "no address"],
    ["", "no address"],
    ["http://b.lan", "not encrypted"],
    ["http://10.0.0.7:7780", "not encrypted"],
    ["ftp://b.lan", "asked by https"],
    ["https://b.lan/v1", "no path"],
    ["https://b.lan/?a", "no path"],
    ["https://ann:word@b.lan", "no user"],
  ] as const)
    expect(faultOfAddress(wrong), wrong).toContain(part);
});

it("a refusal stands at the field that it is about", () => {
  const of = (code: string, message = "") => fieldOf({ code, message });
  expect(of("other_away", "https://b.lan cannot be asked: no answer")).toBe("to");
  expect(of("other_key")).toBe("key");
  expect(of("value", "`b.lan` is no address; https://xnode.example.org is one")).toBe("to");
  expect(of("value", "the root is no certificate: bad")).toBe("root");
  for (const code of ["not_movable", "other_refused", "no_answer"]) expect(of(code)).toBeNull();
  expect(of("value", "the request cannot be read")).toBeNull();
});
