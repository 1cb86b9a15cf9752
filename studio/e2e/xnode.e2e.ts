import type { Browser, Page } from "playwright-core";
import { verifyMessage } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Alert } from "../src/api/xnode";
import { application, FakeAgent, generation, joinedMachine, loan, machineReport } from "./agent";
import { DOCUMENT, field, furnishSmall, planned, preflight, template } from "./furnished";
import { close, giveWallet, open, paste, startBrowser, type Opened } from "./harness";

let browser: Browser;
let agent: FakeAgent;
let url = "";
let opened: Opened[] = [];

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
});
beforeEach(async () => {
  agent = new FakeAgent();
  url = await agent.start();
});
/** What a browser notes by itself where no node of a network answers: these pages ask for one, once. */
const NO_NETWORK = /status of 404/;
afterEach(async ({ task }) => {
  const all = opened;
  opened = [];
  await close(all, task.result?.state === "fail", NO_NETWORK).finally(() => agent.stop());
});

/** Opens a page. `refused`: the test provokes a refusal, which the browser itself notes in the console. */
async function visit(
  path: string,
  options: Parameters<typeof open>[1] = {},
  { refused = false } = {},
): Promise<Page> {
  const { page, complaints } = await open(browser, options);
  opened.push({ page, complaints, matter: !refused });
  await page.goto(url + path);
  return page;
}

/** The machine with a site that runs and a database in a crash loop. */
const furnish = () => furnishSmall(agent);

describe("applications", () => {
  it("are listed with state, cause and ports, by filters that stay in the address", async () => {
    furnish();
    const page = await visit("/apps");
    const table = page.getByRole("table", { name: "Applications" });
    const row = table.getByRole("row").filter({ hasText: "db" });
    await row.getByText("crash loop").waitFor();
    await row.getByText("ended with code 1 after 12 ms").waitFor();
    await table.getByText("127.0.0.1:8088/tcp").waitFor();
    await page.getByText("attic: everything is as it is wanted · generation 1").waitFor();
    await page.getByRole("combobox", { name: "State" }).selectOption("trouble");
    await expect.poll(() => table.getByRole("row").count()).toBe(2);
    expect(new URL(page.url()).search).toBe("?state=trouble");
    await page.reload();
    await expect.poll(() => table.getByRole("row").count()).toBe(2);
    await page.getByLabel("Search").fill("surely nothing");
    await page.getByText("No application matches these filters.").waitFor();
    const opens = await visit("/apps");
    const link = opens.getByRole("link", { name: "Open site in a new tab" });
    expect(await link.getAttribute("href")).toBe("http://127.0.0.1:8088/");
    const wait = opens.getByRole("button", { name: /^Open db: None of its TCP ports is published/ });
    expect(await wait.isDisabled()).toBe(true);
  });

  it("can be opened as soon as they are healthy", async () => {
    agent.applications = [application("site", { state: "starting" })];
    const page = await visit("/apps/site");
    await page.getByRole("button", { name: /^Open site: It is starting/ }).waitFor();
    agent.applications = [application("site")];
    agent.tell("done", "gate site r1/0: healthy within 60s, without traffic (812 ms)", {
      application: "site",
    });
    await page.getByRole("link", { name: "Open site in a new tab" }).waitFor();
  });

  it("say what their trouble is, and what would help", async () => {
    furnish();
    const page = await visit("/apps/db");
    const told = page.getByRole("alert").filter({ hasText: "Crash loop: ended with code 1 after 12 ms" });
    await told.getByText(/tried again each minute/).waitFor();
    await told.getByRole("link", { name: "To its log" }).click();
    await page.getByText("It has written nothing yet; new lines appear by themselves.").waitFor();
    expect(new URL(page.url()).pathname).toBe("/apps/db/logs");
  });

  it("that are not there are said not to be", async () => {
    furnish();
    const page = await visit("/apps/nothing", {}, { refused: true });
    await page.getByText(/^There is no application nothing here/).waitFor();
  });
});

describe("an agent", () => {
  it("that is not there is said, and found when it comes", async () => {
    agent.isAway = true;
    const page = await visit("/apps", {}, { refused: true });
    await page.getByRole("heading", { name: "No Xnode here" }).waitFor();
    agent.isAway = false;
    await page.getByRole("heading", { name: "Apps", level: 1 }).waitFor({ timeout: 30_000 });
  });

  it("that goes away leaves what it said, called old, and comes back by itself", async () => {
    furnish();
    const page = await visit("/apps", {}, { refused: true });
    await page.getByRole("table", { name: "Applications" }).getByText("crash loop").waitFor();
    agent.isAway = true;
    agent.cut();
    await page.getByText("The agent does not answer").waitFor({ timeout: 45_000 });
    await page.getByText(/^What is shown is from \d\d:\d\d:\d\d/).waitFor();
    await page.getByText(/^Not up to date: last heard/).waitFor({ timeout: 45_000 });
    await page.getByRole("table", { name: "Applications" }).getByText("crash loop").waitFor();
    agent.isAway = false;
    await page.getByText("The agent does not answer").waitFor({ state: "detached", timeout: 45_000 });
    await page.getByText("Connected", { exact: true }).waitFor();
  });

  it("alone has no network: the front page is that of its applications", async () => {
    furnish();
    const page = await visit("/", {}, { refused: true });
    await page.getByRole("heading", { name: "Apps", level: 1 }).waitFor();
    expect(new URL(page.url()).pathname).toBe("/apps");
  });
});

