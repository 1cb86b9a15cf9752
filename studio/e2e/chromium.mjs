/**
 * Chromium for tests and measurements, also apart from the machine's network: it cuts every request that waits for a connection
 * when an address comes to the machine or leaves it, and where applications come and go that happens all the time. In a network
 * namespace of its own it sees nothing of that.
 *
 * The namespace has nothing but loopback. Ports of it lead to the same ports of the machine's loopback, through sockets that are
 * files: those know no network namespaces.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { lead } from "./lead.mjs";

export const BROWSER = process.env["CHROMIUM"] ?? "/usr/bin/chromium";
export const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const LEAD = fileURLToPath(new URL("./lead.mjs", import.meta.url));
/** Its loopback is down at first. The program that follows is the same process. */
const WITH_LOOPBACK = 'ip link set lo up && exec "$@"';

/** Chromium in a network namespace of its own, in which these ports lead to those of the machine's loopback. It needs root. */
export async function startApart(ports) {
  const undo = [];
  const stop = async () => {
    for (const each of undo.splice(0).reverse()) await each();
  };
  try {
    const folder = await mkdtemp(join(tmpdir(), "openmesh-apart-"));
    undo.push(() => rm(folder, { recursive: true, force: true }));
    for (const port of ports)
      undo.push(await lead({ path: join(folder, String(port)) }, { host: "127.0.0.1", port }));
    const holder = spawnHolder(folder, ports);
    undo.push(() => endOf(holder));
    await ready(holder);
    const program = join(folder, "chromium");
    const entered = `exec nsenter --net=/proc/${holder.pid}/ns/net "${BROWSER}" "$@"`;
    await writeFile(program, `#!/bin/sh\n${entered}\n`, { mode: 0o755 });
    const browser = await chromium.launch({ executablePath: program, args: FLAGS });
    undo.push(() => browser.close());
    return { browser, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** The process that holds the namespace and leads its ports. */
function spawnHolder(folder, ports) {
  const led = [process.execPath, LEAD, "within", folder, ...ports.map(String)];
  const holder = spawn("unshare", ["--net", "--", "sh", "-c", WITH_LOOPBACK, "sh", ...led], {
    stdio: ["pipe", "pipe", "inherit"],
    env: { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` },
  });
  // One that has gone is told by its end.
  holder.stdin.on("error", () => undefined);
  return holder;
}

/** Waits until the ports are led. */
async function ready(holder) {
  const ends = once(holder, "exit").then(([code]) => {
    throw new Error(`no network namespace for Chromium (unshare and ip, as root): it ended with ${code}`);
  });
  // Where it is ready its later end is no failure, and heard by nobody.
  ends.catch(() => undefined);
  await Promise.race([once(createInterface({ input: holder.stdout }), "line"), ends]);
}

async function endOf(holder) {
  if (holder.pid === undefined || holder.exitCode !== null || holder.signalCode !== null) return;
  const exited = once(holder, "exit");
  holder.stdin.end();
  await exited;
}
