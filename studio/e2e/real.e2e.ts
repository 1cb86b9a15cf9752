/**
 * A person, Studio in Chromium, and a real agent on this machine: from the store to an application that serves, is changed, broken,
 * brought back and removed. Each test goes on where the one before it ended. `npm run e2e -- real`, as root; elsewhere it says that
 * it was skipped.
 */
import { get } from "node:http";
import type { Locator, Page } from "playwright-core";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { startApart, type Apart } from "./chromium.mjs";
import { close, freePort, giveWallet, listen, open, paste } from "./harness";
import { lacking, Machine } from "./machine";

const lack = lacking();
if (lack !== null) process.stdout.write(`the real agent in Chromium: skipped: ${lack}\n`);

/** Name of the application, which is that of its template. */
const SITE = "static-site";
/** Time in which a machine says what has become of an application, and Studio shows it. */
const NOTICED_MS_MAX = 5_000;
/** Patience with a step that the machine makes. */
const STEP_MS_MAX = 60_000;
/** Patience with an image that is made of packages. */
const MAKING_MS_MAX = 300_000;
/** What a browser notes by itself: pages ask before anybody is signed in, and for a network, which is not there. */
const EXPECTED = /status of (401|404)/;

const PAGE = "<!doctype html><title>Notes</title><h1>Written in Studio</h1>";
const SPOILT = "<!doctype html><title>Notes</title><h1>Spoilt</h1>";

let machine: Machine;
let apart: Apart;
let page: Page;
let sitePort = 0;
let complaints: string[] = [];
let hasFailed = false;

const at = (path: string) => `http://127.0.0.1:${machine.port}${path}`;

/** What the application answers on the machine, over a connection of its own; status 0 where nobody does. */
const answered = (path = "/"): Promise<{ status: number; body: string }> =>
  new Promise((resolve) => {
    const nobody = () => resolve({ status: 0, body: "" });
    const asked = get({ host: "127.0.0.1", port: sitePort, path, agent: false }, (answer) => {
      let body = "";
      answer.setEncoding("utf8");
      answer.on("data", (part: string) => {
        body += part;
      });
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, body }));
      answer.on("error", nobody);
    });
    asked.on("error", nobody);
  });

/** Waits until the application answers with a text. */
const answersWith = (text: string) =>
  expect.poll(async () => (await answered()).body, { timeout: STEP_MS_MAX }).toContain(text);

/** Signs in by the wallet of this browser. */
async function signIn(tab: Page): Promise<void> {
  await tab.getByRole("heading", { name: "Sign in to this Xnode" }).waitFor();
  await tab.getByRole("button", { name: "Test Wallet" }).click();
  await tab.getByLabel(/^Signed in as 0x[0-9a-fA-F]{40}, owner$/).waitFor();
}

/** Opens a tab beside the first one, with the same wallet. */
async function besides(address: string): Promise<Page> {
  const tab = await page.context().newPage();
  listen(tab, complaints);
  await tab.goto(address);
  await signIn(tab);
  return tab;
}

/** Agrees to what a plan destroys, does it, and returns the number of its generation. */
async function decide(verb: string, patience = STEP_MS_MAX): Promise<number> {
  const plan = page.getByRole("region", { name: "Plan", exact: true });
  await plan.waitFor({ timeout: patience });
  const agreed = plan.getByRole("checkbox", { name: "What is listed above may be lost" });
  if ((await agreed.count()) > 0) await agreed.check();
  await plan.getByRole("button", { name: verb, exact: true }).click();
  const heading = page.getByRole("heading", { name: /^Generation \d+$/ });
  await heading.waitFor();
  return Number((await heading.textContent())?.replace("Generation ", ""));
}

const DONE = /^Done: the machine is as this generation says$/;
/** With its traffic: watched for a minute before it is committed, or committed by then. */
const SERVES = /^(It serves, and its new versions are watched|Done: the machine is as this generation says)$/;
const stands = (tab: Page, words: RegExp) => tab.getByText(words).waitFor({ timeout: STEP_MS_MAX });

/** Steps of the deployment that a tab shows: state and words of each. */
async function steps(tab: Page): Promise<string[]> {
  const rows = tab.getByRole("table", { name: "Steps of the deployment" }).getByRole("row");
  return rows.evaluateAll((all) =>
    all.slice(1).map((row) =>
      [...row.children]
        .slice(1, 3)
        .map((cell) => cell.textContent)
        .join(" "),
    ),
  );
}

