/** The real network and a real browser, started once for a file of tests. */
import { spawn, type ChildProcess } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import type { PrivateKeyAccount } from "viem/accounts";
import { expect } from "vitest";
import { BROWSER, FLAGS } from "./chromium.mjs";
import { ProviderError, TestWallet } from "./provider";

export const TARGET = process.env["CARGO_TARGET_DIR"] ?? join(homedir(), ".cache/openmesh/target");
export const BINARY = join(TARGET, "debug/openmesh");
/** Time that a network, or an agent, may take until it says that it is ready. */
const READY_MS_MAX = 120_000;
/** Ports that tests take: none that the kernel gives to whoever asks for any (those from 32768 on). */
const PORTS = { first: 30_000, count: 2_768 };

export interface Network {
  url: string;
  /** The key of the account that a local network's genesis endows, hexadecimal. */
  faucet(): Promise<`0x${string}`>;
  /** Process of a validator by its number. */
  validator(number: number): Promise<number>;
  /** Process of the simulated venues. */
  venues(): Promise<number>;
  stop(): Promise<void>;
}

/** Starts a simulated network and waits until it says `ready`. */
export async function startNetwork(): Promise<Network> {
  const home = await mkdtemp(join(tmpdir(), "openmesh-e2e-"));
  const child = spawn(
    BINARY,
    ["up", "--home", home, "--port", "0", "--simulate", "--seed", "7", "--rate", "120"],
    // The network ends with this process, however that ends.
    { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, OPENMESH_STOP_WITH: String(process.pid) } },
  );
  const exited = once(child, "exit");
  // Spawning a missing binary is an `error`, which `ready` reports; here it must only not go unheard.
  exited.catch(() => undefined);
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      child.kill("SIGINT");
      await exited;
    }
    await rm(home, { recursive: true, force: true });
  };
  try {
    const faucet = async (): Promise<`0x${string}`> =>
      `0x${(await readFile(join(home, "simulated", "faucet.key"), "utf8")).trim().replace(/^0x/, "")}`;
    const validator = (number: number) => processOf(child.pid ?? 0, `validator-${number}`);
    const venues = () => processOf(child.pid ?? 0, "venues");
    const url = await ready(child);
    await firstBlock(url);
    return { url, faucet, validator, venues, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Waits for the first block: a network is ready before it has decided anything, and wallets and pages of blocks want one. */
async function firstBlock(url: string): Promise<void> {
  for (const until = Date.now() + READY_MS_MAX; ; await pause(50)) {
    const { height } = (await (await fetch(`${url}/v1/status`)).json()) as { height: number };
    if (height > 0) return;
    if (Date.now() > until) throw new Error(`${url} has no block yet`);
  }
}

/** The child of a process whose command line holds a word. */
async function processOf(parent: number, word: string): Promise<number> {
  for (const task of await readdir(`/proc/${parent}/task`)) {
    const children = await readFile(`/proc/${parent}/task/${task}/children`, "utf8").catch(() => "");
    for (const pid of children.split(/\s+/).filter(Boolean)) {
      const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
      if (command.includes(word)) return Number(pid);
    }
  }
  throw new Error(`no child of ${parent} is ${word}`);
}

async function ready(child: ChildProcess): Promise<string> {
  let url = "";
  await heard(child, (line) => {
    url = /^studio {3}(http:\/\/\S+?)\/?$/.exec(line)?.[1] ?? url;
    return line.trim() === "ready";
  });
  if (url === "") throw new Error(`${BINARY} is ready without naming Studio`);
  return url;
}

/** Reads what the binary says up to a line; fails with its last words where it ends before, or takes too long. */
export function heard(child: ChildProcess, isLast: (line: string) => boolean): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    const deadline = setTimeout(() => reject(new Error(`not ready in time:\n${said}`)), READY_MS_MAX);
    const fail = (why: string) => {
      clearTimeout(deadline);
      reject(new Error(`${BINARY} ${why}:\n${said}`));
    };
    child.on("error", (error) => fail(error.message));
    child.on("exit", (code) => fail(`ended with ${code}`));
    child.stderr?.on("data", (part: Buffer) => {
      said = (said + part.toString()).slice(-4_000);
    });
    if (!child.stdout) return fail("has no output");
    createInterface({ input: child.stdout }).on("line", (line) => {
      said += `${line}\n`;
      if (!isLast(line)) return;
      clearTimeout(deadline);
      resolve();
    });
  });
}

const firstPort = randomInt(PORTS.count);
let portsGiven = 0;

