import { expect, it } from "vitest";
import { parseSiweMessage } from "viem/siwe";
import { wayOf } from "./VisitPage";
import { messageFor } from "./xnodeWallet";

it("reads the way back as the door has written it", () => {
  const way = wayOf(new URLSearchParams("host=notes.lan:8443&tls=1&visit=07&to=2f61"));
  expect(way).toEqual({ host: "notes.lan:8443", tls: 1, visit: "07", to: "2f61" });
  expect(wayOf(new URLSearchParams("tls=yes"))).toEqual({ host: "", tls: 0, visit: "", to: "" });
});

it("says in the wallet what is opened, in the agent's own words", () => {
  const asked = {
    nonce: "0123456789abcdef",
    lasts_ms: 300_000,
    at: "2026-11-29T10:00:00Z",
    domain: "xnode.lan",
    statement: "Sign in to the Xnode xnode.lan.",
    chain_id: 1,
    owned: true,
  };
  const statement = "Open notes at notes.lan through the Xnode xnode.lan.";
  const message = messageFor(
    "0x52908400098527886e0f7030069857d2e4169ee7",
    asked,
    "https://xnode.lan",
    statement,
  );
  expect(parseSiweMessage(message).statement).toBe(statement);
});