const editor = (label: string) => page.getByRole("textbox", { name: label, exact: true });

/** Text of an editor of a document, once it is there. */
async function written(label: string): Promise<string> {
  const lines = editor(label).locator(".cm-line");
  await lines
    .filter({ hasText: `${SITE}:` })
    .first()
    .waitFor();
  return (await lines.allTextContents()).join("\n");
}

/** A text with lines behind its first line that begins so. */
function withBehind(text: string, begin: string, added: string[]): string {
  const lines = text.split("\n");
  const found = lines.findIndex((line) => line.startsWith(begin));
  if (found < 0) throw new Error(`no line begins with "${begin}":\n${text}`);
  return [...lines.slice(0, found + 1), ...added, ...lines.slice(found + 1)].join("\n");
}

/** Opens the page of the site among its files, and writes another one in its place. */
async function rewrite(before: string, after: string): Promise<void> {
  await page.goto(at(`/apps/${SITE}/files`));
  await page.getByRole("link", { name: "index.html" }).click();
  const content = page.getByLabel("Content", { exact: true });
  await content.waitFor();
  expect(await content.inputValue()).toContain(before);
  await content.fill(after);
  await page.getByRole("button", { name: "Save", exact: true }).click();
  await answersWith(after);
}

/** The one instance's first process, by what Studio says of it; not a number where there is none. */
async function firstProcess(): Promise<number> {
  const row = page.getByRole("table", { name: "Instances" }).getByRole("row").nth(1);
  return Number((await row.getByRole("cell").nth(4).textContent()) || "none");
}

/** An act of backups, once it has ended well. */
async function acted(kind: string): Promise<Locator> {
  const row = page
    .getByRole("table", { name: "Acts of backups" })
    .getByRole("row")
    .filter({ hasText: kind })
    .first();
  await row.getByText("✓ done").waitFor({ timeout: STEP_MS_MAX });
  return row;
}