/** A free port of loopback that nothing else of this run gets, nor anybody who asks the kernel for any. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = PORTS.first + ((firstPort + portsGiven) % PORTS.count);
    portsGiven += 1;
    if (await isFree(port)) return port;
  }
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });

export const startBrowser = (): Promise<Browser> => chromium.launch({ executablePath: BROWSER, args: FLAGS });

/** A page with everything it complained about. */
export interface Opened {
  page: Page;
  complaints: string[];
  /** False where the test provokes a refusal, which the browser itself notes in the console. */
  matter: boolean;
}

/** What Chromium notes of a request that it cut because the machine's addresses changed. */
const CUT = "net::ERR_NETWORK_CHANGED";

/**
 * Closes what a test has opened. Whatever it was about: a page that complains in the console is broken. Of a test that failed it is
 * also said that requests were cut under it, whether its complaints matter or not: that decides whether it is made again.
 */
export async function close(opened: readonly Opened[], hasFailed: boolean, expected?: RegExp): Promise<void> {
  const told = opened.flatMap(({ matter, complaints }) =>
    complaints.filter((each) => (matter && !expected?.test(each)) || (hasFailed && each.includes(CUT))),
  );
  await Promise.all(opened.map(({ page }) => page.context().close()));
  // In the message too: an array of several is shortened there.
  expect(told, told.join("\n")).toEqual([]);
}

/** A page of its own, with everything it complains about. */
export async function open(
  browser: Browser,
  options: BrowserContextOptions = {},
): Promise<{ page: Page; complaints: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  listen(page, complaints);
  return { page, complaints };
}

/** Notes everything that a page complains about. */
export function listen(page: Page, complaints: string[]): void {
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(error.message));
}

/** Pastes a text over everything in an editor, as people do. */
export async function paste(page: Page, label: string, text: string): Promise<void> {
  const editor = page.getByRole("textbox", { name: label, exact: true });
  await editor.focus();
  await page.keyboard.press("Control+a");
  await editor.evaluate((element, pasted) => {
    const clipboardData = new DataTransfer();
    clipboardData.setData("text/plain", pasted);
    element.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
  }, text);
}

/** What a wallet tells of itself (EIP-6963). */
interface Announced {
  uuid: string;
  name: string;
  rdns: string;
}

const FIRST: Announced = {
  uuid: "350670db-19fa-4704-a166-e52e178b59d2",
  name: "Test Wallet",
  rdns: "org.example.wallet",
};

/** An answer of a wallet with the chain that is active in it afterwards. An error goes over as what it says: of a thrown one the number is lost. */
type Carried = { chainId: string } & ({ result: unknown } | { error: { code: number; message: string } });

/**
 * Announces a wallet to a page (EIP-6963), and returns it. The key stays on this side; the page gets only what a wallet's provider gives.
 */
export async function giveWallet(
  page: Page,
  account: PrivateKeyAccount,
  info: Announced = FIRST,
): Promise<TestWallet> {
  const wallet = new TestWallet(account);
  const door = `wallet_${info.uuid.replaceAll("-", "")}`;
  const answer = async (method: string, params: unknown[]): Promise<Carried> => {
    try {
      const result = await wallet.request(method, params);
      return { result, chainId: wallet.chainId };
    } catch (error) {
      if (!(error instanceof ProviderError)) throw error;
      return { error: { code: error.code, message: error.message }, chainId: wallet.chainId };
    }
  };
  await page.context().exposeFunction(door, answer);
  await page.context().addInitScript(announcing, { door, info });
  return wallet;
}

/** Runs in the page: a provider of EIP-1193 in front of the wallet, which tells of another chain as it is changed. */
function announcing({ door, info }: { door: string; info: Announced }): void {
  const ask = (
    window as unknown as Record<string, (method: string, parameters: unknown[]) => Promise<Carried>>
  )[door];
  const listeners = new Set<(value: unknown) => void>();
  let active = "";
  const request = async ({ method, params = [] }: { method: string; params?: unknown[] }) => {
    const carried = await ask?.(method, params);
    if (!carried) throw new Error("the wallet is gone");
    const isAnother = active !== "" && carried.chainId !== active;
    active = carried.chainId;
    if (isAnother) listeners.forEach((listener) => listener(active));
    // As wallets do: what is thrown is no Error.
    if ("error" in carried) throw carried.error;
    return carried.result;
  };
  const detail = Object.freeze({
    info: { ...info, icon: "data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg'/>" },
    provider: {
      request,
      on: (event: string, listener: (value: unknown) => void) =>
        event === "chainChanged" ? listeners.add(listener) : undefined,
      removeListener: (_: string, listener: (value: unknown) => void) => listeners.delete(listener),
    },
  });
  const announce = () => window.dispatchEvent(new CustomEvent("eip6963:announceProvider", { detail }));
  window.addEventListener("eip6963:requestProvider", announce);
  announce();
}
