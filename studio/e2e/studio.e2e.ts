import type { Browser, Page } from "playwright-core";
import { hexToString, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { open, startBrowser, startNetwork, type Network } from "./harness";

let network: Network;
let browser: Browser;
let opened: { page: Page; complaints: string[]; matter: boolean }[] = [];

beforeAll(async () => {
  [network, browser] = await Promise.all([startNetwork(), startBrowser()]);
});
afterAll(async () => {
  await browser?.close();
  await network?.stop();
});
afterEach(async () => {
  // Whatever a test was about: a page that complains in the console is broken.
  const complaints = opened.filter((each) => each.matter).flatMap((each) => each.complaints);
  await Promise.all(opened.map(({ page }) => page.context().close()));
  opened = [];
  expect(complaints).toEqual([]);
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

/** Waits until the text of what is found changes: proof that it is alive. */
async function changes(read: () => Promise<string>): Promise<void> {
  const before = await read();
  await expect.poll(read, { timeout: 30_000 }).not.toBe(before);
}

/** Follows the catalogue to its first instrument. */
async function firstInstrument(page: Page): Promise<void> {
  await page.getByRole("table", { name: "Instruments" }).getByRole("link").first().click();
  await page.getByRole("heading", { name: "Order book" }).waitFor();
}

describe("pages", () => {
  it("show the network as it is", async () => {
    const page = await visit("/");
    await page.getByText("Simulated market: these prices are not real").waitFor();
    await page.getByText("Connected", { exact: true }).waitFor();
    expect(await page.title()).toBe("Network · Openmesh");
    const blocks = page.getByRole("table", { name: "Latest blocks" });
    const newest = blocks.getByRole("link").first();
    await newest.waitFor();
    await changes(async () => (await newest.textContent()) ?? "");
    const validators = page.getByRole("table", { name: "Validators" });
    await expect.poll(() => validators.getByRole("row").count()).toBeGreaterThan(3);
    const cell = page
      .getByRole("table", { name: "Agreement by source and window" })
      .getByRole("button", { name: /: accepted, \d+ of \d+ streams agreed/ })
      .first();
    await cell.click({ timeout: 45_000 });
    await page
      .getByRole("region", { name: /^Chunks of / })
      .getByText("✓ accepted")
      .first()
      .waitFor();
    expect(new URL(page.url()).searchParams.get("window")).toMatch(/^.+:\d+$/);
    await newest.click();
    await page.getByRole("heading", { name: /^Certificate: \d+ signatures$/ }).waitFor();
  });

  it("keep incident filters in the address", async () => {
    const page = await visit("/?kind=gap");
    const kind = page.getByLabel("Kind");
    expect(await kind.inputValue()).toBe("gap");
    await kind.selectOption("differing");
    await expect.poll(() => new URL(page.url()).searchParams.get("kind")).toBe("differing");
    await page.getByRole("button", { name: "Clear filters" }).click();
    await expect.poll(() => new URL(page.url()).search).toBe("");
  });

  it("show an instrument live", async () => {
    const page = await visit("/data");
    await firstInstrument(page);
    const book = page.getByRole("table", { name: "Order book" });
    await book.getByText(/basis points/).waitFor();
    await changes(async () => (await book.textContent()) ?? "");
    const trades = page.getByRole("table", { name: "Trades" });
    await trades
      .getByText(/bought at|sold at/)
      .first()
      .waitFor({ timeout: 30_000 });
    await page.getByRole("img", { name: /candles of/ }).waitFor();
    await page
      .getByRole("group", { name: "Interval" })
      .getByRole("button", { name: "5s", exact: true })
      .click();
    await expect.poll(() => new URL(page.url()).searchParams.get("interval")).toBe("5s");
  });

  it("filter the catalogue by text", async () => {
    const page = await visit("/data");
    const table = page.getByRole("table", { name: "Instruments" });
    await table.waitFor();
    await page.getByLabel("Search").fill("surely no such instrument");
    await page.getByText("No instrument matches these filters.").waitFor();
    expect(new URL(page.url()).searchParams.get("text")).toBe("surely no such instrument");
  });

  it("give a window as Parquet, with the command that checks it", async () => {
    const page = await visit("/data");
    await firstInstrument(page);
    const windows = page.getByRole("table", { name: /^Recent windows of/ });
    await windows
      .getByRole("link", { name: /^bafkrei/ })
      .first()
      .click({ timeout: 45_000 });
    await page.getByText(/^openmesh verify bafkrei\S+\.parquet --trust genesis\.json$/).waitFor();
    // The proof is ready with the block after the one that agreed on the chunk.
    const cid = decodeURIComponent(new URL(page.url()).pathname.split("/").at(-1) ?? "");
    await expect.poll(async () => (await fetch(`${network.url}/v1/chunks/${cid}/proof`)).status).toBe(200);
    const [download] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("link", { name: "Download Parquet" }).click(),
    ]);
    expect(download.suggestedFilename()).toBe(`${cid}.parquet`);
    const chunks: Buffer[] = [];
    for await (const part of await download.createReadStream()) chunks.push(part as Buffer);
    const file = Buffer.concat(chunks);
    expect([file.subarray(0, 4).toString(), file.subarray(-4).toString()]).toEqual(["PAR1", "PAR1"]);
  });

  it("say what is not there", async () => {
    const page = await visit("/nowhere");
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
  });
});

describe("SQL", () => {
  it("runs by keyboard alone, sorts, and keeps the query in the address", async () => {
    const page = await visit("/sql");
    const editor = page.getByRole("textbox", { name: "SQL query" });
    await editor.focus();
    await page.keyboard.press("Control+a");
    await page.keyboard.type("select * from (values (2), (10), (1)) as t(n)");
    await page.keyboard.press("Control+Enter");
    const result = page.getByRole("table", { name: "Result" });
    await result.waitFor();
    await page.getByText(/^3 rows in /).waitFor();
    const cells = () => result.getByRole("cell").allTextContents();
    await result.getByRole("button", { name: "n" }).press("Enter");
    expect(await cells()).toEqual(["1", "2", "10"]);
    await result.getByRole("button", { name: "n" }).press("Enter");
    expect(await cells()).toEqual(["10", "2", "1"]);
    expect(new URL(page.url()).searchParams.get("q")).toContain("values (2)");
    const [csv] = await Promise.all([
      page.waitForEvent("download"),
      page.getByRole("button", { name: "CSV" }).click(),
    ]);
    expect(csv.suggestedFilename()).toBe("openmesh-result.csv");
  });

  it("answers from the tables", async () => {
    const page = await visit("/sql");
    await page.getByRole("button", { name: "Example query of trades" }).click();
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page.getByRole("table", { name: "Result" }).waitFor();
    await page.getByText(/^\d+ rows? in /).waitFor();
  });

  it("says what is wrong with a query, and what to do", async () => {
    const page = await visit(`/sql?q=${encodeURIComponent("select * from trade")}`, {}, { refused: true });
    await page.getByRole("button", { name: "Run", exact: true }).click();
    const alert = page.getByRole("alert");
    await alert.waitFor();
    expect(await alert.textContent()).toMatch(/unknown_table/);
    expect(await alert.textContent()).toMatch(/trades/);
  });
});

describe("frame", () => {
  it("remembers the theme and sets it before the first paint", async () => {
    const page = await visit("/", { colorScheme: "light" });
    const theme = () => page.evaluate(() => document.documentElement.dataset["theme"]);
    expect(await theme()).toBe("light");
    await page.getByLabel("Theme").selectOption("dark");
    expect(await theme()).toBe("dark");
    await page.reload({ waitUntil: "commit" });
    await expect.poll(theme).toBe("dark");
    await page.getByLabel("Theme").selectOption("system");
    expect(await theme()).toBe("light");
    await page.emulateMedia({ colorScheme: "dark" });
    await expect.poll(theme).toBe("dark");
  });

  it.each(["/", "/data", "/sql"])("needs no sideways scrolling at 380 pixels: %s", async (path) => {
    const page = await visit(path, { viewport: { width: 380, height: 800 } });
    await page
      .getByText(/^Openmesh|openmesh/)
      .last()
      .waitFor();
    await page.getByText("Connected", { exact: true }).waitFor();
    if (path === "/data") await firstInstrument(page);
    const surplus = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(await surplus()).toBeLessThanOrEqual(0);
  });

  it("lets a keyboard skip the navigation", async () => {
    const page = await visit("/");
    await page.getByRole("heading", { name: "Network", level: 1 }).waitFor();
    await page.keyboard.press("Tab");
    const skip = page.getByRole("link", { name: "Skip to content" });
    expect(await skip.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press("Enter");
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("main");
  });

  it("says that the connection is lost, and comes back by itself", async () => {
    const page = await visit("/", {}, { refused: true });
    await page.getByText("Connected", { exact: true }).waitFor();
    const sockets = await page.context().newCDPSession(page);
    await sockets.send("Network.enable");
    const online = { latency: 0, downloadThroughput: -1, uploadThroughput: -1 };
    await sockets.send("Network.emulateNetworkConditions", { offline: true, ...online });
    await page.getByText("The connection to the node is lost").waitFor({ timeout: 30_000 });
    await page.getByText(/^Not up to date: last heard/).waitFor();
    await sockets.send("Network.emulateNetworkConditions", { offline: false, ...online });
    await page.getByText("Connected", { exact: true }).waitFor({ timeout: 30_000 });
  });
});

describe("wallet", () => {
  it("says what to do where there is none", async () => {
    const page = await visit("/");
    await page.getByRole("button", { name: "Connect wallet" }).click();
    await page.getByText("No wallet found in this browser").waitFor();
  });

  it("signs in, stays so after loading again, and signs out", async () => {
    const account = privateKeyToAccount(generatePrivateKey());
    const page = await visit("/");
    // The key stays on this side; the page gets only what a wallet's provider gives.
    await page.context().exposeFunction("walletRequest", async (method: string, parameters: string[]) => {
      if (method === "eth_requestAccounts") return [account.address.toLowerCase()];
      if (method === "personal_sign")
        return account.signMessage({ message: hexToString((parameters[0] ?? "0x") as Hex) });
      throw new Error(`${method} is not expected`);
    });
    await page.context().addInitScript(() => {
      const ask = (
        window as unknown as { walletRequest: (method: string, parameters: unknown[]) => Promise<unknown> }
      ).walletRequest;
      const detail = Object.freeze({
        info: {
          uuid: "350670db-19fa-4704-a166-e52e178b59d2",
          name: "Test Wallet",
          icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>",
          rdns: "org.example.wallet",
        },
        provider: {
          request: ({ method, params = [] }: { method: string; params?: unknown[] }) => ask(method, params),
        },
      });
      const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
      window.addEventListener("eip6963:requestProvider", announce);
      announce();
    });
    await page.reload();
    await page.getByRole("button", { name: "Connect wallet" }).click();
    await page.getByRole("button", { name: "Test Wallet" }).click();
    const signedIn = page.getByLabel(`Signed in as ${account.address}`);
    await signedIn.waitFor();
    await page.reload();
    await signedIn.waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("button", { name: "Connect wallet" }).waitFor();
    await page.reload();
    await page.getByRole("button", { name: "Connect wallet" }).waitFor();
  });
});