describe("a document", () => {
  it("has its problems by line, in the text that was written", async () => {
    furnish();
    agent.plan = () => ({
      status: 422,
      code: "document",
      message: "10:5: applications.cache.imaeg: is not known (did you mean `image`?)",
    });
    const page = await visit("/deploy", {}, { refused: true });
    await paste(page, "Document", "applications:\n  cache:\n    imaeg: redis\n");
    await page.getByRole("button", { name: "Show the plan" }).click();
    const told = page.getByRole("alert");
    // The agent got the whole document; the person wrote three lines of it.
    await told.getByText(/Line \d: /).waitFor();
    expect(await told.textContent()).toContain("applications.cache.imaeg");
    await page.getByRole("radio", { name: "This is the whole document" }).check();
    await page.getByText("Not in it, and therefore removed: db, site").waitFor();
  });

  it("may be a compose file: what is not done as Docker does it is listed by line and asked about", async () => {
    const findings = [
      {
        line: 4,
        column: 5,
        path: "services.web.tty",
        key: "tty",
        kind: "ignored",
        why: "a terminal opens on demand",
      },
      {
        line: 5,
        column: 5,
        path: "services.web.build",
        key: "build",
        kind: "unsupported",
        why: "an image is needed",
      },
    ];
    let asked: unknown = null;
    agent.also.set("POST /import", ({ body }) => {
      const wish = JSON.parse(body) as { without: string[] };
      asked = wish;
      const isComplete = wish.without.includes("services.web.build");
      return {
        json: {
          document: "version: 1\napplications:\n  web:\n    image: nginx\n",
          is_complete: isComplete,
          secrets: ["db-password"],
          findings: findings.map((each) => ({
            ...each,
            is_left: each.kind === "unsupported" && !isComplete,
          })),
        },
      };
    });
    let sent = "";
    agent.plan = (text) => {
      sent = text;
      return planned({ destroys: [] });
    };
    const page = await visit("/deploy");
    await paste(page, "Document", "services:\n  web:\n    image: $IMAGE\n    tty: true\n    build: .\n");
    const show = page.getByRole("button", { name: "Show the plan" });
    expect(await show.isDisabled()).toBe(true);
    await page.getByLabel("Variables, as an .env file has them").fill("IMAGE=nginx");
    await page.getByRole("button", { name: "Read it", exact: true }).click();
    await page
      .getByRole("table", { name: "What is not done as Docker does it" })
      .getByText("an image is needed")
      .waitFor();
    await page.getByText("It needs secrets that are not here: db-password").waitFor();
    await page.getByRole("checkbox", { name: "Do without build of line 5" }).check();
    await page.getByRole("button", { name: "Read it", exact: true }).click();
    await page.getByText("It is read: its plan can be shown.").waitFor();
    expect(asked).toMatchObject({ variables: { IMAGE: "nginx" }, without: ["services.web.build"] });
    await show.click();
    await page.getByRole("button", { name: "Deploy" }).waitFor();
    expect(sent).toBe("version: 1\napplications:\n  web:\n    image: nginx\n");
  });

  it("is deployed after its plan, and followed to its end in every tab", async () => {
    furnish();
    let sent = "";
    agent.plan = (text) => {
      sent = text;
      return planned();
    };
    const page = await visit("/deploy");
    await paste(page, "Document", "applications:\n  cache:\n    image: redis\n");
    await page.getByRole("button", { name: "Show the plan" }).click();
    const plan = page.getByRole("region", { name: "Plan", exact: true });
    await plan.getByRole("table", { name: "Steps of the plan" }).getByText("another version").waitFor();
    await plan.getByText("This will be lost").waitFor();
    const deploy = plan.getByRole("button", { name: "Deploy" });
    expect(await deploy.isDisabled()).toBe(true);
    await plan.getByRole("checkbox", { name: "What is listed above may be lost" }).check();
    await plan.getByLabel("Reason, for the history").fill("a cache");
    await deploy.click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    // Added to what was there, and nothing of that was touched.
    expect(sent).toBe(`${DOCUMENT}  cache:\n    image: redis\n`);
    expect(agent.taken[0]?.query.get("reason")).toBe("a cache");
    const fetching = "fetch nginx:2 (1a2b3c4d, 12 MiB)";
    agent.info.work = {
      ...agent.info.work,
      state: "works",
      step: fetching,
      bytes: [3 * 2 ** 20, 12 * 2 ** 20],
    };
    await page.getByText("3 MiB of 12 MiB").waitFor();
    const second = await visit(new URL(page.url()).pathname);
    await second.getByText("3 MiB of 12 MiB").waitFor();
    agent.info.work = { ...agent.info.work, state: "rests", step: null, bytes: null };
    agent.tell("done", `${fetching} (1203 ms)`);
    agent.tell("failed", "hold requests to site for at most 30s: the door does not answer", {
      application: "site",
    });
    await page.getByText("the door does not answer").waitFor();
    await page.reload();
    await page.getByText("1 of 3 done").waitFor();
    await page.getByText("✕ tried again").waitFor();
    agent.tell("done", "hold requests to site for at most 30s (7 ms)", { application: "site" });
    agent.tell("rest", "the machine is as generation 2 says");
    for (const each of [page, second])
      await each.getByText("Done: the machine is as this generation says").waitFor();
    await page.getByText("3 of 3 done").waitFor();
  });

  it("in JSON is added to what is here as the agent would print it, with problems at its own lines", async () => {
    furnish();
    let sent = "";
    agent.plan = (text) => {
      sent = text;
      return { status: 422, code: "document", message: "11:5: applications.cache.imaeg: is not known" };
    };
    const page = await visit("/deploy", {}, { refused: true });
    await paste(page, "Document", '{\n "applications": {\n  "cache": {\n   "imaeg": "redis" } }\n}\n');
    await page.getByRole("button", { name: "Show the plan" }).click();
    await page.getByRole("alert").getByText("Line 4: ").waitFor();
    expect(sent).toBe(`${DOCUMENT}  cache:\n    imaeg: redis\n`);
    await paste(page, "Document", "{a: &x 1}");
    await page.getByText(/^Line 1 has an anchor/).waitFor();
    expect(await page.getByRole("button", { name: "Show the plan" }).isDisabled()).toBe(true);
  });

  it("that somebody else has changed meanwhile is not taken", async () => {
    furnish();
    agent.plan = () => planned({ destroys: [] });
    const page = await visit("/apps/site/settings", {}, { refused: true });
    await page.getByRole("textbox", { name: "Document of site" }).waitFor();
    await paste(page, "Document of site", "site:\n  image: nginx:2\n");
    await page
      .getByRole("region", { name: "Difference to the present settings" })
      .getByText("nginx:2")
      .waitFor();
    await page.getByRole("button", { name: "Show the plan" }).click();
    const apply = page.getByRole("button", { name: "Apply" });
    await apply.waitFor();
    agent.info = { ...agent.info, wanted: 7 };
    agent.documents.set(7, DOCUMENT);
    await apply.click();
    await page.getByText(/generation 1 was expected and 7 is wanted by now/).waitFor();
    expect(agent.taken).toEqual([]);
  });
});

