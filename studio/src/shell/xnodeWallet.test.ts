import { expect, it } from "vitest";
import { parseSiweMessage } from "viem/siwe";
import { messageFor } from "./xnodeWallet";

it("says what the agent asks for, by the agent's clock", () => {
  const message = messageFor(
    "0x52908400098527886e0f7030069857d2e4169ee7",
    {
      nonce: "0123456789abcdef",
      lasts_ms: 300_000,
      at: "2026-11-29T10:00:00.5Z",
      domain: "127.0.0.1:7780",
      statement: "Sign in to the Xnode 127.0.0.1:7780. This costs nothing and sends no transaction.",
      chain_id: 31_337,
      owned: true,
    },
    "http://127.0.0.1:7780",
  );
  expect(parseSiweMessage(message)).toMatchObject({
    address: "0x52908400098527886E0F7030069857D2E4169EE7",
    domain: "127.0.0.1:7780",
    statement: "Sign in to the Xnode 127.0.0.1:7780. This costs nothing and sends no transaction.",
    uri: "http://127.0.0.1:7780",
    chainId: 31_337,
    nonce: "0123456789abcdef",
    issuedAt: new Date("2026-11-29T10:00:00.500Z"),
    expirationTime: new Date("2026-11-29T10:05:00.500Z"),
  });
});
