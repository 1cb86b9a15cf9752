import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { cleanup, render, screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterEach, expect, it } from "vitest";
import { ProviderError, TestWallet } from "../../e2e/provider";
import { chainOf } from "./chain";
import { NetworkInWallet } from "./NetworkInWallet";
import type { Wallet } from "./wallet";

afterEach(cleanup);

const STATUS = { chain_id: 84_202, network: "simulated" };

/** Announces a wallet to this page whenever it asks. No network answers it. */
function announce(name: string): { inside: TestWallet; change: (chainId: string) => void } {
  const account = privateKeyToAccount(generatePrivateKey());
  const inside = new TestWallet(account, () => Promise.reject(new ProviderError(-32603, "no such address")));
  const listeners = new Set<(value: unknown) => void>();
  const detail: Wallet = {
    info: { uuid: name, name, icon: "", rdns: "org.example" },
    provider: {
      request: async ({ method, params }) => {
        try {
          return await inside.request(method, params);
        } catch (error) {
          // As wallets do: what is thrown is no Error.
          const { code, message } = error as ProviderError;
          throw { code, message };
        }
      },
      on: (_, listener) => listeners.add(listener),
      removeListener: (_, listener) => listeners.delete(listener),
    },
  };
  const say = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  window.addEventListener("eip6963:requestProvider", say);
  return { inside, change: (chainId) => listeners.forEach((listener) => listener(chainId)) };
}

const show = (origin: string) =>
  render(
    <QueryClientProvider client={new QueryClient()}>
      <NetworkInWallet chain={chainOf(STATUS, origin)} />
    </QueryClientProvider>,
  );

it("shows each wallet with the chain that it is on, and says a no in words", async () => {
  const user = userEvent.setup();
  const first = announce("First");
  const second = announce("Second");
  show("http://localhost:8420");
  const one = within(await screen.findByRole("group", { name: "First" }));
  const other = within(screen.getByRole("group", { name: "Second" }));
  await one.findByText("on the chain 1");
  first.inside.decline("wallet_addEthereumChain");
  await user.click(one.getByRole("button", { name: "Add network to wallet" }));
  await one.findByText("You declined in the wallet.");
  second.inside.lack("wallet_switchEthereumChain");
  await user.click(other.getByRole("button", { name: "Switch network" }));
  await other.findByText("This wallet cannot do that.");
  await user.click(one.getByRole("button", { name: "Add network to wallet" }));
  // The wallet's own words where it has no number for them.
  await one.findByText("no such address");
  first.change("0x148ea");
  await one.findByText("✓ on this network");
  expect(one.queryByRole("button", { name: "Switch network" })).toBeNull();
});

it("says that wallets take no network from an address without TLS, and how it is entered by hand", () => {
  show("http://mesh.example");
  screen.getByText("Wallets cannot add the network from this address");
  const facts = within(screen.getByLabelText("The network for a wallet"));
  facts.getByText("http://mesh.example/v1/rpc");
  facts.getByText("84202");
  expect(screen.queryByRole("button", { name: "Add network to wallet" })).toBeNull();
});
