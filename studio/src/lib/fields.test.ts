import { expect, it } from "vitest";
import type { ActionField, ActionInfo } from "../api/types";
import { labelOf, listed, membersOf, readField, readFields, refusedField, spent } from "./fields";

const field = (type: ActionField["type"], more: Partial<ActionField> = {}): ActionField => ({
  name: "it",
  type,
  label: "It",
  help: "",
  choices: [],
  ...more,
});
const wrong = (type: ActionField["type"], text: string, more: Partial<ActionField> = {}) => {
  const read = readField(field(type, more), text);
  return "wrong" in read ? read.wrong : null;
};
const value = (type: ActionField["type"], text: string, more: Partial<ActionField> = {}) => {
  const read = readField(field(type, more), text);
  return "value" in read ? read.value : null;
};

it("reads an address, and sees a wrong digit by its checksum", () => {
  const right = "0x52908400098527886E0F7030069857D2E4169EE7";
  expect(value("address", ` ${right} `)).toBe(right);
  expect(value("address", right.toLowerCase())).toBe(right.toLowerCase());
  expect(wrong("address", "0x52908400098527886E0F7030069857D2E4169Ee7")).toMatch(/EIP-55/);
  expect(wrong("address", "0x12")).toMatch(/40 hexadecimal digits/);
});

it("reads an amount in OPEN to its last digit", () => {
  expect(value("amount", "12.000000000000000005")).toBe("12000000000000000005");
  expect(wrong("amount", "0.0000000000000000001")).toMatch(/18 digits/);
  expect(wrong("amount", "-1")).toMatch(/18 digits/);
  expect(labelOf(field("amount", { unit: "10^-18 OPEN" }))).toBe("It in OPEN");
});

it("reads a whole number beyond what a float holds", () => {
  expect(value("uint", "18446744073709551615")).toBe("18446744073709551615");
  expect(value("uint", "007")).toBe("7");
  expect(wrong("uint", "18446744073709551616")).toMatch(/2\^64/);
  for (const text of ["1.5", "-1", "1e3", "0x10"]) expect(wrong("uint", text)).toMatch(/whole number/);
  expect(labelOf(field("uint", { unit: "ms" }))).toBe("It in ms");
});

it("reads a text, a choice and a list", () => {
  expect(value("text", " kraken ")).toBe("kraken");
  expect(wrong("text", "  ")).toMatch(/needed/);
  expect(value("choice", "live", { choices: ["live", "replay"] })).toBe("live");
  expect(wrong("choice", "dead", { choices: ["live", "replay"] })).toMatch(/live, replay/);
  expect(value("texts", "BTC.USD, ETH.USD\n\nSOL.USD,")).toEqual(["BTC.USD", "ETH.USD", "SOL.USD"]);
  expect(value("texts", "")).toEqual([]);
  expect(listed(" , \n")).toEqual([]);
});

it("reads a hash in the one form that is signed, and a text that may be left out", () => {
  const digits = "AB".repeat(32);
  expect(value("hash", ` ${digits} `)).toBe(`0x${digits.toLowerCase()}`);
  expect(value("hash", `0x${digits}`)).toBe(`0x${digits.toLowerCase()}`);
  expect(wrong("hash", digits.slice(2))).toMatch(/62 characters/);
  expect(wrong("hash", `${digits}ab`)).toMatch(/66 characters/);
  expect(wrong("hash", "")).toMatch(/needed/);
  expect(value("optional_text", "  ")).toBe("");
  expect(value("optional_text", " a note ")).toBe("a note");
});

const action: ActionInfo = {
  kind: "lock",
  title: "Lock OPEN",
  summary: "",
  details: "",
  typed_data: "Lock(string name,uint256 amount,uint256 nonce,uint256 maxFee,uint256 tip)",
  weight: 1,
  fee_min: "1",
  deposit: "0",
  fields: [field("text", { name: "name" }), field("amount", { name: "amount" })],
  errors: [],
};

it("reads the fields of an action that it has never heard of", () => {
  expect(readFields(action, { name: "a", amount: "x" })).toEqual({
    values: { name: "a" },
    wrong: { amount: expect.stringMatching(/18 digits/) as string },
  });
  expect(spent(action, { name: "a", amount: "5" })).toBe(5n);
  expect(membersOf(action.typed_data)).toEqual({
    primary: "Lock",
    members: [
      { type: "string", name: "name" },
      { type: "uint256", name: "amount" },
      { type: "uint256", name: "nonce" },
      { type: "uint256", name: "maxFee" },
      { type: "uint256", name: "tip" },
    ],
  });
});

it("finds the field that a refusal speaks of", () => {
  expect(refusedField(action, "amount: a whole number of 10^-18 OPEN is expected")).toEqual({
    name: "amount",
    wrong: "a whole number of 10^-18 OPEN is expected",
  });
  expect(refusedField(action, "max_fee: too low")).toBeNull();
  expect(refusedField(action, "the account has only 1 OPEN")).toBeNull();
});
