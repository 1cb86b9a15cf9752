/** A real agent of an Xnode: the built binary as root, with name, folders, face and network of its own, and removed without a trace. */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, cp, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BINARY, freePort, heard, TARGET } from "./harness";

const run = promisify(execFile);

/** Programs that such a test needs, with their packages in Debian. */
const PROGRAMS: Record<string, string> = {
  nft: "nftables",
  ip: "iproute2",
  losetup: "mount",
  unshare: "util-linux",
  mmdebstrap: "mmdebstrap",
  "age-keygen": "age",
};
/** Folders of programs, also those that only root has in its path. */
const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
/** What an agent has beside its binary, and how that is built. */
const BESIDE: Record<string, string> = {
  "openmesh-shim": "cargo build --locked --workspace --bin openmesh-shim",
  "openmesh-unpack": "cargo build --locked --workspace --bin openmesh-unpack",
  "openmesh-door": "cargo build --locked --workspace --bin openmesh-door",
  "openmesh-cage-helper": `cargo build --locked --manifest-path crates/cage/helper/Cargo.toml --target-dir ${TARGET}`,
};
/** The release of Debian whose packages the template names. */
const RELEASE = "bookworm";
const TEMPLATE = fileURLToPath(new URL("../../crates/templates/catalogue/static-site.yaml", import.meta.url));
/** Images of earlier runs, by the template that they are made of. */
const KEPT = join(TARGET, "e2e-images");
/** Parts of an agent's store of images that say all of it: the rest is made of them. */
const PARTS = ["blobs", "recipes"];

/** The machine's lack for such an agent; `null` where there can be one. */
export function lacking(): string | null {
  if (process.getuid?.() !== 0) return "an agent needs root";
  const isThere = (program: string) => PATH.split(":").some((folder) => existsSync(join(folder, program)));
  const missing = Object.entries(PROGRAMS).find(([program]) => !isThere(program));
  if (missing) return `${missing[0]} is not installed (apt-get install ${missing[1]})`;
  const release = /^VERSION_CODENAME="?([a-z]+)/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  return release === RELEASE ? null : `the template is of ${RELEASE}, and this is ${release ?? "no Debian"}`;
}

export class Machine {
  /** Instance name: with at most seven letters it stands in the names of links as it is. */
  readonly name = `e${process.pid.toString(16)}`;
  readonly folder: string;
  /** Port of the face, at which Studio is. */
  readonly port: number;
  #agent: ChildProcess | null = null;

  private constructor(folder: string, port: number) {
    this.folder = folder;
    this.port = port;
  }

  /** Names the owner, and starts the agent. */
  static async start(owner: string): Promise<Machine> {
    const folderOf = join(BINARY, "..");
    for (const [program, build] of Object.entries(BESIDE))
      if (!existsSync(join(folderOf, program))) throw new Error(`${program} is not in ${folderOf}: ${build}`);
    const folder = await mkdtemp(join(tmpdir(), "openmesh-real-"));
    // The ids of applications find their way below it.
    await chmod(folder, 0o711);
    const machine = new Machine(folder, await freePort());
    try {
      await machine.#begin(owner);
      return machine;
    } catch (error) {
      await machine.end().catch(() => undefined);
      throw error;
    }
  }

  async #begin(owner: string): Promise<void> {
    await this.openmesh("xnode", "init", "--owner", owner, "--face", `127.0.0.1:${this.port}`);
    await this.#bringImages();
    // Tests of Rust and measurements have other second numbers, and an agent that is not told has 10.89.0.0/16.
    const id = process.pid;
    const subnet = `10.${160 + (id % 32)}.${(id >> 5) % 256}.0/24`;
    const agent = spawn(BINARY, ["xnode", "agent", "--subnet", subnet], {
      stdio: ["ignore", "pipe", "pipe"],
      // It ends with this process, however that ends; what it runs goes on until it is removed.
      env: { ...this.#environment(), OPENMESH_STOP_WITH: String(id) },
    });
    this.#agent = agent;
    await heard(agent, (line) => line.startsWith("the agent `"));
  }

  #environment(): NodeJS.ProcessEnv {
    return {
      ...process.env,
      OPENMESH_LOG: "warn",
      OPENMESH_XNODE: this.name,
      OPENMESH_XNODE_STATE: this.state,
      OPENMESH_XNODE_RUN: join(this.folder, "run"),
    };
  }

  /** Folder of what outlives the machine's run. */
  get state(): string {
    return join(this.folder, "state");
  }

  /** Runs a command of the product for this agent, and returns what it prints. */
  async openmesh(...words: string[]): Promise<string> {
    return (await run(BINARY, words, { env: this.#environment() })).stdout;
  }

  /** Makes a key for backups, as a person does it elsewhere; returns its public half. */
  async ownerKey(): Promise<string> {
    const file = join(this.folder, "owner.key");
    await run("age-keygen", ["-o", file]);
    const key = /^# public key: (age1\S+)$/m.exec(await readFile(file, "utf8"))?.[1];
    if (key === undefined) throw new Error(`${file} names no public key`);
    return key;
  }

  /** A place for backups on this machine, as a person has it on another disk. */
  async backupPlace(): Promise<string> {
    const disk = join(this.folder, "shed");
    await mkdir(disk);
    return join(disk, "xnode");
  }

  /** Lays images of an earlier run into the store: a recipe gives the same one each time, and making it takes half a minute. */
  async #bringImages(): Promise<void> {
    const kept = keptImages();
    if (existsSync(kept)) await cp(kept, join(this.state, "images"), { recursive: true });
  }

  /** Keeps the images for the next run, in the place of those of other templates. */
  async keepImages(): Promise<void> {
    const kept = keptImages();
    if (existsSync(kept)) return;
    await rm(KEPT, { recursive: true, force: true });
    const made = `${kept}.new`;
    for (const part of PARTS)
      await cp(join(this.state, "images", part), join(made, part), { recursive: true });
    await rename(made, kept);
  }

  /** Everything of the agent that the machine shows: mounts, links, tables, loop devices, processes, control groups. */
  async traces(): Promise<string[]> {
    const texts = await Promise.all([
      readFile("/proc/self/mountinfo", "utf8"),
      said("ip", "-o", "link"),
      said("nft", "list", "tables"),
      said("losetup", "-a"),
      said("ps", "-eo", "args"),
      said("find", "/sys/fs/cgroup", "-maxdepth", "4", "-type", "d", "-name", "*openmesh*"),
    ]);
    const own = [this.folder, `openmesh-${this.name}`, `om${this.name}`];
    return texts.flatMap((text) =>
      text.split("\n").filter((line) => own.some((word) => line.includes(word))),
    );
  }

  /** Removes the agent with everything of it. What could not be removed stays where it is, and is said. */
  async end(): Promise<void> {
    await this.openmesh("xnode", "uninstall", "--wipe", "--yes");
    const agent = this.#agent;
    if (agent !== null && agent.exitCode === null && agent.signalCode === null) await once(agent, "exit");
    await rm(this.folder, { recursive: true, force: true });
  }
}

const keptImages = () =>
  join(KEPT, createHash("sha256").update(readFileSync(TEMPLATE)).digest("hex").slice(0, 16));

/** Output of a program of the machine, also where it ends with a complaint, as about what goes meanwhile. */
async function said(program: string, ...words: string[]): Promise<string> {
  try {
    return (await run(program, words, { env: { ...process.env, PATH }, maxBuffer: 64 << 20 })).stdout;
  } catch (error) {
    const { stdout } = error as { stdout?: string };
    if (stdout === undefined) throw error;
    return stdout;
  }
}
