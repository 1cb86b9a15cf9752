/**
 * Deploys templates in Studio by Chromium, for measurements: each line of the input is a wish in JSON with one key, and is answered by
 * a line of JSON.
 *
 *     {"open": {"url", "token"}}                  begins at an agent's face, with an API key                         {}
 *     {"plan": {"template", "name", "answers"}}   fills in the form, each answer by its field's title,
 *                                                 and lets the plan be shown             {"planned_ms"}: from that click to the plan
 *     {"press": {}}                               presses Deploy                         {"pressed_ms"}: of the click, since 1970
 *     {"leave": {}}                               waits until the page says that all is done, and leaves it          {}
 *
 * What fails is answered by {"failed": WORDS}. The end of the input ends everything. It needs root: Chromium is apart from the machine's network.
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { createInterface } from "node:readline";
import { startApart } from "../e2e/chromium.mjs";

/** Where Studio keeps the session of a tab. */
const TOKEN = "openmesh-xnode-session";
/** Patience with a plan: its image is there. */
const PLAN_MS_MAX = 120_000;

let apart = null;
let page = null;

const deploy = () =>
  page
    .getByRole("region", { name: "Plan", exact: true })
    .getByRole("button", { name: "Deploy", exact: true });

/** Fills in a field of the form by its title, also one of those that few people need. */
async function fill(title, answer) {
  const field = page.getByLabel(title, { exact: true });
  await field.waitFor({ state: "attached" });
  if (!(await field.isVisible())) await page.getByText("What few people need", { exact: true }).click();
  await field.fill(answer);
}

const acts = {
  async open({ url, token }) {
    apart = await startApart([Number(new URL(url).port)]);
    const context = await apart.browser.newContext({
      baseURL: url,
      viewport: { width: 1280, height: 900 },
    });
    await context.addInitScript(
      ([key, kept]) => {
        // A page of no address has no such place.
        if (globalThis.location.protocol === "http:") globalThis.sessionStorage.setItem(key, kept);
      },
      [TOKEN, token],
    );
    page = await context.newPage();
    await page.goto("/apps");
    await page.getByRole("heading", { name: "Apps", level: 1 }).waitFor();
    return {};
  },

  async plan({ template, name, answers }) {
    await page.goto(`/store/${template}`);
    await page.getByLabel("Name", { exact: true }).fill(name);
    for (const [title, answer] of Object.entries(answers)) await fill(title, answer);
    await page.getByText("There is room for it").waitFor();
    const show = page.getByRole("button", { name: "Show the plan" });
    const begun = performance.now();
    await show.click();
    await deploy().waitFor({ timeout: PLAN_MS_MAX });
    return { planned_ms: performance.now() - begun };
  },

  async press() {
    // The page's own word on when it was pressed, by the machine's clock.
    await page.evaluate(() => {
      globalThis.pressed = new Promise((resolve) => {
        const told = ({ timeStamp }) => resolve(globalThis.performance.timeOrigin + timeStamp);
        globalThis.addEventListener("click", told, { capture: true, once: true });
      });
    });
    await deploy().click();
    return { pressed_ms: await page.evaluate(() => globalThis.pressed) };
  },

  async leave() {
    await page.getByText("Done: the machine is as this generation says").waitFor();
    // From here on nothing asks the agent.
    await page.goto("about:blank");
    return {};
  },
};

/** The answer to a wish. */
async function answer(line) {
  try {
    const [[word, wish]] = Object.entries(JSON.parse(line));
    return await acts[word](wish);
  } catch (error) {
    return { failed: String(error) };
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await answer(line))}\n`);
}
await apart?.stop();
process.exit(0);
