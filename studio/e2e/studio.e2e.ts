import type { Browser, Page } from "playwright-core";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
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
      .getByRole("button", { name: /: (agreed|partly), \d+ of \d+ streams agreed/ })
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

  it("show how each validator stood to the windows of a source", async () => {
    const page = await visit("/");
    await page.getByRole("button", { name: "By validator" }).click();
    await page.getByLabel("Source of the picture").selectOption("kraken");
    const grid = page.getByRole("table", { name: "Agreement by validator and window of kraken" });
    await grid
      .getByRole("button", { name: /^validator-\d, kraken, window \d+: agreed$/ })
      .first()
      .waitFor({ timeout: 45_000 });
    expect(new URL(page.url()).search).toBe("?by=validator&of=kraken");
  });

  it("page through blocks by cursors, in the address and the history", async () => {
    const page = await visit("/blocks");
    const blocks = page.getByRole("table", { name: "All blocks" });
    const heights = async () =>
      (await blocks.getByRole("link", { name: /^[\d,]+$/ }).allTextContents()).map((each) =>
        Number(each.replaceAll(",", "")),
      );
    const pages = page.getByRole("navigation", { name: "Pages of blocks" });
    const older = pages.getByRole("button", { name: "Older" });
    await expect.poll(() => older.isEnabled(), { timeout: 45_000 }).toBe(true);
    const before = Math.min(...(await heights()));
    await older.click();
    await pages.getByText("Older: this page does not change").waitFor();
    await expect.poll(async () => Math.max(...(await heights()))).toBeLessThan(before + 5);
    const second = await heights();
    expect(Math.max(...second)).toBeGreaterThanOrEqual(before - 1);
    expect(new URL(page.url()).searchParams.get("older")).not.toBeNull();
    await page.reload();
    await expect.poll(heights).toEqual(second);
    await page.goBack();
    await pages.getByText("Newest: this page is live").waitFor();
  });

  it("show a source with all its chunks", async () => {
    const page = await visit("/data");
    await page.getByRole("link", { name: "kraken", exact: true }).first().click();
    await page.getByRole("heading", { name: "kraken", level: 1 }).waitFor();
    const chunks = page.getByRole("table", { name: "Chunks of the source" });
    await chunks.getByText("✓ accepted").first().waitFor({ timeout: 45_000 });
    await page.getByLabel("Instrument").selectOption("BTC.USD");
    await expect
      .poll(async () => {
        const streams = await chunks.getByRole("row").locator("td:first-child").allTextContents();
        return streams.length > 0 && streams.every((each) => each.startsWith("BTC.USD/"));
      })
      .toBe(true);
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

  it("says up to where the tables were, and that an answer is incomplete and old", async () => {
    const page = await visit("/sql");
    // What a node says whose tables have fallen behind.
    await page.route("**/v1/sql", async (route) => {
      const response = await route.fetch();
      const answer = (await response.json()) as object;
      const tables = { height: 1_000, chunks_awaited: 3, chunks_missing: 2 };
      await route.fulfill({ response, json: { ...answer, tables } });
    });
    await page.route("**/v1/status", async (route) => {
      const response = await route.fetch();
      const answer = (await response.json()) as object;
      await route.fulfill({ response, json: { ...answer, height: 2_000 } });
    });
    await page.routeWebSocket("**/v1/stream", () => undefined);
    await page.reload();
    await page.getByRole("button", { name: "Run", exact: true }).click();
    await page
      .getByText(
        /^Asked at \d\d:\d\d:\d\d of tables up to block 1,000; the rows of 3 agreed chunks are still to come\.$/,
      )
      .waitFor();
    const told = page.getByRole("status");
    await told.filter({ hasText: "2 chunks were agreed on" }).waitFor();
    await told.filter({ hasText: "Old: 1,000 blocks behind the network" }).waitFor();
  });

  it("shows the result that an address shares", async () => {
    const query = "select * from (values (1.05), (2.25)) as t(price)";
    const page = await visit(`/sql?q=${encodeURIComponent(query)}`);
    await page.getByText(/^2 rows in /).waitFor();
    const cells = page.getByRole("table", { name: "Result" }).getByRole("cell");
    expect(await cells.allTextContents()).toEqual(["1.05", "2.25"]);
  });

  it("says what is wrong with a query, and what to do", async () => {
    const page = await visit(`/sql?q=${encodeURIComponent("select * from trade")}`, {}, { refused: true });
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

  it.each([
    "/",
    "/data",
    "/data/kraken/BTC.USD",
    "/sql",
    "/blocks",
    "/transactions",
    "/actions",
    "/actions/register_source",
    "/supply",
    "/sources/kraken",
  ])("needs no sideways scrolling at 380 pixels: %s", async (path) => {
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

  it("says that the network stands still, and since when", async () => {
    const page = await visit("/data");
    await page.getByText("Connected", { exact: true }).waitFor();
    const stopped = await Promise.all([network.validator(2), network.validator(3)]);
    try {
      for (const pid of stopped) process.kill(pid, "SIGSTOP");
      const told = page.getByRole("status").filter({ hasText: /^No block since \d\d:\d\d:\d\d/ });
      await told.waitFor({ timeout: 45_000 });
      // What ticks is not told again each second.
      expect(await told.textContent()).not.toMatch(/ s without one/);
      await page.getByText(/^\d+ s without one\.$/).waitFor();
      await page.getByRole("link", { name: "Network", exact: true }).click();
      await page.getByText(/^stale: \d+ s ago$/).waitFor();
    } finally {
      for (const pid of stopped) process.kill(pid, "SIGCONT");
    }
    await page.getByText(/^No block since/).waitFor({ state: "detached", timeout: 45_000 });
  });

  it("says that a book is out of date while its venue is silent", async () => {
    const page = await visit("/data");
    await firstInstrument(page);
    await page.getByText(/^changed/).waitFor();
    const venues = await network.venues();
    try {
      process.kill(venues, "SIGSTOP");
      await page.getByText(/^Out of date: .*silent/).waitFor({ timeout: 45_000 });
      await page.getByText(/^stale, changed \d+ s ago$/).waitFor();
    } finally {
      process.kill(venues, "SIGCONT");
    }
    await page.getByText(/^Out of date/).waitFor({ state: "detached", timeout: 45_000 });
    await page.getByText(/^changed/).waitFor();
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
    await giveWallet(page, account);
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

  it("signs a transfer, which both accounts then show", async () => {
    const payer = privateKeyToAccount(await network.faucet());
    const receiver = privateKeyToAccount(generatePrivateKey()).address;
    const page = await visit("/transactions");
    await giveWallet(page, payer);
    await page.reload();
    await page.getByRole("link", { name: "Send OPEN" }).click();
    await page.getByRole("button", { name: "Use Test Wallet" }).click();
    await page.getByLabel("To", { exact: true }).fill(receiver);
    await page.getByLabel("Amount in OPEN").fill("12.000000000000000005");
    await page.getByRole("button", { name: "Review" }).click();
    const facts = page.getByLabel("What will be signed");
    await facts.getByText("12.000000000000000005 OPEN", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Sign and send" }).click();
    await page.getByText(/^Done: committed in block [\d,]+$/).waitFor({ timeout: 30_000 });
    await page.getByRole("link", { name: "Look at the transaction" }).click();
    await page.getByText("✓ done").waitFor();
    await page.getByRole("link", { name: `Account ${receiver}` }).click();
    await page.getByLabel("Figures of the account").getByText("12.000000000000000005 OPEN").waitFor();
    const history = page.getByRole("table", { name: "Its transactions" });
    await history.getByText("+12.000000000000000005 OPEN").waitFor();
    await history.getByRole("link", { name: `Account ${payer.address}` }).click();
    await page
      .getByRole("table", { name: "Its transactions" })
      .getByText("−12.000000000000000005 OPEN")
      .waitFor();
  });

  it("shows where the whole supply stands, as a picture", async () => {
    const page = await visit("/transactions");
    await page.getByRole("link", { name: "Supply" }).click();
    const picture = page.getByRole("img", { name: /^In pools: \d/ });
    await picture.waitFor();
    const places = page.getByRole("list", { name: "Places of the supply" });
    for (const place of ["In pools", "In accounts", "Deposits", "Burnt"])
      await places.getByText(place).waitFor();
    const pools = await page
      .getByRole("list", { name: /^Pools of / })
      .getByRole("listitem")
      .count();
    expect(pools).toBe(25);
    await page.getByText("Community and marketing").waitFor();
    await page.getByText(/% of it left$/).waitFor();
  });

  it("does not offer what cannot be paid, or an address with a wrong letter", async () => {
    const page = await visit("/actions/transfer");
    await giveWallet(page, privateKeyToAccount(generatePrivateKey()));
    await page.reload();
    await page.getByRole("button", { name: "Use Test Wallet" }).click();
    const to = page.getByLabel("To", { exact: true });
    await to.fill("0x52908400098527886E0F7030069857D2E4169Ee7");
    await page.getByLabel("Amount in OPEN").fill("1");
    await page.getByText(/EIP-55/).waitFor();
    await page.getByRole("button", { name: "Review" }).click();
    await expect.poll(() => to.evaluate((input) => input === document.activeElement)).toBe(true);
    await to.fill("0x52908400098527886E0F7030069857D2E4169EE7");
    await page.getByRole("button", { name: "Review" }).click();
    await page.getByText("The account has only 0 OPEN.").waitFor();
    expect(await page.getByRole("button", { name: "Sign and send" }).isDisabled()).toBe(true);
  });

  it("signs any action that the ledger declares, and shows what it did or why it was refused", async ({
    task,
  }) => {
    // A source stays registered, so that a test that is made again needs another one.
    const sourceId = `kraken-slow-${task.result?.retryCount ?? 0}`;
    const payer = privateKeyToAccount(await network.faucet());
    const page = await visit("/actions", {}, { refused: true });
    await giveWallet(page, payer);
    await page.reload();
    const declared = (await (await fetch(`${network.url}/v1/actions`)).json()) as { title: string }[];
    const actions = page.getByRole("table", { name: "Actions" });
    for (const { title } of declared) await actions.getByRole("link", { name: title, exact: true }).waitFor();
    await page.getByLabel("Filter").fill("register");
    await actions.getByRole("link", { name: "Register a source" }).click();
    await page.getByRole("button", { name: "Use Test Wallet" }).click();
    const review = page.getByRole("button", { name: "Review" });
    await review.click();
    const id = page.getByLabel("Id", { exact: true });
    await expect.poll(() => id.getAttribute("aria-invalid")).toBe("true");
    await id.fill(sourceId);
    await page.getByLabel("Venue or chain").fill("kraken");
    await page.getByLabel("Kind", { exact: true }).selectOption("market");
    await page.getByLabel("Symbols").fill("ETH.USD, BTC.USD");
    await page.getByRole("button", { name: "Put in order" }).click();
    await page.getByLabel("Feeds").fill("trades");
    await page.getByLabel("Window in ms").fill("60000");
    await page.getByLabel("Origin", { exact: true }).selectOption("simulated");
    await review.click();
    const facts = page.getByLabel("What will be signed");
    await facts.getByText("BTC.USD, ETH.USD", { exact: true }).waitFor();
    await facts.getByText("60000 ms", { exact: true }).waitFor();
    await page.getByText(/^RegisterSource\(string id,.*uint256 maxFee,uint256 tip\)$/).waitFor();
    await page.getByRole("button", { name: "Sign and send" }).click();
    await page.getByText(/^Done: committed in block [\d,]+$/).waitFor({ timeout: 30_000 });
    const source = (await (await fetch(`${network.url}/v1/sources/${sourceId}`)).json()) as {
      window_ms: number;
      symbols: string[];
    };
    expect([source.window_ms, source.symbols]).toEqual([60_000, ["BTC.USD", "ETH.USD"]]);
    await page.getByRole("button", { name: "Sign another" }).click();
    await review.click();
    await page.getByRole("button", { name: "Sign and send" }).click();
    await page.getByText(`a source "${sourceId}" is registered already`).waitFor();
    await page.getByText("source_exists").waitFor();
    await page.getByText(/choose another id/).waitFor();
  });
});

describe("API", () => {
  const ask = (path: string, init?: RequestInit) => fetch(network.url + path, init);
  const code = async (answer: Response) =>
    ((await answer.json()) as { error: { code: string; hint: string } }).error;

  it("says what it does not understand, and what to do", async () => {
    const cases: [string, RequestInit, number, string][] = [
      ["/v1/blocks?limt=3", {}, 400, "unknown_parameter"],
      ["/v1/blocks?limit=0", {}, 400, "bad_limit"],
      ["/v1/blocks?limit=many", {}, 400, "bad_parameter"],
      ["/v1/chunks?source=nowhere", {}, 404, "unknown_source"],
      ["/v1/agreement?before=3", {}, 400, "no_source"],
      ["/v1/status", { method: "POST" }, 405, "wrong_method"],
      ["/data", { method: "POST" }, 405, "wrong_method"],
      ["/v1/sql", { method: "POST", body: "select 1" }, 415, "not_json"],
      [
        "/v1/sql",
        {
          method: "POST",
          body: '{"sql":"select 1","row":1}',
          headers: { "content-type": "application/json" },
        },
        422,
        "bad_json",
      ],
      ["/v1", {}, 404, "unknown_path"],
    ];
    for (const [path, init, status, word] of cases) {
      const answer = await ask(path, init);
      const error = await code(answer);
      expect([path, answer.status, error.code]).toEqual([path, status, word]);
      expect(error.hint.length).toBeGreaterThan(3);
    }
  });

  it("carries origin, policies and caching in its headers", async () => {
    const status = await ask("/v1/status");
    expect(status.headers.get("openmesh-origin")).toBe("simulated");
    expect(status.headers.get("cache-control")).toBe("no-store");
    expect(status.headers.get("content-security-policy")).toContain("default-src 'none'");
    expect(status.headers.get("access-control-allow-origin")).toBe("*");
    const head = await ask("/v1/status", { method: "HEAD" });
    expect([head.status, await head.text()]).toEqual([200, ""]);
    const options = await ask("/v1/sql", { method: "OPTIONS" });
    expect([options.status, options.headers.get("allow")]).toEqual([204, "POST"]);
    expect((await ask("/v1/auth/nonce")).headers.get("access-control-allow-origin")).toBeNull();
    const page = await ask("/");
    const again = await ask("/", { headers: { "if-none-match": page.headers.get("etag") ?? "" } });
    expect([page.status, again.status]).toEqual([200, 304]);
    const document = await ask("/openapi.json");
    const same = await ask("/openapi.json", {
      headers: { "if-none-match": document.headers.get("etag") ?? "" },
    });
    expect(same.status).toBe(304);
  });

  it("gives downloads in parts that fit together", async () => {
    const { items } = (await (await ask("/v1/chunks?source=kraken&status=accepted&limit=100")).json()) as {
      items: { cid: string; height: number }[];
    };
    const cid = items.at(-1)?.cid ?? "";
    for (const kind of ["raw", "parquet"]) {
      const path = `/v1/chunks/${cid}/${kind}`;
      const whole = await ask(path);
      const bytes = Buffer.from(await whole.arrayBuffer());
      const etag = whole.headers.get("etag") ?? "";
      expect(whole.headers.get("cache-control")).toContain("immutable");
      const first = await ask(path, { headers: { range: "bytes=0-99" } });
      const rest = await ask(path, { headers: { range: "bytes=100-", "if-range": etag } });
      expect([first.status, rest.status, first.headers.get("content-range")]).toEqual([
        206,
        206,
        `bytes 0-99/${bytes.length}`,
      ]);
      const parts = await Promise.all(
        [first, rest].map(async (each) => Buffer.from(await each.arrayBuffer())),
      );
      expect(Buffer.concat(parts).equals(bytes)).toBe(true);
      const beyond = await ask(path, { headers: { range: `bytes=${bytes.length}-` } });
      expect([beyond.status, (await code(beyond)).code]).toEqual([416, "bad_range"]);
      expect((await ask(path, { headers: { "if-none-match": etag } })).status).toBe(304);
    }
  });

  it("pages through a source's chunks without losing or repeating one", { timeout: 180_000 }, async () => {
    const page = async (query: string) =>
      (await (await ask(`/v1/chunks?source=kraken&${query}`)).json()) as {
        items: { window: number; stream: string }[];
        next: string | null;
      };
    const name = (each: { window: number; stream: string }) => `${each.window} ${each.stream}`;
    // Windows that are closed for good, two pages of them at least.
    let [to, all] = ["", [] as string[]];
    await expect
      .poll(
        async () => {
          const [{ window } = { window: 0 }] = (await page("limit=1")).items;
          to = `to=${window - 4}`;
          all = (await page(`limit=60&${to}`)).items.map(name);
          return all.length;
        },
        { timeout: 150_000, interval: 1_000 },
      )
      .toBeGreaterThan(7);
    const found: string[] = [];
    let cursor = "";
    while (found.length < all.length) {
      const { items, next } = await page(`limit=7&${to}${cursor}`);
      found.push(...items.map(name));
      if (next === null) break;
      cursor = `&cursor=${encodeURIComponent(next)}`;
    }
    expect(found.slice(0, all.length)).toEqual(all);
  });
});
