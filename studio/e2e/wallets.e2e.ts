/**
 * A person whose wallet enforces the active chain, Studio in Chromium, and a real network: the network is added and switched to, and every kind of
 * transaction that the ledger declares is signed with readable fields and accepted.
 */
import type { Browser, Page } from "playwright-core";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { close, giveWallet, open, startBrowser, startNetwork, type Network, type Opened } from "./harness";
import { MAINNET, type TestWallet } from "./provider";

const OTHER = {
  uuid: "7c9e6679-7425-40de-944b-e07fc1f90ae7",
  name: "Other Wallet",
  rdns: "org.example.other",
};

let network: Network;
let browser: Browser;
let opened: Opened[] = [];
let chain = "";

beforeAll(async () => {
  [network, browser] = await Promise.all([startNetwork(), startBrowser()]);
  const status = (await (await fetch(`${network.url}/v1/status`)).json()) as { chain_id: number };
  chain = `0x${status.chain_id.toString(16)}`;
});
afterAll(async () => {
  await browser?.close();
  await network?.stop();
});
afterEach(async ({ task }) => {
  const all = opened;
  opened = [];
  await close(all, task.result?.state === "fail");
});

async function visit(path: string): Promise<Page> {
  const { page, complaints } = await open(browser);
  opened.push({ page, complaints, matter: true });
  await page.goto(network.url + path);
  return page;
}

interface Form {
  page: Page;
  wallet: TestWallet;
}

/** Opens the form of an action, filled in by its address, with a wallet that has the network's first account. */
async function form(kind: string, values: Record<string, string>): Promise<Form> {
  const page = await visit("/actions");
  const wallet = await giveWallet(page, privateKeyToAccount(await network.faucet()));
  await fill(page, kind, values);
  return { page, wallet };
}

async function fill(page: Page, kind: string, values: Record<string, string>): Promise<void> {
  await page.goto(`${network.url}/actions/${kind}?${new URLSearchParams(values).toString()}`);
  await page.getByRole("button", { name: "Use Test Wallet" }).click();
}

const signAndSend = (page: Page) => page.getByRole("button", { name: "Sign and send" }).click();
const isCommitted = (page: Page) =>
  page.getByText(/^Done: committed in block [\d,]+$/).waitFor({ timeout: 30_000 });

