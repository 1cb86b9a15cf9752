/** The canvas on which applications are composed, against a small agent: by pointer, by keyboard alone, on a small screen. */
import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { Deployment } from "../src/api/xnode";
import { application, FakeAgent, generation } from "./agent";
import { field, preflight, template } from "./furnished";
import { close, open, startBrowser, type Opened } from "./harness";

let browser: Browser;
let agent: FakeAgent;
let url = "";
let opened: Opened[] = [];
/** The last document that the agent was asked about. */
let sent = "";

beforeAll(async () => {
  browser = await startBrowser();
});
afterAll(async () => {
  await browser?.close();
});
beforeEach(async () => {
  agent = new FakeAgent();
  url = await agent.start();
  sent = "";
  furnish();
});
/** What a browser notes by itself where no node of a network answers: these pages ask for one, once. */
const NO_NETWORK = /status of 404/;
afterEach(async ({ task }) => {
  const all = opened;
  opened = [];
  await close(all, task.result?.state === "fail", NO_NETWORK).finally(() => agent.stop());
});

async function visit(
  path: string,
  options: Parameters<typeof open>[1] = {},
  { refused = false } = {},
): Promise<Page> {
  // As high as all of it, so that a pointer reaches everything without scrolling.
  const { page, complaints } = await open(browser, { viewport: { width: 1360, height: 1500 }, ...options });
  opened.push({ page, complaints, matter: !refused });
  await page.goto(url + path);
  return page;
}

const DOCUMENT = `version: 1
applications:
  db:
    image: postgres:16
    ports:
      sql:
        port: 5432
  site:
    image: nginx:1
    ports:
      http:
        port: 80
`;

const planned = (more: Partial<Deployment> = {}): Deployment => ({
  generation: 2,
  after: 1,
  applications: [],
  plan: "generation 2 after 1: 1 step\n   1. commit generation 2 (everything is done)\n",
  steps: 1,
  destroys: [],
  loses_data: false,
  events: 1,
  ...more,
});

/** The machine with a site and a database, and templates of which one wants an answer and makes a secret. */
function furnish(): void {
  agent.applications = [application("site"), application("db", { ports: { sql: null } })];
  agent.documents.set(1, DOCUMENT);
  agent.generations = [generation(1, ["db", "site"], { serves: true, is_wanted: true })];
  agent.plan = (text) => {
    sent = text;
    return planned();
  };
  agent.templates = [
    template("nginx", "Static site", "web"),
    template("redis", "Redis", "database", [
      field("memory", "size", { default: "64 MiB", least: "16 MiB" }),
      field("owner", "text", { required: true }),
      field("password", "secret", { generated: 32 }),
      field("port", "port", { default: "none", port: "redis" }),
    ]),
  ];
  for (const name of ["nginx", "redis"])
    agent.also.set(`POST /templates/${name}/preflight`, ({ body }) => ({ json: composed(name, body) }));
}

/** What an agent makes of an order: the application as it stands in a document. */
function composed(name: string, body: string) {
  const order = JSON.parse(body) as { name: string; answers: Record<string, string> };
  const { port, password, ...answers } = order.answers;
  const made = name === "redis" && password === undefined ? [`${order.name}-password`] : [];
  const secret = name === "redis" ? [password?.replace("secret:", "") ?? `${order.name}-password`] : [];
  const all = [
    ...Object.entries(answers).map(([option, answer]) => `        ${option}: ${answer}`),
    ...secret.flatMap((each) => ["        password:", `          secret: ${each}`]),
  ];
  const ports = ["    ports:", "      redis:", "        port: 6379", "        publish: {}"];
  const text = [
    "version: 1",
    "applications:",
    `  ${order.name}:`,
    "    template:",
    `      name: ${name}`,
    '      version: "1.0"',
    ...(all.length > 0 ? ["      answers:", ...all] : []),
    ...(port === "auto" ? ports : []),
  ];
  return preflight({
    secrets: made,
    applications: [
      {
        name: order.name,
        template: `${name} 1.0`,
        memory_bytes: 1,
        disk_bytes: 1,
        ports: [],
        domains: [],
        secrets: [],
        open: null,
      },
    ],
    document: `${text.join("\n")}\n`,
  });
}

const parts = (page: Page) => ({
  palette: page.getByRole("list", { name: "Templates" }),
  board: page.getByRole("group", { name: "Canvas", exact: true }),
  box: (name: string) =>
    page
      .getByRole("group", { name: "Canvas", exact: true })
      .getByRole("button", { name: new RegExp(`^${name}: `) }),
  handle: (name: string) => page.getByRole("button", { name: `Link ${name} to…`, exact: true }),
  settings: (name: string) => page.getByRole("region", { name: `Settings of ${name}`, exact: true }),
  options: (name: string) => page.getByRole("form", { name: `Options of ${name}`, exact: true }),
  text: page.getByRole("textbox", { name: "Document", exact: true }),
  plan: page.getByRole("button", { name: "Show the plan" }),
});