describe("a log", () => {
  it("is followed, goes on after the agent's restart, and shows no line twice", async () => {
    furnish();
    for (let at = 1; at <= 3; at += 1) agent.write("site", `line ${at}`);
    const page = await visit("/apps/site/logs", {}, { refused: true });
    const log = page.getByRole("log");
    await log.getByText("line 3").waitFor();
    agent.isAway = true;
    agent.cut();
    await page.getByText("The log is interrupted").waitFor();
    agent.write("site", "line 4");
    agent.isAway = false;
    await log.getByText("line 4").waitFor({ timeout: 45_000 });
    agent.write("site", "\x1b[31mline 5\x1b[0m", "stderr");
    await log.getByText("line 5").waitFor();
    const texts = await log.locator("div > span:last-child").allTextContents();
    expect(texts).toEqual(["line 1", "line 2", "line 3", "line 4", "line 5"]);
    await page.getByLabel("Find").fill("LINE");
    await page.getByText("5 found").waitFor();
    expect(new URL(page.url()).searchParams.get("find")).toBe("LINE");
  });
});

describe("history", () => {
  it("compares generations, and rolls back after a plan", async () => {
    furnish();
    agent.info = { ...agent.info, current: 2, wanted: 2 };
    agent.documents.set(2, DOCUMENT);
    agent.generations = [
      generation(2, ["site"], { serves: true, is_wanted: true }),
      generation(1, ["site"], { failed: "web ended", returned_by: 2 }),
    ];
    agent.differences.set("1 2", [
      "~ portable.applications.site.image: 1 -> 2",
      "- portable.applications.db.image: 3",
    ]);
    agent.plan = () => planned({ generation: 3, destroys: [] });
    const page = await visit("/apps/site/history");
    const changes = page.getByRole("table", { name: "Differences" });
    await changes.getByText("portable.applications.site.image").waitFor();
    expect(await changes.getByText("portable.applications.db.image").count()).toBe(0);
    await page.getByRole("checkbox", { name: "Other applications too" }).check();
    await changes.getByText("portable.applications.db.image").waitFor();
    await page.getByText(/failed: web ended; generation 2 brought back/).waitFor();
    await page.getByRole("button", { name: "Roll back to generation 1" }).click();
    await page.getByRole("button", { name: "Roll back", exact: true }).click();
    await page.getByRole("heading", { name: /^Generation 3\b/ }).waitFor();
    expect(agent.taken[0]?.path).toBe("/v1/xnode/generations/1/restore");
  });
});

describe("removal", () => {
  it("asks what becomes of the data", async () => {
    furnish();
    agent.plan = () => planned({ destroys: ["all data of db/data"] });
    const page = await visit("/apps/db/remove");
    // Deploying it again brings back what is kept, and not what is wiped: a wrong word here would cost somebody their data.
    await page.getByRole("radio", { name: /^Keep its data.*deploying it again .* finds them/ }).waitFor();
    await page
      .getByRole("radio", { name: /^Make a last backup.* a backup made after it is whole/ })
      .waitFor();
    await page.getByRole("radio", { name: /^Wipe its data.*deploying it again begins with empty/ }).check();
    const show = page.getByRole("button", { name: "Show the plan" });
    expect(await show.isDisabled()).toBe(true);
    await page.getByLabel("Its name, to be sure").fill("db");
    await show.click();
    await page.getByText("all data of db/data").first().waitFor();
    await page.getByRole("checkbox", { name: "What is listed above may be lost" }).check();
    await page.getByRole("button", { name: "Remove db" }).click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    expect([agent.taken[0]?.method, agent.taken[0]?.query.get("data")]).toEqual(["DELETE", "wipe"]);
  });
});

