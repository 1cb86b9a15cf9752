/** The explorer: one search field, a page for every kind of record, and stamps whose files never leave the browser. */
import { createHash } from "node:crypto";
import type { Browser, Page } from "playwright-core";
import { privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { close, giveWallet, open, startBrowser, startNetwork, type Network, type Opened } from "./harness";

let network: Network;
let browser: Browser;
let opened: Opened[] = [];

beforeAll(async () => {
  [network, browser] = await Promise.all([startNetwork(), startBrowser()]);
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

/** Opens a page. `refused`: the test provokes a refusal, which the browser itself notes in the console. */
async function visit(
  path: string,
  options: Parameters<typeof open>[1] = {},
  { refused = false } = {},
): Promise<Page> {
  const { page, complaints } = await open(browser, options);
  opened.push({ page, complaints, matter: !refused });
  await page.goto(network.url + path);
  return page;
}

const ask = async <T>(path: string) => (await (await fetch(network.url + path)).json()) as T;
const field = (page: Page) => page.getByRole("searchbox", { name: "Height, hash, address, CID or name" });

/** Looks for a text from the field, by keyboard alone. */
async function look(page: Page, text: string): Promise<void> {
  await page.getByText("Connected", { exact: true }).waitFor();
  await page.getByRole("heading", { level: 1 }).first().waitFor();
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.keyboard.press("/");
  await expect.poll(() => field(page).evaluate((input) => input === document.activeElement)).toBe(true);
  await page.keyboard.type(text);
  await page.keyboard.press("Enter");
}

describe("search", () => {
  it("leads from a hash, an address and a CID to the page of what has it", async () => {
    const page = await visit("/");
    const [block] = (await ask<{ items: { height: number; hash: string }[] }>("/v1/blocks?limit=1")).items;
    const [validator] = (await ask<{ items: { address: string; name: string }[] }>("/v1/validators")).items;
    await look(page, validator?.address ?? "");
    await page.getByRole("heading", { name: validator?.name ?? "", level: 1 }).waitFor();
    // The gateway learns of a block a moment after it was committed.
    await expect
      .poll(async () => (await ask<unknown[]>(`/v1/search?text=${block?.hash}`)).length, { timeout: 45_000 })
      .toBe(1);
    await look(page, block?.hash ?? "");
    await page.waitForURL(`**/blocks/${block?.height}`);
    const chunks = () => ask<{ items: { cid: string }[] }>("/v1/chunks?status=accepted&limit=1");
    await expect.poll(async () => (await chunks()).items.length, { timeout: 45_000 }).toBe(1);
    const cid = (await chunks()).items[0]?.cid ?? "";
    await look(page, cid);
    await page.waitForURL(`**/chunks/${cid}`);
    await page.goBack();
    await page.waitForURL(`**/blocks/${block?.height}`);
  });

  it("shows all that a name or a number may mean, and says when it is nothing", async () => {
    const page = await visit("/explorer");
    await look(page, "validator");
    const found = page.getByRole("table", { name: "Found" });
    await expect.poll(() => found.getByRole("row").count()).toBeGreaterThan(4);
    await found.getByRole("link", { name: "validator-1", exact: true }).click();
    await page.getByRole("heading", { name: "validator-1", level: 1 }).waitFor();
    await look(page, "1");
    await found.getByRole("link", { name: "Block 1", exact: true }).click();
    await page.getByRole("heading", { name: "Block 1", level: 1 }).waitFor();
    await look(page, "bug-bount");
    await page.waitForURL("**/supply?pool=bug-bounties");
    expect(await page.locator("li[aria-current=true]").textContent()).toMatch(/^Bug bounties/);
    await look(page, "surely-nothing-has-this-name");
    await page.getByText(/^Nothing has this height, hash, address, CID or name/).waitFor();
  });
});

describe("pages", () => {
  it("lead from one kind of record to the others", async () => {
    const page = await visit("/explorer");
    const kinds = page.getByRole("list", { name: "Kinds of records" });
    await kinds.getByRole("link", { name: "Epochs", exact: true }).click();
    await page.getByRole("table", { name: "Epochs" }).getByRole("link", { name: "0", exact: true }).click();
    await page.getByRole("heading", { name: "Epoch 0", level: 1 }).waitFor();
    const assignments = page.getByRole("table", { name: "Assignments" });
    await assignments.getByRole("link", { name: "kraken", exact: true }).click();
    const cell = page
      .getByRole("table", { name: "Agreement by source and window" })
      .getByRole("button", { name: /: (agreed|partly), \d+ of \d+ streams agreed/ })
      .first();
    await cell.click({ timeout: 45_000 });
    await page.getByRole("link", { name: "Its page" }).click();
    await page.getByRole("heading", { name: /^kraken, window \d+$/, level: 1 }).waitFor();
    const validators = page.getByRole("table", { name: "Validators of the window" });
    await expect.poll(() => validators.getByRole("row").count()).toBeGreaterThan(3);
    await validators.getByRole("link").first().click();
    await page.getByRole("link", { name: "Its events" }).click();
    await page.getByRole("table", { name: "Events of the ledger" }).waitFor();
    expect(new URL(page.url()).searchParams.get("validator")).toMatch(/^0x/);
  });

  it("show events live and by kind", async () => {
    const page = await visit("/events?kind=attested");
    const events = page.getByRole("table", { name: "Events of the ledger" });
    const newest = events.getByRole("row").nth(1).locator("td:first-child");
    await newest.waitFor({ timeout: 45_000 });
    const before = await newest.textContent();
    await expect.poll(() => newest.textContent(), { timeout: 30_000 }).not.toBe(before);
    const kinds = await events.getByRole("row").locator("td:nth-child(3)").allTextContents();
    expect(new Set(kinds)).toEqual(new Set(["attested"]));
    await page.getByLabel("Kind").selectOption("epoch closed");
    await page
      .getByText(/^No event matches these filters|^None in the blocks that were looked through/)
      .waitFor();
  });

  it("show what an attestation says, and the parameters of the network", async () => {
    // Commitments are of that class too.
    const attestation = async () =>
      (
        await ask<{ items: { hash: string; kind: string }[] }>("/v1/transactions?class=attestation&limit=50")
      ).items.find(({ kind }) => kind === "attestation");
    await expect.poll(async () => (await attestation())?.kind, { timeout: 45_000 }).toBe("attestation");
    const page = await visit(`/transactions/${(await attestation())?.hash}`);
    await page.getByRole("region", { name: "Attestation" }).waitFor();
    await page.getByRole("link", { name: /^epoch \d+$/ }).waitFor();
    await page.goto(`${network.url}/parameters?find=stamp_deposit`);
    const parameters = page.getByRole("table", { name: "Parameters" });
    await parameters.getByText("0.01 OPEN", { exact: true }).waitFor();
    expect(await parameters.getByRole("row").count()).toBe(2);
  });

  it.each([
    "/explorer",
    "/search?text=kraken",
    "/events",
    "/validators",
    "/chunks",
    "/epochs",
    "/epochs/0",
    "/stamps",
    "/deposits",
    "/incidents",
    "/evidence",
    "/parameters",
    "/blocks/1",
  ])("need no sideways scrolling at 380 pixels, in the dark too: %s", async (path) => {
    const page = await visit(path, { viewport: { width: 380, height: 800 }, colorScheme: "dark" });
    await page.getByText("Connected", { exact: true }).waitFor();
    await page.getByRole("heading", { level: 1 }).waitFor();
    await expect.poll(() => page.getByText(/^Loading /).count()).toBe(0);
    const surplus = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(await surplus()).toBeLessThanOrEqual(0);
  });

  it("say what is not there", async () => {
    const page = await visit("/epochs/999999", {}, { refused: true });
    await page.getByText("there is no epoch 999999 yet").waitFor();
    await page.goto(`${network.url}/incidents/5-999`);
    await page.getByText("this node does not know the incident 5-999").waitFor();
    await page.goto(`${network.url}/sources/kraken/windows/1`);
    await page.getByText("window 1 of kraken does not stand in the state").waitFor();
  });
});

describe("stamps", () => {
  it("hash a file in the browser, are signed by a wallet, and are seen by whoever looks", async ({
    task,
  }) => {
    const content = Buffer.from(`a report that nobody else may read ${task.result?.retryCount ?? 0}`);
    const hash = createHash("sha256").update(content).digest("hex");
    const watching = await visit("/stamps?topic=e2e.report");
    const page = await visit("/stamps");
    await giveWallet(page, privateKeyToAccount(await network.faucet()));
    await page.reload();
    const sent: string[] = [];
    page.on("request", (request) => sent.push(request.postData() ?? ""));
    await page
      .getByLabel("File")
      .setInputFiles({ name: "report.txt", mimeType: "text/plain", buffer: content });
    await page.getByText(hash, { exact: true }).waitFor();
    const card = page.getByRole("heading", { name: "Stamp a file" }).locator("xpath=ancestor::section");
    const topic = card.getByLabel("Topic");
    await topic.fill("No Such Topic");
    await topic.blur();
    await card.getByText("A topic is made of a-z, 0-9, -, _ and a point.").waitFor();
    expect(await card.getByRole("button", { name: "Sign the stamp" }).isDisabled()).toBe(true);
    await topic.fill("e2e.report");
    await card.getByRole("link", { name: "Sign the stamp" }).click();
    await page.getByRole("button", { name: "Use Test Wallet" }).click();
    expect(await page.getByLabel("Hash", { exact: true }).inputValue()).toBe(hash);
    await page.getByRole("button", { name: "Review" }).click();
    await page.getByLabel("What will be signed").getByText(`0x${hash}`, { exact: true }).waitFor();
    await page.getByRole("button", { name: "Sign and send" }).click();
    await page.getByText(/^Done: committed in block [\d,]+$/).waitFor({ timeout: 30_000 });
    expect(sent.some((body) => body.includes("nobody else may read"))).toBe(false);
    // Another browser sees it without asking again.
    await watching.getByRole("table", { name: "Stamps" }).getByRole("link", { name: hash }).click();
    await watching.getByRole("heading", { name: "The stamp", level: 2 }).waitFor();
    await watching.getByText(`openmesh stamp check ${hash} --trust genesis.json`).waitFor();
    const proof = watching.getByRole("link", { name: /^Proof of the stamp under e2e\.report by 0x/ });
    const path = (await proof.getAttribute("href")) ?? "";
    await expect.poll(async () => (await fetch(network.url + path)).status).toBe(200);
    const { stamp } = await ask<{ stamp: { hash: string; topic: string } }>(path);
    expect([stamp.hash, stamp.topic]).toEqual([hash, "e2e.report"]);
    await watching.goto(`${network.url}/explorer`);
    await look(watching, hash);
    await watching.waitForURL(`**/stamps/${hash}`);
  });

  it("show on the page of the account and of the transaction", async () => {
    const { items } = await ask<{ items: { account: string; transaction: string; hash: string }[] }>(
      "/v1/stamps?topic=e2e.report",
    );
    const [stamp] = items;
    const page = await visit(`/transactions/${stamp?.transaction}`);
    const signed = page.getByRole("region", { name: "Fields of the action" });
    await signed.getByRole("link", { name: stamp?.hash ?? "" }).waitFor();
    await signed.getByRole("link", { name: "e2e.report" }).waitFor();
    await page.goto(`${network.url}/accounts/${stamp?.account}`);
    await page
      .getByRole("table", { name: "Its stamps" })
      .getByRole("link", { name: stamp?.hash ?? "" })
      .waitFor();
    const deposits = page.getByRole("table", { name: "Its deposits" });
    await deposits.getByText("0.01 OPEN", { exact: true }).first().waitFor();
    await deposits.getByRole("link", { name: stamp?.hash ?? "" }).waitFor();
  });
});