describe("the network in a wallet", () => {
  it("is added to one and switched to in another, and a no is said in words", async () => {
    const page = await visit("/");
    const first = await giveWallet(page, privateKeyToAccount(generatePrivateKey()));
    const second = await giveWallet(page, privateKeyToAccount(generatePrivateKey()), OTHER);
    await page.reload();
    const [one, other] = ["Test Wallet", "Other Wallet"].map((name) =>
      page.getByRole("group", { name, exact: true }),
    );
    if (!one || !other) throw new Error("two wallets are shown");
    await one.getByText("on the chain 1", { exact: true }).waitFor();
    const add = one.getByRole("button", { name: "Add network to wallet" });
    first.decline("wallet_addEthereumChain");
    await add.click();
    await one.getByText("You declined in the wallet.").waitFor();
    expect(first.chainId).toBe(MAINNET);
    await add.click();
    await one.getByText("✓ on this network").waitFor();
    expect(first.chainId).toBe(chain);
    // All that it will ever ask was asked, and the answers held to their forms.
    expect(first.asked).toEqual(
      expect.arrayContaining([
        "eth_chainId",
        "net_version",
        "eth_blockNumber",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getBalance",
        "eth_getTransactionCount",
        "eth_getCode",
        "eth_estimateGas",
        "eth_gasPrice",
        "eth_feeHistory",
      ]),
    );
    await other.getByText("on the chain 1", { exact: true }).waitFor();
    await other.getByRole("button", { name: "Switch network" }).click();
    await other.getByText("✓ on this network").waitFor();
    expect(second.chainId).toBe(chain);
  });

  it("answers pages of other origins, as wallets and pages of others are", async () => {
    const options = await fetch(`${network.url}/v1/rpc`, { method: "OPTIONS" });
    expect([options.status, options.headers.get("access-control-allow-origin")]).toEqual([204, "*"]);
    expect(options.headers.get("access-control-allow-methods")).toContain("POST");
    expect(options.headers.get("access-control-allow-headers")).toContain("content-type");
  });

  it("can be entered by hand", async () => {
    const page = await visit("/");
    await page.getByText("This browser has no wallet to add the network to").waitFor();
    await page.getByText("By hand", { exact: true }).click();
    const facts = page.getByLabel("The network for a wallet");
    await facts.getByText(`${network.url}/v1/rpc`, { exact: true }).waitFor();
    await facts.getByText(String(Number(chain)), { exact: true }).waitFor();
  });

  it("leads a wallet's links of an explorer to its pages", async () => {
    const address = privateKeyToAccount(generatePrivateKey()).address;
    const page = await visit(`/address/${address}`);
    await page.getByRole("heading", { name: "Account", level: 1 }).waitFor();
    expect(new URL(page.url()).pathname).toBe(`/accounts/${address}`);
    await page.goto(`${network.url}/block/1`);
    await page.getByRole("heading", { name: "Block 1", level: 1 }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/blocks/1");
  });
});

describe("a wallet that enforces the active chain", () => {
  it("signs nothing on another one: Studio says so, and has it switch", async () => {
    const to = privateKeyToAccount(generatePrivateKey()).address;
    const { page, wallet } = await form("transfer", { to, amount: "0.5" });
    await page.getByText("Test Wallet is on another network (chain 1)").waitFor();
    await page.getByRole("button", { name: "Review" }).click();
    wallet.decline("wallet_switchEthereumChain");
    await signAndSend(page);
    await page.getByText("You declined in the wallet.").waitFor();
    expect([wallet.chainId, wallet.shown.length]).toEqual([MAINNET, 0]);
    await signAndSend(page);
    await isCommitted(page);
    expect(wallet.chainId).toBe(chain);
    await page.getByText("Test Wallet is on another network (chain 1)").waitFor({ state: "detached" });
    // The wallet asks what it shows, by its own words.
    const balance = await wallet.request("eth_getBalance", [to, "latest"]);
    expect(BigInt(String(balance))).toBe(5n * 10n ** 17n);
  });

  it("signs every kind of transaction, and each is accepted", { timeout: 180_000 }, async ({ task }) => {
    const id = `by-wallet-${task.result?.retryCount ?? 0}`;
    const source = { id, symbols: "BTC.USD, ETH.USD", feeds: "trades" };
    /** Values for the form of each action by its kind. A new kind of the ledger needs its own here. */
    const values: Record<string, Record<string, string>> = {
      transfer: { to: privateKeyToAccount(generatePrivateKey()).address, amount: "1.5" },
      register_source: {
        ...source,
        exchange: "kraken",
        source_kind: "market",
        window_ms: "60000",
        origin: "simulated",
      },
      update_source: { ...source, symbols: "BTC.USD" },
      retire_source: { id },
      // A hash of nothing, which nobody has stamped.
      stamp: { hash: generatePrivateKey(), topic: "e2e.wallet", note: "by a wallet" },
    };
    const declared = (await (await fetch(`${network.url}/v1/actions`)).json()) as {
      kind: string;
      typed_data: string;
    }[];
    expect(declared.map(({ kind }) => kind).filter((kind) => !(kind in values))).toEqual([]);
    const { page, wallet } = await form("transfer", {});
    for (const { kind, typed_data } of declared) {
      await fill(page, kind, values[kind] ?? {});
      await page.getByRole("button", { name: "Review" }).click();
      await page.getByText(typed_data, { exact: true }).waitFor();
      await signAndSend(page);
      await isCommitted(page);
      const shown = wallet.shown.at(-1);
      const written = shown?.fields.map(({ name, type }) => `${type} ${name}`).join(",");
      expect(`${shown?.primaryType}(${written})`).toBe(typed_data);
      for (const { name, value } of shown?.fields ?? [])
        expect(typeof value === "string" || Array.isArray(value), `${kind}: ${name}`).toBe(true);
    }
    expect(wallet.shown.length).toBe(declared.length);
  });
});