/** The text of the editor, as its lines are shown. */
const textOf = (editor: Locator) =>
  editor.evaluate((element) =>
    [...element.querySelectorAll(".cm-line")].map((line) => line.textContent ?? "").join("\n"),
  );

/** The middle of an element. */
async function middleOf(element: Locator): Promise<{ x: number; y: number }> {
  const box = await element.boundingBox();
  if (!box) throw new Error("it is not seen");
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 };
}

/** Drags from one place to another as a hand does, with places between. */
async function drag(page: Page, from: { x: number; y: number }, to: { x: number; y: number }): Promise<void> {
  await page.mouse.move(from.x, from.y);
  await page.mouse.down();
  await page.mouse.move((from.x + to.x) / 2, (from.y + to.y) / 2, { steps: 4 });
  await page.mouse.move(to.x, to.y, { steps: 4 });
  await page.mouse.up();
}

/** Pastes a text over everything in the editor, as people do. */
async function paste(page: Page, text: string): Promise<void> {
  const editor = parts(page).text;
  await editor.focus();
  await page.keyboard.press("Control+a");
  await editor.evaluate((element, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", pasted);
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

describe("the canvas", () => {
  it("takes templates and links by pointer, and deploys all of it as one generation", async () => {
    const page = await visit("/compose");
    const { palette, board, box, handle, settings, options, text, plan } = parts(page);
    await box("db").waitFor();
    expect(await plan.isDisabled()).toBe(true);
    const middle = await middleOf(board);
    await drag(page, await middleOf(palette.getByRole("button", { name: /^Redis/ })), {
      x: middle.x,
      y: middle.y + 150,
    });
    const draft = box("redis");
    await draft.waitFor();
    expect(await draft.getAttribute("aria-label")).toContain("Its options are to be given");
    const form = options("redis");
    await form.getByLabel("Name", { exact: true }).fill("cache");
    await form.getByLabel("Owner", { exact: true }).fill("me");
    await form.getByText("Made on the machine, and shown to nobody: cache-password.").waitFor();
    await form.getByRole("button", { name: "Put it into the document" }).click();
    await box("cache").waitFor();
    expect(await textOf(text)).toContain("  cache:\n    template:\n      name: redis");
    // A link is drawn from one application to another one.
    await drag(page, await middleOf(handle("site")), await middleOf(box("cache")));
    await expect.poll(() => textOf(text)).toContain("        port: 80\n    links:\n      - cache");
    await box("site").click();
    await settings("site").getByText("reaches cache by the name cache").waitFor();
    expect(await box("site").getAttribute("aria-label")).toMatch(/running, changed; reaches cache/);
    await page.getByText("1 new, 1 changed").waitFor();
    await page.getByText("Made with the deployment, and shown to nobody: cache-password.").waitFor();
    await plan.click();
    await page.getByRole("table", { name: "Steps of the plan" }).waitFor();
    await page.getByRole("button", { name: "Deploy" }).click();
    await page.getByRole("heading", { name: /^Generation 2\b/ }).waitFor();
    expect(agent.taken).toHaveLength(1);
    expect(agent.taken[0]?.query.get("make_secrets")).toBe("true");
    expect(sent).toBe(`${DOCUMENT}    links:
      - cache
  cache:
    template:
      name: redis
      version: "1.0"
      answers:
        owner: me
        password:
          secret: cache-password
`);
  });

  it("is used by keyboard alone", async () => {
    const page = await visit("/compose");
    const { palette, box, settings, options, text } = parts(page);
    await box("db").waitFor();
    await palette.getByRole("button", { name: /^Static site/ }).focus();
    await page.keyboard.press("Enter");
    const taken = page.getByRole("button", { name: /^Static site: arrow keys move it/ });
    await expect.poll(() => taken.evaluate((element) => element === document.activeElement)).toBe(true);
    // Taken back, the keyboard is where it was.
    await page.keyboard.press("Escape");
    const focused = (data: string) => page.evaluate((key) => document.activeElement?.getAttribute(key), data);
    await expect.poll(() => focused("data-template")).toBe("nginx");
    await page.keyboard.press("Enter");
    const before = (await taken.boundingBox())?.x ?? 0;
    await page.keyboard.press("ArrowRight");
    await expect.poll(async () => (await taken.boundingBox())?.x ?? 0).toBeGreaterThan(before);
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    const name = options("nginx").getByLabel("Name", { exact: true });
    await expect.poll(() => name.evaluate((element) => element === document.activeElement)).toBe(true);
    await options("nginx").getByText("The machine has room for it.").waitFor();
    await page.keyboard.press("Enter");
    await expect.poll(() => textOf(text)).toContain("  nginx:\n    template:\n      name: nginx");
    await box("nginx").focus();
    await page.keyboard.press("l");
    const target = page.getByLabel("Link to", { exact: true });
    await expect.poll(() => target.evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press("ArrowDown");
    expect(await target.inputValue()).toBe("db");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("status").getByText("nginx reaches db by the name db.").waitFor();
    await expect.poll(() => textOf(text)).toContain("    links:\n      - db");
    // What would close a circle is not offered.
    await box("db").focus();
    await page.keyboard.press("Enter");
    await settings("db").getByText("Reached by nginx.").waitFor();
    const circle = target.locator("option", { hasText: /^nginx: That would close a circle/ });
    expect(await circle.evaluate((option) => (option as HTMLOptionElement).disabled)).toBe(true);
    await page.keyboard.press("Escape");
    await expect.poll(() => box("db").evaluate((element) => element === document.activeElement)).toBe(true);
    await page.keyboard.press("Control+d");
    await expect.poll(() => textOf(text)).toContain("  db-2:\n    image: postgres:16");
    await page.keyboard.press("Control+z");
    await expect.poll(() => textOf(text)).not.toContain("db-2");
    await page.keyboard.press("Control+z");
    await expect.poll(() => textOf(text)).not.toContain("links");
    await page.keyboard.press("Control+Shift+z");
    await expect.poll(() => textOf(text)).toContain("    links:\n      - db");
    await box("db").focus();
    await page.keyboard.press("Delete");
    await page.getByRole("status").getByText("db is taken out, and with it the links of nginx.").waitFor();
    await page.getByText("Taken out, and therefore removed: db").waitFor();
    expect(await textOf(text)).not.toContain("postgres");
  });

  it("leads the keyboard from box to box, moves them, and keeps their places in this browser", async () => {
    const page = await visit("/compose");
    const { box } = parts(page);
    await box("db").focus();
    await page.keyboard.press("ArrowRight");
    await expect
      .poll(() => page.evaluate(() => document.activeElement?.getAttribute("data-box")))
      .toBe("site");
    const distance = async () => {
      const [db, site] = [await box("db").boundingBox(), await box("site").boundingBox()];
      return (site?.y ?? 0) - (db?.y ?? 0);
    };
    expect(await distance()).toBe(0);
    for (let count = 0; count < 5; count += 1) await page.keyboard.press("Shift+ArrowDown");
    await expect.poll(distance).toBeGreaterThan(50);
    const moved = await distance();
    await page.reload();
    await box("site").waitFor();
    expect(Math.round(await distance())).toBe(Math.round(moved));
    await page.getByRole("button", { name: "Arrange" }).click();
    await expect.poll(distance).toBe(0);
    await page.getByRole("button", { name: "Undo" }).click();
    await expect.poll(distance).toBeGreaterThan(50);
  });

  it("shows what is wrong at the application that it concerns, before and after the agent is asked", async () => {
    agent.plan = () => ({
      status: 422,
      code: "document",
      message: "4:5: applications.db.image: is no image\n1:1: version: is odd",
    });
    const page = await visit("/compose", {}, { refused: true });
    const { box, settings, plan, text } = parts(page);
    await box("db").waitFor();
    const said = (name: string) => box(name).getAttribute("aria-label");
    await paste(page, DOCUMENT.replace("image: nginx:1\n", "image: nginx:1\n    links: [db, gone]\n"));
    await expect.poll(() => said("site")).toContain("1 problem: Its link leads to gone");
    await plan.click();
    await expect.poll(() => said("db")).toContain("1 problem: image: is no image");
    await page.getByText("Line 1: version: is odd").waitFor();
    expect(await text.locator(".problem-line").count()).toBe(2);
    await box("db").click();
    await settings("db").getByRole("alert").getByText("image: is no image").waitFor();
    // What was refused is about the text as it was.
    await settings("db").getByRole("button", { name: "Copy db" }).click();
    await expect.poll(() => said("db")).not.toContain("problem");
  });

  it("changes the options of an application in the document, and leaves the rest of it", async () => {
    agent.secrets = [{ name: "cache-password", version: 1, at: "2026-11-29T10:00:00Z", used_by: {} }];
    const cache = `  cache:
    template:
      name: redis
      version: "1.0"
      answers:
        memory: 32 MiB
        owner: me
        password:
          secret: cache-password
    limits:
      processors: "0.5"
`;
    agent.documents.set(1, DOCUMENT + cache);
    agent.applications.push(application("cache"));
    const page = await visit("/compose");
    const { box, options, text } = parts(page);
    await box("cache").click();
    const form = options("cache");
    await form.getByLabel("Memory", { exact: true }).fill("8 MiB");
    await form.getByLabel("Port", { exact: true }).fill("auto");
    await form.getByText("A size of at least 16 MiB is expected.").waitFor();
    await form.getByLabel("Memory", { exact: true }).fill("48 MiB");
    await form.getByText("The machine has room for it.").waitFor();
    await form.getByRole("button", { name: "Change them in the document" }).click();
    await expect.poll(() => textOf(text)).toContain("memory: 48 MiB");
    const changed = cache.replace("32 MiB", "48 MiB");
    expect(await textOf(text)).toBe(`${DOCUMENT}${changed}    ports:
      redis:
        port: 6379
        publish: {}
`);
    expect(await box("cache").getAttribute("aria-label")).toContain("redis at auto");
  });

  it("is in sync with a text in JSON, which stays JSON", async () => {
    const page = await visit("/compose");
    const { palette, box, options, text } = parts(page);
    await box("db").waitFor();
    await paste(page, '{\n  "version": 1,\n  "later": [1.10],\n  "applications": {}\n}\n');
    await expect.poll(() => box("db").count()).toBe(0);
    await page.getByText("Taken out, and therefore removed: db, site").waitFor();
    await palette.getByRole("button", { name: /^Static site/ }).click();
    await options("nginx").getByText("The machine has room for it.").waitFor();
    await options("nginx").getByRole("button", { name: "Put it into the document" }).click();
    await box("nginx").waitFor();
    const written = await textOf(text);
    expect(JSON.parse(written)).toMatchObject({
      applications: { nginx: { template: { name: "nginx", version: "1.0" } } },
    });
    expect(written).toContain('"later": [1.10]');
    await paste(page, "version: 1\napplications:\n  a: &x\n    image: b\n");
    await page.getByText(/^Line 3 has an anchor/).waitFor();
    await box("nginx").waitFor();
    expect(await palette.getByRole("button", { name: /^Redis/ }).isDisabled()).toBe(true);
  });

  it("goes on from what somebody else has deployed meanwhile", async () => {
    const page = await visit("/compose");
    const { box, text, settings } = parts(page);
    await box("db").click();
    await settings("db").getByRole("button", { name: "Copy db" }).click();
    await box("db-2").waitFor();
    agent.documents.set(2, DOCUMENT.replace("nginx:1", "nginx:9"));
    agent.info = { ...agent.info, wanted: 2, current: 2 };
    await page.getByRole("button", { name: "Go on from generation 2" }).click();
    await expect.poll(() => textOf(text)).toContain("nginx:9");
    expect(await textOf(text)).toContain("  db-2:");
    await page.getByText("1 new", { exact: true }).waitFor();
  });

  it("is a list where there is no room for it, and does the same", async () => {
    const page = await visit("/compose", { viewport: { width: 380, height: 800 } });
    const { palette, board, options, plan } = parts(page);
    const list = page.getByRole("list", { name: "Applications", exact: true });
    await list.getByText("postgres:16").waitFor();
    expect(await board.count()).toBe(0);
    await palette.getByRole("button", { name: /^Static site/ }).click();
    await options("nginx").getByText("The machine has room for it.").waitFor();
    await options("nginx").getByRole("button", { name: "Put it into the document" }).click();
    await list.getByRole("button", { name: "Link nginx to…" }).click();
    await page.getByLabel("Link to", { exact: true }).selectOption("db");
    await page.getByRole("button", { name: "Link", exact: true }).click();
    await list.getByText("reaches db").waitFor();
    const surplus = () => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(await surplus()).toBeLessThanOrEqual(0);
    await plan.click();
    await page.getByRole("button", { name: "Deploy" }).waitFor();
    expect(sent).toContain("  nginx:\n");
  });

  it("keeps what was composed while one looks at another page, and offers nothing that a role does not allow", async () => {
    const page = await visit("/compose");
    const { box, settings, palette } = parts(page);
    await box("db").click();
    await settings("db").getByRole("button", { name: "Copy db" }).click();
    await box("db-2").waitFor();
    await page.getByRole("link", { name: "Apps" }).first().click();
    await page.getByRole("heading", { name: "Apps", level: 1 }).waitFor();
    await page.getByRole("link", { name: "Compose" }).click();
    await box("db-2").waitFor();
    agent.me = { who: `0x${"12".repeat(20)}`, role: "viewer", from: "here", id: "a1" };
    await page.reload();
    const redis = palette.getByRole("button", { name: /^Redis/ });
    await expect
      .poll(() => redis.getAttribute("title"))
      .toBe("This needs the role operator, and viewer is yours");
    expect(await redis.isDisabled()).toBe(true);
  });
});
