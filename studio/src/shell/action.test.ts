import { expect, it } from "vitest";
import type { ActionInfo } from "../api/types";
import { disagreement, membersSigned, type Offer } from "./action";

const transfer: ActionInfo = {
  kind: "transfer",
  title: "Send OPEN",
  summary: "",
  details: "",
  typed_data: "Transfer(address to,uint256 amount,string[] notes,uint256 nonce,uint256 maxFee,uint256 tip)",
  weight: 1,
  fee_min: "7",
  deposit: "0",
  fields: [
    { name: "to", type: "address", label: "To", help: "", choices: [] },
    { name: "amount", type: "amount", label: "Amount", help: "", choices: [] },
    { name: "notes", type: "texts", label: "Notes", help: "", choices: [] },
  ],
  errors: [],
};

const offer = () =>
  ({
    from: "0x1111111111111111111111111111111111111111",
    action: transfer,
    values: { to: "0xABCDEFABCDEFABCDEFABCDEFABCDEFABCDEFABCD", amount: "5", notes: ["a", "b"] },
    nonce: 3,
    fees: { maxFee: "7", tip: "2" },
    typed: {
      domain: { name: "Openmesh", version: "1", chainId: 84202 },
      primaryType: "Transfer",
      types: {
        Transfer: [
          { name: "to", type: "address" },
          { name: "amount", type: "uint256" },
          { name: "notes", type: "string[]" },
          { name: "nonce", type: "uint256" },
          { name: "maxFee", type: "uint256" },
          { name: "tip", type: "uint256" },
        ],
      },
      message: {
        to: "0xabcdefabcdefabcdefabcdefabcdefabcdefabcd",
        amount: "5",
        notes: ["a", "b"],
        nonce: "3",
        maxFee: "7",
        tip: "2",
      } as Record<string, unknown>,
    },
  }) satisfies Offer;

it("takes typed data that says what was asked for, and shows all of it", () => {
  expect(disagreement(offer(), 84202)).toBeNull();
  expect(membersSigned(offer()).map(({ name, label, value }) => [name, label, value])).toEqual([
    ["to", "To", "0xabcdefabcdefabcdefabcdefabcdefabcdefabcd"],
    ["amount", "Amount", "5"],
    ["notes", "Notes", ["a", "b"]],
    ["nonce", null, "3"],
    ["maxFee", null, "7"],
    ["tip", null, "2"],
  ]);
});

it("refuses typed data that says something else", () => {
  const changed = (change: (typed: ReturnType<typeof offer>["typed"]) => void) => {
    const other = offer();
    change(other.typed);
    return disagreement(other, 84202);
  };
  expect(changed((typed) => (typed.message["to"] = "0x3333333333333333333333333333333333333333"))).toBe("to");
  expect(changed((typed) => (typed.message["amount"] = "6"))).toBe("amount");
  expect(changed((typed) => (typed.message["notes"] = ["a,b"]))).toBe("notes");
  expect(changed((typed) => (typed.message["maxFee"] = "8"))).toBe("maxFee");
  expect(changed((typed) => (typed.message["tip"] = "3"))).toBe("tip");
  expect(changed((typed) => (typed.message["more"] = "1"))).toBe("fields");
  expect(changed((typed) => (typed.primaryType = "Retire"))).toBe("type");
  expect(changed((typed) => typed.types.Transfer.reverse())).toBe("fields");
  expect(disagreement(offer(), 1)).toBe("chain");
  expect(disagreement({ ...offer(), typed: null as unknown as Offer["typed"] }, 84202)).toBe("domain");
});
