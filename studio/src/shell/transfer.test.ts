import { expect, it } from "vitest";
import { disagreement, type Offer } from "./transfer";

const offer = (): Offer & {
  typed: { message: Record<string, unknown>; domain: Record<string, unknown> };
} => ({
  from: "0x1111111111111111111111111111111111111111",
  to: "0x2222222222222222222222222222222222222222",
  amount: "5",
  nonce: 3,
  fee: "7",
  typed: {
    domain: { name: "Openmesh", version: "1", chainId: 84202 },
    primaryType: "Transfer",
    types: {
      Transfer: [
        { name: "to", type: "address" },
        { name: "amount", type: "uint256" },
        { name: "nonce", type: "uint256" },
        { name: "fee", type: "uint256" },
      ],
    },
    message: { to: "0x2222222222222222222222222222222222222222", amount: "5", nonce: "3", fee: "7" },
  } as unknown as { message: Record<string, unknown>; domain: Record<string, unknown> },
});

it("takes typed data that says what was asked for", () => {
  expect(disagreement(offer(), 84202)).toBeNull();
});

it("refuses typed data that says something else", () => {
  const other = offer();
  other.typed.message["to"] = "0x3333333333333333333333333333333333333333";
  expect(disagreement(other, 84202)).toBe("receiver");
  const more = offer();
  more.typed.message["amount"] = "6";
  expect(disagreement(more, 84202)).toBe("amount");
  expect(disagreement(offer(), 1)).toBe("chain");
  expect(disagreement({ ...offer(), typed: null }, 84202)).toBe("domain");
});