describe.skipIf(lack !== null)("a person with a machine of their own", () => {
  const account = privateKeyToAccount(generatePrivateKey());
  let isRemoved = false;

  beforeAll(async () => {
    sitePort = await freePort();
    machine = await Machine.start(account.address);
    apart = await startApart([machine.port, sitePort]);
    const opened = await open(apart.browser);
    page = opened.page;
    complaints = opened.complaints;
    await giveWallet(page, account);
  });
  beforeEach((context) => {
    if (hasFailed) context.skip("what it goes on from has failed");
  });
  afterEach(async ({ task }) => {
    if (task.result?.state !== "fail") return;
    hasFailed = true;
    // The words of the page say more than the name of what was not found there.
    const shown = page?.isClosed() === false ? await page.locator("body").innerText() : "";
    process.stdout.write(`${page?.url()}\n${shown}\n`);
  });
  afterAll(async () => {
    await apart?.stop();
    if (machine && !isRemoved) await machine.end();
  });

  it("signs in as the owner that root has named", async () => {
    await page.goto(at("/"));
    await signIn(page);
    await page.getByRole("heading", { name: "Apps", level: 1 }).waitFor();
    await page.getByText(/^Nothing runs here yet/).waitFor();
  });

  it(
    "deploys a template of the store, and sees each step, also in a second tab and after a reload",
    { timeout: MAKING_MS_MAX + 2 * STEP_MS_MAX },
    async () => {
      await page.getByRole("link", { name: "Store", exact: true }).click();
      await page.getByLabel("Search").fill("web pages nginx");
      const shelf = page.getByRole("list", { name: "Templates" });
      await shelf.getByRole("link", { name: /Static site/ }).click();
      await page.getByRole("heading", { name: "Static site", level: 1 }).waitFor();
      // What cannot be is said before anything is fetched: by the page itself, and by the machine.
      await page.getByLabel("Room for pages").fill("1 MiB");
      await page.getByLabel("Room for pages").press("Tab");
      await page.getByText("A size of at least 16 MiB is expected.").waitFor();
      await page.getByLabel("Room for pages").fill("16 MiB");
      await page.getByLabel("Port on this machine").fill(`127.0.0.1:${machine.port}`);
      const taken = page.getByRole("alert").filter({ hasText: `${machine.port} is taken by` });
      await taken.first().waitFor();
      await page.getByLabel("Port on this machine").fill(`127.0.0.1:${sitePort}`);
      await page.getByText("There is room for it").waitFor();
      await page.getByRole("button", { name: "Show the plan" }).click();
      expect(await decide("Deploy", MAKING_MS_MAX)).toBe(1);
      const second = await besides(page.url());
      await page.reload();
      for (const tab of [page, second]) await stands(tab, DONE);
      const told = await steps(page);
      const of = ["make volume", "create", "start", "gate", "admit traffic to", "publish"];
      const expected = ["unpack", ...of.map((words) => `${words} ${SITE}`), "commit generation 1"];
      const isDone = (words: string) => told.some((step) => step.startsWith(`✓ done ${words}`));
      expect(expected.filter((words) => !isDone(words))).toEqual([]);
      expect(told.filter((step) => !step.startsWith("✓ done "))).toEqual([]);
      await expect.poll(() => steps(second)).toEqual(told);
      await page.getByText(`${told.length} of ${told.length} done`).waitFor();
      await second.close();
      await machine.keepImages();
    },
  );

  it("opens it as soon as it is healthy", async () => {
    const link = page.getByRole("link", { name: `Open ${SITE} in a new tab` });
    await link.waitFor();
    const [site] = await Promise.all([page.context().waitForEvent("page"), link.click()]);
    await site.getByRole("heading", { name: "It works" }).waitFor();
    expect(site.url()).toBe(`http://127.0.0.1:${sitePort}/`);
    await site.close();
  });

  it("reads and changes a file of it", async () => {
    await rewrite("It works", PAGE);
  });

  it("runs a command in a terminal", async () => {
    await page.goto(at(`/apps/${SITE}/terminal`));
    await page.getByRole("button", { name: "Connect" }).click();
    const terminal = page.getByRole("textbox", { name: `Terminal in ${SITE}` });
    await terminal.getByText("$").first().waitFor();
    await terminal.pressSequentially("echo $(wc -c < /site/index.html) bytes");
    await terminal.press("Enter");
    await terminal.getByText(`${PAGE.length} bytes`, { exact: true }).waitFor();
    await terminal.press("Control+d");
    await page.getByText("It ended with code 0.").waitFor();
  });

  it("sees within five seconds that it was broken, and why", async () => {
    await page.goto(at(`/apps/${SITE}`));
    const instances = page.getByRole("table", { name: "Instances" });
    await instances.waitFor();
    const killed = await firstProcess();
    expect(killed).toBeGreaterThan(1);
    process.kill(killed, "SIGKILL");
    await instances.getByText(/^was ended by SIGKILL after \d+ ms$/).waitFor({ timeout: NOTICED_MS_MAX });
    // It is started again by itself; then somebody stops it by a signal, and nobody but a person goes on from there.
    await expect.poll(async () => (await firstProcess()) || killed).not.toBe(killed);
    const stopped = await firstProcess();
    expect(stopped).toBeGreaterThan(1);
    process.kill(stopped, "SIGSTOP");
    try {
      await page
        .getByText("Frozen: its first process was stopped by a signal or the freezer")
        .waitFor({ timeout: NOTICED_MS_MAX });
    } finally {
      process.kill(stopped, "SIGCONT");
    }
    await page.getByRole("heading", { level: 1 }).getByText("running", { exact: true }).waitFor();
    await answersWith(PAGE);
  });

  it("starts it anew", async () => {
    await page.getByText(/everything is as it is wanted · generation 1$/).waitFor();
    const before = await firstProcess();
    await page.getByRole("button", { name: `Restart ${SITE}` }).click();
    await page.getByText(/^Restart 1 is done/).waitFor({ timeout: STEP_MS_MAX });
    expect(await firstProcess()).not.toBe(before);
    await answersWith(PAGE);
  });

  it("backs it up to a folder", { timeout: 3 * STEP_MS_MAX }, async () => {
    await page.goto(at("/node/backups"));
    await page.getByLabel("Public half").fill(await machine.ownerKey());
    await page.getByRole("button", { name: "Set the key" }).click();
    await page.getByText("Backups are readable by").waitFor();
    await page.goto(at("/deploy?whole=1"));
    const place = ["machine:", "  backups:", "    shed:", "      kind: folder"];
    const address = `      address: ${await machine.backupPlace()}`;
    // Minutes away from now, in whatever time zone: the backup is made by hand.
    const minute = (new Date().getUTCMinutes() + 22) % 60;
    const schedule = ["    backup:", "      to: shed", `      schedule: "${minute} 3 * * *"`];
    const document = withBehind(await written("Document"), `  ${SITE}:`, schedule);
    await paste(page, "Document", withBehind(document, "version:", [...place, address]));
    await page.getByRole("button", { name: "Show the plan" }).click();
    expect(await decide("Deploy")).toBe(2);
    await stands(page, DONE);
    await page.goto(at(`/apps/${SITE}/backups`));
    await page.getByRole("button", { name: "Back up now" }).click();
    await acted("Backup");
    await page.getByRole("button", { name: /^Restore the backup / }).waitFor();
  });

  it("restores it, seen in a second tab and after a reload", { timeout: 4 * STEP_MS_MAX }, async () => {
    await rewrite(PAGE, SPOILT);
    await page.goto(at(`/apps/${SITE}/backups`));
    await page.getByRole("button", { name: /^Restore the backup / }).click();
    await page.getByRole("button", { name: `Restore into ${SITE}` }).click();
    await page.getByText("The restore has begun").waitFor();
    const act = await acted("Restore");
    await act.getByRole("link", { name: "Generation 3" }).click();
    // Its new version is watched for a minute: this is in the middle, for longer than the test needs.
    await stands(page, SERVES);
    const second = await besides(page.url());
    await page.reload();
    for (const tab of [page, second]) await stands(tab, SERVES);
    const told = await steps(page);
    expect(told.length).toBeGreaterThan(3);
    await expect.poll(() => steps(second)).toEqual(told);
    await second.close();
    await answersWith(PAGE);
  });

  it("changes an option after its difference was shown", { timeout: 2 * STEP_MS_MAX }, async () => {
    expect((await answered("/nowhere")).status).toBe(404);
    await page.goto(at(`/apps/${SITE}/settings`));
    const label = `Document of ${SITE}`;
    const part = await written(label);
    const indent = /^( +)size: /m.exec(part)?.[1] ?? "";
    const option = `${indent}missing: /index.html`;
    await paste(page, label, withBehind(part, `${indent}size: `, [option]));
    const difference = page.getByRole("region", { name: "Difference to the present settings" });
    await difference.locator(".added").filter({ hasText: "missing: /index.html" }).waitFor();
    expect(await difference.locator(".removed").count()).toBe(0);
    await page.getByRole("button", { name: "Show the plan" }).click();
    expect(await decide("Apply")).toBe(4);
    await stands(page, SERVES);
    expect(await answered("/nowhere")).toEqual({ status: 200, body: PAGE });
  });

  it("rolls back, after the difference of the two", { timeout: 2 * STEP_MS_MAX }, async () => {
    await page.goto(at(`/apps/${SITE}/history`));
    await page.getByRole("table", { name: "Differences" }).waitFor();
    await page.getByRole("button", { name: "Roll back to generation 3" }).click();
    expect(await decide("Roll back")).toBe(5);
    await stands(page, SERVES);
    expect((await answered("/nowhere")).status).toBe(404);
    await answersWith(PAGE);
  });

  it("removes it with its data, and undoes that", { timeout: 3 * STEP_MS_MAX }, async () => {
    await page.goto(at(`/apps/${SITE}/remove`));
    await page.getByRole("radio", { name: /^Wipe its data/ }).check();
    await page.getByLabel("Its name, to be sure").fill(SITE);
    await page.getByRole("button", { name: "Show the plan" }).click();
    expect(await decide(`Remove ${SITE}`)).toBe(6);
    await stands(page, DONE);
    expect((await answered()).status).toBe(0);
    await page.goto(at("/apps"));
    await page.getByText(/^Nothing runs here yet/).waitFor();
    await page.goto(at("/node/history"));
    await page.getByRole("button", { name: "Roll back to generation 5" }).click();
    expect(await decide("Roll back")).toBe(7);
    await stands(page, DONE);
    await answersWith(PAGE);
  });

  it("leaves the machine as it was", { timeout: 3 * STEP_MS_MAX }, async () => {
    await close([{ page, complaints, matter: true }], false, EXPECTED);
    expect(await machine.traces()).not.toEqual([]);
    await machine.end();
    isRemoved = true;
    expect(await machine.traces()).toEqual([]);
    expect((await answered()).status).toBe(0);
  });
});
