/**
 * Pictures of every page of Apps and Node for a person to look at: `npm run shots`, or `make shots`, which builds Studio first. They come into the folder that
 * `SHOTS` names (`~/.cache/openmesh/shots` without it), in light, in dark and at 380 px, with a page that shows them beside one another.
 */
import { mkdir, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { afterAll, beforeAll, beforeEach, afterEach, expect, it } from "vitest";
import type { Move } from "../src/api/xnode";
import { FakeAgent } from "./agent";
import { MIB } from "./furnished";
import { giveWallet, open, startBrowser } from "./harness";
import { ago } from "./kept";
import { furnishWhole } from "./shown";

const REPOSITORY = fileURLToPath(new URL("../..", import.meta.url));
const FOLDER = resolve(process.env["SHOTS"] ?? join(homedir(), ".cache/openmesh/shots"));

const WIDE = { width: 1280, height: 900 };
const LOOKS: Record<string, BrowserContextOptions> = {
  light: { viewport: WIDE, colorScheme: "light" },
  dark: { viewport: WIDE, colorScheme: "dark" },
  narrow: { viewport: { width: 380, height: 800 }, colorScheme: "light" },
};

interface Shot {
  /** Name of its file. */
  name: string;
  path: string;
  /** Words that are there once the page is whole. */
  shows: string | RegExp;
  /** What the machine is before the page is opened. */
  machine?: () => void;
  /** What somebody does before the picture is taken. */
  act?: (page: Page) => Promise<void>;
}

let browser: Browser;
let agent: FakeAgent;
let url = "";

beforeAll(async () => {
  const way = relative(REPOSITORY, FOLDER);
  if (!way.startsWith("..")) throw new Error(`SHOTS=${FOLDER} lies in the repository: name another one`);
  for (const look of Object.keys(LOOKS)) {
    await rm(join(FOLDER, look), { recursive: true, force: true });
    await mkdir(join(FOLDER, look), { recursive: true });
  }
  browser = await startBrowser();
});
beforeEach(async () => {
  agent = new FakeAgent();
  furnishWhole(agent);
  url = await agent.start();
});
afterEach(() => agent.stop());
afterAll(async () => {
  await browser?.close();
  const sheet = join(FOLDER, "index.html");
  await writeFile(sheet, contactSheet());
  process.stdout.write(`${SHOTS.length} pages in ${Object.keys(LOOKS).join(", ")}: ${sheet}\n`);
});

/** A shell that has said something, at the other end of a terminal. */
async function terminal(page: Page): Promise<void> {
  await page.routeWebSocket("**/applications/site/terminal", (socket) => {
    const prompt = "\x1b[32msite\x1b[0m:/$ ";
    const said = `${prompt}ls -l\r\n-rw-r--r-- 1 1000 1000 371 index.html\r\n${prompt}`;
    let isBegun = false;
    socket.onMessage(() => {
      if (isBegun) return;
      isBegun = true;
      socket.send(JSON.stringify({ started: { instance: "r1/0" } }));
      socket.send(Buffer.concat([Buffer.from([1]), Buffer.from(said)]));
    });
  });
  await page.reload();
  await page.getByRole("button", { name: "Connect" }).click();
}

/** The plan of a template, which destroys something. */
async function plan(page: Page): Promise<void> {
  await page.getByText("There is room for it").waitFor();
  await page.getByRole("button", { name: "Show the plan" }).click();
}

/** A template that is taken to the board, whose options are to be given. */
async function compose(page: Page): Promise<void> {
  await page.getByRole("button", { name: /^Redis/ }).click();
  // An editor that was never in sight has not measured its lines.
  await page.getByRole("button", { name: "Show the plan" }).scrollIntoViewIfNeeded();
}

/** An invitation that was made just now. */
async function invited(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Make the line" }).click();
}

const SHOTS: Shot[] = [
  { name: "apps", path: "/apps", shows: "ended with code 1 after 12 ms" },
  { name: "apps-none", path: "/apps", shows: /^Nothing runs here yet/, machine: emptied },
  { name: "app", path: "/apps/site", shows: /^Restart 2 is done/ },
  { name: "app-in-trouble", path: "/apps/db", shows: /^Crash loop: ended with code 1/ },
  { name: "app-returned", path: "/apps/blog", shows: /^Its version of generation 2 failed/ },
  { name: "app-missing", path: "/apps/nothing", shows: /^There is no application nothing/ },
  { name: "app-log", path: "/apps/site/logs", shows: /^line 41/ },
  { name: "app-usage", path: "/apps/site/usage", shows: /^it waited 43.1 %/ },
  { name: "app-processes", path: "/apps/site/processes", shows: /^5 of 8 processes/ },
  { name: "app-history", path: "/apps/site/history", shows: "portable.applications.site.image" },
  { name: "app-backups", path: "/apps/db/backups", shows: "The last drill proved its backup good" },
  { name: "app-backups-none", path: "/apps/site/backups", shows: "It has no backups" },
  { name: "app-jobs", path: "/apps/db/jobs", shows: /^vacuumdb/ },
  { name: "app-domains", path: "/apps/site/domains", shows: /^lets nobody in/, machine: closedDoor },
  { name: "app-files", path: "/apps/db/files", shows: "db.conf" },
  { name: "app-file", path: "/apps/db/files?in=data&file=db.conf", shows: "Save" },
  { name: "app-terminal", path: "/apps/site/terminal", shows: /index\.html/, act: terminal },
  { name: "app-settings", path: "/apps/site/settings", shows: "Settings as document" },
  { name: "app-remove", path: "/apps/db/remove", shows: "Wipe its data" },
  { name: "app-moves", path: "/apps/site", shows: /^It serves here, while attic-2/, machine: moves },
  { name: "app-moved-off", path: "/apps/site", shows: /^It has stopped here/, machine: waits },
  { name: "compose", path: "/compose", shows: "redis:7", act: compose },
  { name: "store", path: "/store", shows: "never run by us" },
  { name: "store-catalogues", path: "/store?text=wiki", shows: "It could not be fetched" },
  { name: "template", path: "/store/redis", shows: "There is room for it" },
  { name: "plan", path: "/store/redis", shows: "What is listed above may be lost", act: plan },
  { name: "document", path: "/deploy", shows: "Deploy a document" },
  { name: "deployment", path: "/deployments/4", shows: "3 MiB of 12 MiB" },
  { name: "deployment-returned", path: "/deployments/2", shows: /^It has failed/ },
  { name: "node", path: "/node", shows: "Empty this machine" },
  { name: "node-machines", path: "/node/machines", shows: "Paste this on the other machine", act: invited },
  { name: "node-alerts", path: "/node/alerts", shows: "I know of it" },
  { name: "node-events", path: "/node/events", shows: /its link was made again/ },
  { name: "node-history", path: "/node/history", shows: "portable.applications.db.limits.memory" },
  { name: "node-secrets", path: "/node/secrets", shows: "db-password" },
  { name: "node-backups", path: "/node/backups", shows: "the folder /mnt/backup/xnode" },
  { name: "node-lending", path: "/node/lending", shows: "what was removed comes back" },
  { name: "node-doors", path: "/node/doors", shows: /^the authority does not reach port 80/ },
  { name: "node-access", path: "/node/access", shows: "Ada" },
  { name: "node-audit", path: "/node/audit", shows: "key ci" },
  { name: "sign-in", path: "/apps", shows: "Test Wallet", machine: closed },
  { name: "no-agent", path: "/apps", shows: "No Xnode here", machine: away },
];

function emptied(): void {
  agent.applications = [];
}

const MOVE: Move = {
  id: "0".repeat(32),
  application: "site",
  leaves: true,
  other: "attic-2",
  to: "https://attic-2.lan",
  by: "ann",
  begun: ago(4),
  departing: "tries",
  arriving: "arrives",
  step: "stores the volume data",
  bytes: 310 * MIB,
  all_bytes: 1400 * MIB,
  cause: null,
  waits_since: null,
  is_down: false,
  can_undo: true,
  undo_left_ms: null,
};

/** An application goes to another machine. */
function moves(): void {
  agent.moves = { moves: [MOVE], ended: [] };
}

/** It has stopped for that, and the other machine is away. */
function waits(): void {
  const cause = "attic-2 cannot be asked: connection refused";
  const now = {
    departing: "quiets",
    step: "waits for attic-2",
    bytes: 0,
    all_bytes: 0,
    is_down: true,
  } as const;
  agent.moves = { moves: [{ ...MOVE, ...now, cause, waits_since: ago(1) }], ended: [] };
}

/** Nobody is signed in. */
function closed(): void {
  agent.token = "another";
}

function away(): void {
  agent.isAway = true;
}

/** A door that lets nobody in by one of its domains. */
function closedDoor(): void {
  const [first, ...others] = agent.doors.hosts;
  if (first) agent.doors.hosts = [{ ...first, access: "nobody" }, ...others];
}

it.each(SHOTS)("$name", async ({ name, path, shows, machine, act }) => {
  machine?.();
  // What an agent asks before it lets somebody in.
  const nonce = { nonce: "0123456789abcdef", lasts_ms: 300_000, at: new Date().toISOString(), chain_id: 1 };
  agent.also.set("GET /access/nonce", () => ({
    json: { ...nonce, domain: new URL(url).host, owned: false },
  }));
  for (const [look, options] of Object.entries(LOOKS)) {
    const { page } = await open(browser, options);
    try {
      await giveWallet(page, privateKeyToAccount(generatePrivateKey()));
      await page.goto(url + path);
      await act?.(page);
      await page.getByText(shows).first().waitFor();
      await expect.poll(() => page.getByText(/^Loading /).count()).toBe(0);
      const file = join(FOLDER, look, `${name}.png`);
      await page.screenshot({ path: file, fullPage: true, animations: "disabled" });
    } finally {
      await page.context().close();
    }
  }
});

/** All pictures on one page: a row for each page of Studio. */
function contactSheet(): string {
  const looks = Object.keys(LOOKS);
  const picture = (look: string, { name }: Shot) => {
    const file = `${look}/${name}.png`;
    return `<td><a href="${file}"><img loading="lazy" alt="${name}, ${look}" src="${file}"></a></td>`;
  };
  const row = (shot: Shot) => {
    const head = `<th>${shot.name}<br><code>${shot.path.replaceAll("&", "&amp;")}</code></th>`;
    return `<tr>${head}${looks.map((look) => picture(look, shot)).join("")}</tr>`;
  };
  const heads = ["page", ...looks].map((each) => `<th>${each}</th>`).join("");
  return `<!doctype html><meta charset="utf-8"><title>Studio: Apps and Node</title>
<style>
  body { font: 14px system-ui, sans-serif; background: #888; margin: 16px }
  th, td { vertical-align: top; text-align: left; padding: 8px }
  img { display: block; max-height: 900px; max-width: 620px }
</style>
<table><tr>${heads}</tr>
${SHOTS.map(row).join("\n")}
</table>
`;
}