describe("the node", () => {
  it("says what the kernel lacks, with remedies", async () => {
    agent.info = { ...agent.info, lacks: ["loop devices: load the module loop"] };
    const page = await visit("/node");
    const lacks = page.getByRole("table", { name: "Features that are missing" });
    await lacks.getByText("load the module loop").waitFor();
  });

  it("shows its events, by filters", async () => {
    agent.tell("secret", "version 1 of the secret `token` was set");
    agent.tell("failed", "start site r1/0: no memory", { application: "site" });
    const page = await visit("/node/events?kind=failed");
    const events = page.getByRole("table", { name: "Events" });
    await events.getByText("start site r1/0: no memory").waitFor();
    expect(await events.getByRole("row").count()).toBe(2);
    agent.tell("failed", "start site r1/0: no disk", { application: "site" });
    await events.getByText("no disk").waitFor();
  });

  it("leads a domain to an application, and says who may come in", async () => {
    furnish();
    const texts: string[] = [];
    agent.plan = (text) => {
      texts.push(text);
      return planned({ destroys: [] });
    };
    const page = await visit("/apps/site/domains");
    const form = page.getByRole("form", { name: "Lead a domain here" });
    await form.getByLabel("Domain", { exact: true }).fill("Shop.example.org");
    await form.getByLabel("Who may come in").selectOption("wallets");
    await form.getByLabel("Wallets, one a line").fill(`0x${"ab".repeat(20)}`);
    await form.getByRole("button", { name: "Show the plan" }).click();
    await page.getByRole("button", { name: "Apply", exact: true }).click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    expect(texts[0]).toContain(
      '    domains:\n      "shop.example.org":\n        port: http\n        audience: wallets\n        wallets:\n',
    );
  });

  it("shows files of an application, and saves what was changed", async () => {
    furnish();
    const entry = (name: string, kind: string, bytes: number) => ({
      name,
      kind,
      bytes,
      mode: 0o644,
      user: 0,
      group: 0,
      modified: "2026-11-29T10:00:00Z",
      target: null,
      tag: kind === "file" ? `tag-${bytes}` : null,
    });
    let content = "workers = 1\n";
    const path = "/applications/db/files";
    agent.also.set(`GET ${path}`, () => ({
      json: {
        volumes: [{ name: "data", line: 1, cause: null, bytes: 2 ** 30, bytes_free: 2 ** 29 }],
        root: "r1/0",
        is_switching: false,
      },
    }));
    agent.also.set(`GET ${path}/volumes/data`, () => ({
      json: { entries: [entry("base", "folder", 0), entry("db.conf", "file", content.length)], more: false },
    }));
    agent.also.set(`GET ${path}/volumes/data/content`, () => (response) => {
      response.writeHead(200, {
        "content-type": "application/octet-stream",
        etag: `"tag-${content.length}"`,
      });
      response.end(content);
    });
    agent.also.set(`PUT ${path}/volumes/data/content`, ({ body }) => {
      content = body;
      return { json: entry("db.conf", "file", body.length) };
    });
    const page = await visit("/apps/db/files");
    await page.getByText("512 MiB of 1 GiB are free, line 1").waitFor();
    await page.getByRole("link", { name: "db.conf" }).click();
    await page.getByLabel("Content", { exact: true }).fill("workers = 16\n");
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("13 B", { exact: true }).waitFor();
    expect(content).toBe("workers = 16\n");
    await page.goBack();
    await page.getByRole("link", { name: "base/" }).waitFor();
    await page.getByLabel("Place").selectOption({ label: "Root of r1/0" });
    await page.getByText(/^Nothing can be changed here: the root is made anew/).waitFor();
  });

  it("says alerts on every page until somebody knows of them", async () => {
    furnish();
    const alert: Alert = {
      id: 7,
      kind: "down",
      application: "db",
      subject: null,
      severity: "critical",
      cause: "its instance ends again and again",
      remedy: "look at its log",
      begin: "2026-11-29T10:00:00Z",
      opened: "2026-11-29T10:01:00Z",
      closed: null,
      acknowledged: null,
    };
    agent.alerts.open = [alert];
    agent.also.set("POST /alerts/7/acknowledge", () => {
      alert.acknowledged = { by: "root", at: "2026-11-29T10:02:00Z" };
      return { json: alert };
    });
    const page = await visit("/apps");
    await page.getByRole("link", { name: "1 alert" }).click();
    const row = page.getByRole("row").filter({ hasText: "ends again and again" });
    await row.getByRole("button", { name: "I know of it: down, db" }).click();
    await row.getByText("root", { exact: true }).waitFor();
    await expect.poll(() => page.getByRole("link", { name: "1 alert" }).count()).toBe(0);
  });

  it("empties the machine with a reason, and takes deployments again", async () => {
    agent.also.set("PUT /drain", ({ query }) => {
      agent.info.drained = {
        by: "root",
        reason: query.get("reason") ?? "",
        at: "2026-11-29T10:00:00Z",
        applications: [],
      };
      return { json: { drained: agent.info.drained, deployment: null } };
    });
    agent.also.set("DELETE /drain", () => {
      delete agent.info.drained;
      return { json: { drained: null, deployment: null } };
    });
    const page = await visit("/node");
    await page.getByLabel(/^Reason, which/).fill("another disk");
    await page.getByRole("button", { name: "Empty this machine", exact: true }).click();
    await page.getByRole("button", { name: "Yes: Empty this machine" }).click();
    await page.getByText("It is emptied, and takes no deployment: another disk").waitFor();
    await page.getByRole("button", { name: "Take deployments again" }).click();
    await page.getByRole("button", { name: "Empty this machine", exact: true }).waitFor();
  });

  it("lends room to a key, changes it, ends it, and lets it go", async () => {
    const page = await visit("/node/lending");
    await page.getByText("nothing is lent, so that it does not run").waitFor();
    const form = page.getByRole("form", { name: "Lend room" });
    await form.getByLabel("Name", { exact: true }).fill("ann");
    await form.getByLabel("The guest's keys").fill("cd".repeat(32));
    await form.getByLabel("Room", { exact: true }).fill("200");
    await form.getByText("The unit is missing: 200MiB, for example.").waitFor();
    await form.getByLabel("Room", { exact: true }).fill("200GiB");
    await form.getByLabel("Until").fill("2031-06-30");
    await form.getByRole("button", { name: "Lend", exact: true }).click();
    await form.getByText("Room is lent as ann").waitFor();
    await page.getByText("it runs, shut into its folders and its port by the kernel").waitFor();
    const table = page.getByRole("table", { name: "Loans" });
    await table.getByText(/^0 B of 200 GiB; 0 objects/).waitFor();
    expect(agent.lending.loans[0]).toMatchObject({
      keys: ["cd".repeat(32)],
      room_bytes: 200 * 2 ** 30,
      until: String(Date.UTC(2031, 5, 30) / 1_000),
    });
    // Changed, nothing else of it changes.
    await page.getByRole("button", { name: "Change: ann" }).click();
    const change = page.getByRole("form", { name: "Change the loan ann" });
    await expect.poll(() => page.evaluate(() => document.activeElement?.tagName)).toBe("TEXTAREA");
    await change.getByLabel("The owner's reading keys").fill("09".repeat(32));
    await change.getByRole("button", { name: "Change it" }).click();
    await table.getByText("read by").waitFor();
    expect(agent.lending.loans[0]).toMatchObject({
      readers: ["09".repeat(32)],
      room_bytes: 200 * 2 ** 30,
      until: String(Date.UTC(2031, 5, 30) / 1_000),
    });
    await page.getByRole("button", { name: "Bring back what the guest of ann removed", exact: true }).click();
    await page.getByRole("button", { name: "Yes: Bring back what the guest of ann removed" }).click();
    await table.getByText("what was removed comes back").waitFor();
    await page.getByRole("button", { name: "End the loan ann", exact: true }).click();
    await page.getByRole("button", { name: "Yes: End the loan ann" }).click();
    await table.getByText("ended", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Forget the loan ann", exact: true }).click();
    await page.getByText("All backups of its guest are lost for good.").waitFor();
    await page.getByRole("button", { name: "Yes: Forget the loan ann" }).click();
    await page.getByText(/^Nothing is lent\. Room is lent to a key/).waitFor();
  });

  it("says which loans are nearly full and what ails the lender, by filters in the address", async () => {
    agent.lending = {
      ...agent.lending,
      listens: ["[::]:7790"],
      shut: false,
      loans: [
        loan("ann", { used_bytes: 900 * 2 ** 20, held_bytes: 100 * 2 ** 20 }),
        loan("bob", { standing: "over", trouble: "its disk failed", until: "2026-11-01T00:00:00Z" }),
      ],
    };
    const page = await visit("/node/lending?standing=over");
    const table = page.getByRole("table", { name: "Loans" });
    await table.getByText("its disk failed").waitFor();
    expect(await table.getByRole("row").count()).toBe(2);
    await page.getByText(/the kernel does not shut it in/).waitFor();
    await page.getByRole("combobox", { name: "Standing" }).selectOption("");
    await table.getByRole("img", { name: "Room of ann that is used: 98 %" }).waitFor();
    expect(new URL(page.url()).search).toBe("");
    await page.getByLabel("Search").fill("surely nothing");
    await page.getByText("No loan fits these filters.").waitFor();
  });

  it("says what applications cost, and what a change comes to before it is made", async () => {
    furnish();
    const { plan } = planned();
    const line = "cost: 16.06 EUR a month instead of 10.22 (site 16.06 instead of 10.22)";
    agent.costs = {
      prices: { currency: "EUR", processor: "0.01", memory: "0.004", disk: "0", gpu: "0" },
      applications: [
        {
          name: "site",
          runs: true,
          hour: "0.014",
          month: "10.22",
          processors: "7.3",
          memory: "2.92",
          disk: "0",
          gpus: "0",
        },
      ],
      hour: "0.014",
      month: "10.22",
    };
    const page = await visit("/apps");
    await page.getByRole("columnheader", { name: "EUR a month" }).waitFor();
    await page.getByText("All of them cost 10.22 EUR a month, 0.0140 an hour").waitFor();
    await page.getByRole("link", { name: "site", exact: true }).click();
    await page.getByText("processors 7.30, memory 2.92").waitFor();
    agent.plan = () => planned({ plan: plan.replace("\n", `\n${line}\n`), destroys: [] });
    await page.goto(`${url}/deploy`);
    await paste(page, "Document", "applications:\n  cache:\n    image: redis\n");
    await page.getByRole("button", { name: "Show the plan" }).click();
    await page.getByText(/^It costs 16\.06 EUR a month instead of 10\.22/).waitFor();
  });

  it("invites a machine by one line, shows it arriving, and removes it", async () => {
    const page = await visit("/node/machines");
    const form = page.getByRole("form", { name: "Invite a machine" });
    const at = form.getByLabel("Address of this Xnode, as the other machine reaches it");
    await at.fill("http://10.0.0.5");
    await form.getByText("The line is a secret, and goes over TLS alone: write https.").waitFor();
    await at.fill("https://xnode.lan");
    await form.getByLabel("Good for").selectOption({ label: "15 minutes" });
    await form.getByRole("button", { name: "Make the line" }).click();
    await page.getByText(/^echo openmesh-invitation-1\..* \| sudo openmesh xnode join$/).waitFor();
    expect(agent.invitations[0]).toMatchObject({ left_ms: 900_000, state: "open" });
    // The line is in no store of the browser, and in no address.
    const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));
    expect(stored + page.url()).not.toContain("openmesh-invitation");
    const quiet = { heard: null, from: null, clock_ms: null, report: null };
    agent.machines = [joinedMachine("shed", { state: "arrives", ...quiet })];
    const table = page.getByRole("table", { name: "Machines" });
    await table.getByText("arrives").waitFor();
    const troubled = [{ name: "db", state: "crash_loop" }];
    agent.machines = [joinedMachine("shed", { report: machineReport("shed", { troubled, critical: 1 }) })];
    await table.getByText("1 critical").waitFor();
    await table.getByText("crash loop").waitFor();
    await page.getByRole("button", { name: "Take the invitation i1 back", exact: true }).click();
    await page.getByRole("button", { name: "Yes: Take the invitation i1 back" }).click();
    await page.getByRole("table", { name: "Invitations" }).getByText("taken back").waitFor();
    await page.getByRole("button", { name: "Remove shed from the list", exact: true }).click();
    await page.getByText(/^Its reports are refused/).waitFor();
    await page.getByRole("button", { name: "Yes: Remove shed from the list" }).click();
    await expect.poll(() => table.getByText("shed").count()).toBe(0);
  });

  it("says which Xnode this machine has joined, and leaves it", async () => {
    agent.join = {
      ...agent.join,
      state: "joined",
      at: "https://hall.lan",
      node: "hall",
      trouble: "it is away",
    };
    const page = await visit("/node/machines");
    await page.getByText("This machine has joined hall").waitFor();
    await page.getByText("https://hall.lan; it is away").waitFor();
    await page.getByRole("button", { name: "Leave hall", exact: true }).click();
    await page.getByRole("button", { name: "Yes: Leave hall" }).click();
    await expect.poll(() => page.getByText("This machine has joined hall").count()).toBe(0);
  });

  it("tells the keys that whoever lends room has to know", async () => {
    agent.backups.keys = { owner: null, node: "age1node", guest: "12".repeat(32), reading: null };
    const page = await visit("/node/backups");
    await page.getByText("12".repeat(32)).waitFor();
    await page.getByText("openmesh xnode backup-key reading --identity ~/owner.key").waitFor();
    let asked = "";
    agent.also.set("PUT /backups/key", ({ query, body }) => {
      asked = `${body} ${query.get("reading")} ${query.get("replace")}`;
      agent.backups.keys = { ...agent.backups.keys, owner: body, reading: query.get("reading") };
      return { json: agent.backups.keys };
    });
    const form = page.getByRole("form", { name: "The owner's key" });
    const owner = `age1${"q".repeat(58)}`;
    await form.getByLabel("Public half").fill(owner);
    await form.getByLabel(/^Reading key/).fill("34".repeat(32));
    await form.getByRole("button", { name: "Set the key" }).click();
    await page.getByText("34".repeat(32)).waitFor();
    expect(asked).toBe(`${owner} ${"34".repeat(32)} null`);
  });

  it("keeps secrets by name, and no page has a value", async () => {
    const page = await visit("/node/secrets");
    await page.getByLabel("Name", { exact: true }).fill("token");
    await page.getByLabel("Value").fill("correct horse");
    await page.getByRole("button", { name: "Set", exact: true }).click();
    await page.getByText("Version 1 of token is kept").waitFor();
    const everything = await page.evaluate(() =>
      JSON.stringify([document.body.innerHTML, { ...localStorage }, { ...sessionStorage }]),
    );
    expect(everything).not.toContain("correct horse");
    await page.getByRole("button", { name: "Remove the secret token" }).click();
    await page.getByRole("button", { name: "Yes: Remove the secret token" }).click();
    await page.getByText(/^No secret is kept/).waitFor();
  });

  it("offers nobody what their role does not allow", async () => {
    furnish();
    agent.me = { who: `0x${"12".repeat(20)}`, role: "viewer", from: "here", id: "a1" };
    const page = await visit("/apps/site");
    const stop = page.getByRole("button", { name: "Stop site" });
    await expect
      .poll(() => stop.getAttribute("title"))
      .toBe("This needs the role operator, and viewer is yours");
    expect(await stop.isDisabled()).toBe(true);
  });

  it("lets in a wallet that signs its message, and keeps the session in the tab alone", async () => {
    furnish();
    const account = privateKeyToAccount(generatePrivateKey());
    agent.token = "omc_session";
    agent.me = { who: account.address, role: "owner", from: "here", id: "a1" };
    agent.also.set("GET /access/nonce", () => ({
      json: {
        nonce: "0123456789abcdef",
        lasts_ms: 300_000,
        at: new Date().toISOString(),
        domain: new URL(url).host,
        statement: "Sign in to this Xnode.",
        chain_id: 31_337,
        owned: false,
      },
    }));
    let code: unknown = null;
    const verified: Promise<boolean>[] = [];
    agent.also.set("POST /access/sign-in", ({ body }) => {
      const signed = JSON.parse(body) as { message: string; signature: `0x${string}`; code?: string };
      code = signed.code;
      verified.push(verifyMessage({ ...signed, address: account.address }));
      return {
        json: {
          token: "omc_session",
          id: "a1",
          wallet: account.address,
          role: "owner",
          lasts_ms: 1,
          idle_ms: 1,
        },
      };
    });
    agent.also.set("DELETE /access/session", () => ({ json: { sessions: 1 } }));
    const page = await visit("/apps", {}, { refused: true });
    await giveWallet(page, account);
    await page.reload();
    const wallet = page.getByRole("button", { name: "Test Wallet" });
    await wallet.waitFor();
    expect(await wallet.isDisabled()).toBe(true);
    await page.getByLabel("Code").fill("omc_code");
    await wallet.click();
    await page.getByRole("table", { name: "Applications" }).getByText("crash loop").waitFor();
    await page.getByLabel(`Signed in as ${account.address}, owner`).waitFor();
    expect(await Promise.all(verified)).toEqual([true]);
    expect(code).toBe("omc_code");
    await page.reload();
    await page.getByLabel(`Signed in as ${account.address}, owner`).waitFor();
    await page.getByRole("button", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Sign in to this Xnode" }).waitFor();
    const left = await page.evaluate(() => JSON.stringify([{ ...sessionStorage }, { ...localStorage }]));
    expect(left).not.toContain("omc_session");
    expect(left).not.toContain("openmesh-xnode-session");
  });

  it("leads a visitor of an application back to it, by a wallet that may open it", async () => {
    const account = privateKeyToAccount(generatePrivateKey());
    agent.token = "omc_session";
    const host = `notes.${"long-name-of-a-host.".repeat(4)}lan`;
    const statement = `Open notes at ${host} through this Xnode.`;
    agent.also.set("GET /access/visit", () => ({ json: { application: "notes", host, statement } }));
    agent.also.set("GET /access/nonce", () => ({
      json: {
        nonce: "0123456789abcdef",
        lasts_ms: 300_000,
        at: new Date().toISOString(),
        domain: new URL(url).host,
        statement: "Sign in to this Xnode.",
        chain_id: 1,
        owned: true,
      },
    }));
    const ways: unknown[] = [];
    agent.also.set("POST /access/visit", ({ body }) => {
      const { way, message } = JSON.parse(body) as { way: unknown; message: string };
      expect(message).toContain(`\n\n${statement}\n\n`);
      ways.push(way);
      return ways.length === 1
        ? { status: 403, json: { code: "audience", message: `${account.address} may not open notes` } }
        : { json: { location: `${url}/mesh.svg?entered`, wallet: account.address } };
    });
    const narrow = { viewport: { width: 380, height: 800 } };
    const page = await visit(`/visit?host=${host}&tls=1&visit=07&to=2f61`, narrow, { refused: true });
    await giveWallet(page, account);
    await page.reload();
    await page.getByRole("heading", { name: "Open notes" }).waitFor();
    await page.getByRole("button", { name: "Test Wallet" }).click();
    await page.getByText("This wallet may not open it").waitFor();
    await page.getByText(`${account.address} may not open notes`).waitFor();
    const surplus = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(surplus).toBeLessThanOrEqual(0);
    await page.getByRole("button", { name: "Test Wallet" }).click();
    await page.waitForURL(`${url}/mesh.svg?entered`);
    expect(ways.at(-1)).toEqual({ host, tls: 1, visit: "07", to: "2f61" });
  });
});

describe("the store", () => {
  it("is searched by words and categories, and its forms say what is wrong while one types", async () => {
    agent.applications = [application("redis")];
    agent.templates = [
      template("nginx", "Static site", "web"),
      template("redis", "Redis", "database", [
        field("memory", "size", { default: "64 MiB", least: "16 MiB" }),
        field("password", "secret", { generated: 32 }),
        field("port", "port", { default: "none" }),
      ]),
    ];
    agent.also.set("POST /templates/redis/preflight", ({ body }) => {
      const { answers } = JSON.parse(body) as { answers: Record<string, string> };
      const problems =
        answers["port"] === "6379"
          ? [{ option: "port", message: "6379 is taken by sshd; `auto` takes a free one" }]
          : [];
      return { json: preflight({ problems }) };
    });
    let sent = "";
    agent.plan = (text) => {
      sent = text;
      return planned({ destroys: [] });
    };
    const page = await visit("/store");
    const shelf = page.getByRole("list", { name: "Templates" });
    await expect.poll(() => shelf.getByRole("link").count()).toBe(2);
    await page.getByLabel("Category").selectOption("database");
    await expect.poll(() => shelf.getByRole("link").count()).toBe(1);
    expect(new URL(page.url()).search).toBe("?category=database");
    await shelf.getByRole("link").click();
    await page.getByRole("heading", { name: "Redis", level: 1 }).waitFor();
    // The template's own name is taken, so another one is offered.
    expect(await page.getByLabel("Name", { exact: true }).inputValue()).toBe("redis-2");
    await page.getByText("There is room for it").waitFor();
    const memory = page.getByLabel("Memory", { exact: true });
    await memory.fill("8 MiB");
    await memory.press("Tab");
    await page.getByText("A size of at least 16 MiB is expected.").waitFor();
    await memory.fill("32 MiB");
    await page.getByLabel("Port", { exact: true }).fill("6379");
    await page.getByRole("alert").filter({ hasText: "6379 is taken by sshd" }).first().waitFor();
    const show = page.getByRole("button", { name: "Show the plan" });
    expect(await show.isDisabled()).toBe(true);
    await page.getByLabel("Port", { exact: true }).fill("auto");
    await page.getByText("There is room for it").waitFor();
    await show.click();
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    expect(JSON.parse(sent)).toEqual({
      name: "redis-2",
      version: "1.0",
      answers: { memory: "32 MiB", port: "auto" },
    });
    expect(agent.taken[0]?.path).toBe("/v1/xnode/templates/redis/deploy");
  });

  it("shows whose a template is and how old the copy, and what it keeps is backed up where there is a place", async () => {
    const theirs = template("redis", "Redis of somebody else", "database");
    theirs.summary = { ...theirs.summary, catalogue: "acme", publisher: "Acme Ltd.", mark: "none" };
    theirs.backup = { schedule: "1 3 * * *", drill: null, keeps: "the last 3" };
    agent.templates = [template("redis", "Redis", "database"), theirs];
    agent.catalogues = [
      {
        name: "acme",
        address: "https://templates.example/",
        key: "ab".repeat(32),
        state: "old",
        publisher: "Acme Ltd.",
        sequence: 4,
        signed: "1700000000",
        expires: "1900000000",
        checked: "1700000000",
        templates: ["redis"],
        problems: [],
        failure: { code: "catalogue_away", message: "catalogue.index cannot be had", at: "1700000000" },
      },
    ];
    let asked = 0;
    agent.also.set("POST /catalogues/acme/refresh", () => {
      asked += 1;
      const [one] = agent.catalogues;
      if (one) agent.catalogues = [{ ...one, state: "current", failure: null }];
      return { json: agent.catalogues[0] };
    });
    let places: string[] = [];
    agent.also.set("POST /templates/redis/preflight", ({ body }) => {
      const { backup } = JSON.parse(body) as { backup?: { on: boolean; to?: string } };
      const to = backup?.on === false ? null : (backup?.to ?? places[0] ?? null);
      const lacks = places.length === 0 ? "this machine has no place for backups" : null;
      return { json: preflight({ backups: { to, places, lacks } }) };
    });
    let sent = "";
    agent.plan = (text) => {
      sent = text;
      return planned({ destroys: [] });
    };
    const page = await visit("/store");
    const panel = page.getByRole("list", { name: "Catalogues of other publishers" });
    await panel.getByText("catalogue.index cannot be had").waitFor();
    await panel.getByRole("button", { name: "Fetch acme now" }).click();
    await panel.getByText("current", { exact: true }).waitFor();
    expect(asked).toBe(1);
    await page.getByRole("list", { name: "Templates" }).getByText("by Acme Ltd.").click();
    await page.getByRole("heading", { name: "Redis of somebody else", level: 1 }).waitFor();
    expect(new URL(page.url()).search).toBe("?catalogue=acme");
    // Without a place the switch is off, and says so.
    await page.getByText("This machine has no place for backups.").waitFor();
    const backups = page.getByLabel("Backups", { exact: true });
    expect(await backups.isDisabled()).toBe(true);
    places = ["disk", "far"];
    await page.reload();
    await page.getByText("To disk, at 1 3 * * * (UTC). Kept are the last 3.").waitFor();
    expect(await backups.isChecked()).toBe(true);
    await page.getByLabel("Place of backups").selectOption("far");
    await page.getByText("To far, at").waitFor();
    await page.getByText("There is room for it").waitFor();
    await page.getByRole("button", { name: "Show the plan" }).click();
    await page.getByRole("button", { name: "Deploy" }).waitFor();
    expect(JSON.parse(sent)).toEqual({
      name: "redis",
      catalogue: "acme",
      version: "1.0",
      answers: {},
      backup: { on: true, to: "far" },
    });
  });
});

describe("within an application", () => {
  it("a terminal takes keys, and shows what the program writes", async () => {
    furnish();
    const page = await visit("/apps/site/terminal");
    const heard: (string | Buffer)[] = [];
    await page.routeWebSocket("**/applications/site/terminal", (socket) => {
      const write = (text: string) => socket.send(Buffer.concat([Buffer.from([1]), Buffer.from(text)]));
      socket.onMessage((message) => {
        heard.push(message);
        if (heard.length === 1) {
          socket.send(JSON.stringify({ started: { instance: "r1/0" } }));
          write("$ ");
        } else if (message.toString() === "\r") write("\r\nbye\r\n");
        else if (message.toString() === "\x04") socket.send(JSON.stringify({ ended: { code: 0 } }));
        else write(message.toString());
      });
    });
    await page.reload();
    await page.getByRole("button", { name: "Connect" }).click();
    const terminal = page.getByRole("textbox", { name: "Terminal in site" });
    await terminal.getByText("$").waitFor();
    // The screen has as many lines as are seen: none is out of sight above.
    expect(await terminal.evaluate((element) => element.scrollHeight - element.clientHeight)).toBe(0);
    await terminal.press("l");
    await terminal.press("s");
    await terminal.getByText("$ ls").waitFor();
    await terminal.press("Enter");
    await terminal.getByText("bye").waitFor();
    const wish = JSON.parse(String(heard[0])) as { terminal: [number, number] };
    expect(wish.terminal[0]).toBeGreaterThanOrEqual(20);
    await terminal.press("Control+d");
    await page.getByText("It ended with code 0.").waitFor();
    // A keyboard is not caught in it.
    await terminal.press("Shift+Tab");
    expect(await terminal.evaluate((element) => element === document.activeElement)).toBe(false);
  });

  it("use is drawn, and said in words", async () => {
    furnish();
    const at = (minutes: number) => new Date(Date.now() - minutes * 60_000).toISOString();
    const point = (minutes: number, memory: number) => ({
      at: at(minutes),
      processors_milli: 250,
      throttled_permille: 0,
      memory_bytes: memory * 2 ** 20,
      memory_limit_bytes: 128 * 2 ** 20,
      processes: 3,
      pressure_cpu_permille: 0,
      pressure_memory_permille: 0,
      pressure_io_permille: 0,
      disk_used_bytes: 0,
      disk_bytes: 0,
      disk_fullest_permille: 0,
      received_bits: 1_000,
      sent_bits: 2_000_000,
      oom_kills: 0,
    });
    agent.also.set("GET /applications/site/usage", () => ({
      json: {
        from: at(60),
        to: at(0),
        step_s: 60,
        instances: [{ index: 0, points: [point(3, 96), point(2, 64)] }],
        conditions: [{ kind: "throttled", index: 0, text: "it waited 43.1 % of the last 60 s" }],
      },
    }));
    const page = await visit("/apps/site/usage");
    await page
      .getByRole("img", { name: "Memory of site: 64 MiB now, at most 96 MiB, limit 128 MiB" })
      .waitFor();
    await page.getByText("it waited 43.1 % of the last 60 s").waitFor();
    await page.getByRole("group", { name: "Span" }).getByRole("button", { name: "7d" }).click();
    await expect.poll(() => new URL(page.url()).searchParams.get("span")).toBe("7d");
  });

  it("backups are made, shown in bytes, and restored beside", async () => {
    furnish();
    const kept = {
      id: "ab".repeat(32),
      application: "db",
      target: "shed",
      node: "attic",
      generation: 1,
      number: 1,
      at: "2026-11-28T03:00:00Z",
      volumes: { data: 5 * 2 ** 20 },
      bytes: 5 * 2 ** 20,
      stored_bytes: 2 ** 20,
      still_ms: 120,
    };
    agent.backups.applications = [
      {
        name: "db",
        target: "shed",
        state: "ok",
        cause: null,
        next: "2026-11-30T03:00:00Z",
        last: kept,
        drill_state: null,
        drill_cause: null,
        next_drill: null,
        drill: {
          backup: kept.id,
          of: kept.at,
          at: "2026-11-28T04:00:00Z",
          bytes: 5 * 2 ** 20,
          took_ms: 900,
          fault: null,
        },
        awaits_last: false,
        due_since: null,
        missed: 0,
        failures: 0,
        again_in_ms: null,
      },
    ];
    agent.also.set("GET /applications/db/backups", () => ({ json: [kept] }));
    const line = { volume: "data", parent: null, reason: "first", by: "root", at: kept.at, admitted: true };
    agent.also.set("GET /applications/db/lines", () => ({
      json: [
        { ...line, number: 1, in_use: false },
        { ...line, number: 2, in_use: true },
      ],
    }));
    const job = {
      number: 1,
      kind: "backup" as const,
      application: "db",
      by: "root",
      begun: new Date().toISOString(),
      phase: "reads data",
      bytes: 2 ** 20,
      all_bytes: 4 * 2 ** 20,
      ended: null,
    };
    agent.also.set("POST /applications/db/backups", () => {
      agent.backups.jobs = [job];
      return { json: job };
    });
    let asked: unknown = null;
    agent.also.set("POST /applications/db/backups/restore", ({ body }) => {
      asked = JSON.parse(body);
      return { json: { ...job, kind: "restore" } };
    });
    const page = await visit("/apps/db/backups");
    await page.getByText("The last drill proved its backup good").waitFor();
    await page.getByRole("button", { name: "Back up now" }).click();
    await page.getByText("1 MiB of about 4 MiB").waitFor();
    await page.getByRole("button", { name: `Restore the backup ${kept.id.slice(0, 12)}` }).click();
    await page.getByLabel("As a new application, named").fill("db-copy");
    await page.getByRole("button", { name: "Restore as db-copy" }).click();
    await page.getByText("The restore has begun").waitFor();
    expect(asked).toEqual({ backup: kept.id, volumes: ["data"], as_name: "db-copy" });
    // What a switch has left beside is a person's to choose.
    expect(await page.getByRole("button", { name: "Use line 2 of data" }).isDisabled()).toBe(true);
    agent.plan = () => planned({ destroys: [] });
    await page.getByRole("button", { name: "Use line 1 of data" }).click();
    await page.getByRole("button", { name: "Use this line" }).click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    expect(agent.taken[0]?.query.get("lines")).toBe("db/data:1");
  });
});

describe("frame", () => {
  it.each([
    "/apps",
    "/apps/db",
    "/apps/site/logs",
    "/apps/site/history",
    "/apps/site/settings",
    "/apps/db/remove",
    "/store",
    "/compose",
    "/deploy",
    "/deployments/1",
    "/node",
    "/node/machines",
    "/node/events",
    "/node/secrets",
    "/node/doors",
    "/node/backups",
    "/node/lending",
    "/node/access",
    "/node/audit",
    "/apps/db/backups",
    "/apps/site/terminal",
    "/store/redis",
  ])("needs no sideways scrolling at 380 pixels: %s", async (path) => {
    furnish();
    agent.write("site", "a line that is long ".repeat(20));
    agent.templates = [
      template("redis", "Redis", "database", [field("memory", "size", { default: "64 MiB" })]),
    ];
    agent.also.set("POST /templates/redis/preflight", () => ({ json: preflight() }));
    agent.also.set("GET /applications/db/backups", () => ({ json: [] }));
    agent.also.set("GET /applications/db/lines", () => ({ json: [] }));
    agent.lending.loans = [loan("ann", { readers: ["cd".repeat(32)], trouble: "a long cause ".repeat(20) })];
    agent.machines = [joinedMachine("a-machine-with-a-long-name".repeat(2), { state: "silent" })];
    agent.join = { ...agent.join, state: "joined", at: `https://${"hall-".repeat(20)}.lan`, node: "hall" };
    agent.tell("failed", "start site r1/0: " + "a long cause ".repeat(20), { application: "site" });
    const page = await visit(path, { viewport: { width: 380, height: 800 } });
    await page.getByText("Connected", { exact: true }).waitFor();
    await page.getByRole("heading", { level: 1 }).first().waitFor();
    const surplus = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(await surplus()).toBeLessThanOrEqual(0);
  });

  it("leads a keyboard through an application's parts", async () => {
    furnish();
    const page = await visit("/apps/site");
    await page.getByRole("heading", { level: 1 }).waitFor();
    const settings = page
      .getByRole("navigation", { name: "Parts of site" })
      .getByRole("link", { name: "Settings" });
    await settings.focus();
    await page.keyboard.press("Enter");
    await page.getByRole("textbox", { name: "Document of site" }).waitFor();
    // After the change of page the content has the focus; Tab goes on into it.
    await expect.poll(() => page.evaluate(() => document.activeElement?.id)).toBe("main");
  });
});
