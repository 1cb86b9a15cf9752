/** A machine that has something on every page of Studio, good and bad: for eyes, and not for tests. */
import type { AppJob, FileEntry, Usage } from "../src/api/xnode";
import { application, generation, type FakeAgent } from "./agent";
import { MIB, planned } from "./furnished";
import {
  ago,
  furnishAccess,
  furnishAlerts,
  furnishBackups,
  furnishDoors,
  furnishLending,
  furnishMachines,
  furnishProcesses,
  furnishStore,
  later,
  WALLET,
} from "./kept";

const WHOLE_DOCUMENT = `version: 1
machine:
  backups:
    shed:
      kind: folder
      address: /mnt/backup/xnode
applications:
  cache:
    image: redis:7
  db:
    image: postgres:16
    volumes:
      data:
        path: /var/lib/postgresql/data
        size: 1 GiB
    backup:
      to: shed
      schedule: "30 3 * * *"
  site:
    image: nginx:1
    ports:
      http:
        port: 80
        protocol: http
    domains:
      "shop.example.org":
        port: http
        audience: wallets
        wallets:
          - "${WALLET}"
      "shop.lan":
        port: http
`;

/** Something on every page of applications and of the machine, good and bad. */
export function furnishWhole(agent: FakeAgent): void {
  furnishMachine(agent);
  furnishApplications(agent);
  furnishHistory(agent);
  furnishInside(agent);
  furnishBackups(agent);
  furnishLending(agent);
  furnishMachines(agent);
  furnishProcesses(agent);
  furnishDoors(agent);
  furnishAccess(agent);
  furnishAlerts(agent);
  furnishStore(agent);
}

const FETCHING = "fetch nginx:2 (1a2b3c4d, 12 MiB)";

function furnishMachine(agent: FakeAgent): void {
  agent.info = {
    ...agent.info,
    current: 3,
    wanted: 4,
    work: {
      state: "works",
      step: FETCHING,
      bytes: [3 * MIB, 12 * MIB],
      troubles: [
        {
          application: "db",
          cause: "gate db 5f0c1d2e3a4b.0: not healthy within 1m: pg_isready ended with 2: no response",
          attempts: 3,
          again_in_ms: 41_000,
        },
      ],
      looked_at: ago(0.05),
    },
    in_use: {
      memory_bytes: 1_900 * MIB,
      processors: 4,
      load_milli: 1_430,
      disk_bytes: 61 * 2 ** 30,
      disk_all_bytes: 81 * 2 ** 30,
    },
    lacks: ["loop devices: load the module loop (modprobe loop), or install the kernel's extra modules"],
  };
  agent.secrets = [
    { name: "db-password", version: 2, at: ago(90), used_by: { db: 2 } },
    { name: "token", version: 1, at: ago(9_000), used_by: {} },
  ];
}

function furnishApplications(agent: FakeAgent): void {
  agent.applications = [
    application("blog", {
      state: "starting",
      returned: {
        generation: 2,
        cause: "failed before it had traffic: http://10.89.0.5:8080/health answers 503\nthe database starts",
        returned_by: 3,
        serves: 3,
      },
    }),
    application("cache", {
      ports: { redis: "127.0.0.1:6379/tcp" },
      volumes: { data: "1f2e3d4c5b6a79880123456789abcdef line 1" },
      conditions: [{ kind: "throttled", index: 0, text: "it waited 43.1 % of the last 60 s" }],
    }),
    application("db", {
      state: "crash_loop",
      cause: "ended with code 1 after 12 ms",
      ports: { sql: null },
      volumes: { data: "0123456789abcdef0123456789abcdef line 2" },
    }),
    application("site", {
      restart: {
        number: 2,
        by: WALLET,
        reason: "it was slow",
        at: ago(12),
        left: [],
        is_over: true,
      },
    }),
  ];
  agent.documents.set(4, WHOLE_DOCUMENT);
  agent.documents.set(3, WHOLE_DOCUMENT);
  for (let line = 1; line <= 40; line += 1)
    agent.write("site", `10.89.0.1 - - "GET /articles/${line} HTTP/1.1" 200 ${line * 311}`);
  agent.write("site", `\x1b[31mline 41: upstream is slow, ${"and slower ".repeat(12)}\x1b[0m`, "stderr");
  const cost = { runs: true, hour: "0.022", month: "16.06", processors: "14.6", memory: "1.46", gpus: "0" };
  const stopped = { ...cost, runs: false, hour: "0.0001", month: "0.073", processors: "0", memory: "0" };
  agent.costs = {
    prices: { currency: "EUR", processor: "0.01", memory: "0.004", disk: "0.0001", gpu: "0" },
    applications: [
      { ...cost, name: "blog", disk: "0" },
      { ...stopped, name: "cache", disk: "0.073" },
      { ...cost, name: "db", disk: "0.73" },
      { ...cost, name: "site", disk: "0" },
    ],
    hour: "0.0661",
    month: "48.253",
  };
  const costly = "generation 5 after 4: 3 steps\ncost: 64.31 EUR a month instead of 48.25 (redis 16.06)\n";
  const { plan } = planned();
  agent.plan = () => planned({ generation: 5, after: 4, plan: costly + plan.slice(plan.indexOf("\n") + 1) });
}

function furnishHistory(agent: FakeAgent): void {
  const all = ["blog", "cache", "db", "site"];
  agent.generations = [
    generation(4, all, { is_wanted: true, by: WALLET, reason: "a newer nginx", at: ago(1) }),
    generation(3, all, { serves: true, by: "openmesh", reason: "generation 2 failed", at: ago(50) }),
    generation(2, all, {
      by: WALLET,
      reason: "the blog",
      failed: "blog failed before it had traffic: not healthy within 1m",
      returned_by: 3,
      at: ago(52),
    }),
    generation(1, ["cache", "db", "site"], { at: ago(9_000) }),
  ];
  agent.differences.set("3 4", [
    "~ portable.applications.site.image: docker.io/library/nginx:1 -> docker.io/library/nginx:2",
    "+ portable.applications.site.variables.TZ: Etc/UTC",
    "- portable.applications.db.limits.memory: 512 MiB",
  ]);
  const of = (number: number) => ({ generation: number });
  agent.tell("wanted", `generation 2 is wanted by ${WALLET}: the blog`, of(2));
  agent.tell("done", "create blog 77aa88bb99cc.0 (212 ms)", { ...of(2), application: "blog" });
  agent.tell("done", "start blog 77aa88bb99cc.0 (31 ms)", { ...of(2), application: "blog" });
  agent.tell("failed", "gate blog 77aa88bb99cc.0: healthy within 1m, without traffic: it answers 503", {
    ...of(2),
    application: "blog",
  });
  agent.tell(
    "returned",
    "blog failed before it had traffic: not healthy within 1m; generation 3 serves",
    of(2),
  );
  agent.tell("found", "site 8a9b0c1d2e3f.0: its link had gone", { ...of(3), application: "site" });
  agent.tell("repaired", "site 8a9b0c1d2e3f.0: its link was made again", { ...of(3), application: "site" });
  agent.tell("secret", "version 2 of the secret `db-password` was set", of(3));
  agent.tell("wanted", `generation 4 is wanted by ${WALLET}: a newer nginx`, of(4));
  agent.tell("begins", FETCHING, { ...of(4), application: "site" });
  agent.tell("held", "db: its volume data is full", { ...of(4), application: "db" });
}

function furnishInside(agent: FakeAgent): void {
  const point = (minutes: number) => ({
    at: ago(minutes),
    processors_milli: Math.round(250 + 200 * Math.sin(minutes / 4)),
    throttled_permille: minutes % 9 === 0 ? 120 : 0,
    memory_bytes: Math.round((72 + 20 * Math.cos(minutes / 7)) * MIB),
    memory_limit_bytes: 128 * MIB,
    processes: 3 + (minutes % 4),
    pressure_cpu_permille: 12,
    pressure_memory_permille: 0,
    pressure_io_permille: 40,
    disk_used_bytes: (200 + minutes) * MIB,
    disk_bytes: 1_024 * MIB,
    disk_fullest_permille: 240,
    received_bits: 40_000 + 900 * minutes,
    sent_bits: 2_000_000,
    oom_kills: minutes === 30 ? 1 : 0,
  });
  const usage: Usage = {
    from: ago(60),
    to: ago(0),
    step_s: 60,
    instances: [{ index: 0, points: Array.from({ length: 58 }, (_, at) => point(59 - at)) }],
    conditions: [{ kind: "throttled", index: 0, text: "it waited 43.1 % of the last 60 s" }],
  };
  agent.also.set("GET /applications/site/usage", () => ({ json: usage }));
  agent.also.set("GET /applications/db/jobs", () => ({ json: jobs() }));
  const path = "/applications/db/files";
  agent.also.set(`GET ${path}`, () => ({
    json: {
      volumes: [{ name: "data", line: 2, cause: null, bytes: 1_024 * MIB, bytes_free: 512 * MIB }],
      root: "5f0c1d2e3a4b.0",
      is_switching: false,
    },
  }));
  const entries = [
    entry("base", "folder"),
    entry("link-out", "link", { target: "/etc/passwd" }),
    entry("db.conf", "file", { bytes: CONTENT.length, tag: "t1" }),
    entry(`a-name-that-is-long-${"and-longer-".repeat(6)}.log`, "file", { bytes: 8_123_456, tag: "t2" }),
  ];
  agent.also.set(`GET ${path}/volumes/data`, () => ({ json: { entries, more: false } }));
  agent.also.set(`GET ${path}/volumes/data/content`, () => (response) => {
    response.writeHead(200, { "content-type": "application/octet-stream", etag: '"t1"' });
    response.end(CONTENT);
  });
}

const CONTENT = "workers = 4\n# a comment that is longer than a narrow page, and goes on\nlisten = 5432\n";

const entry = (name: string, kind: FileEntry["kind"], more: Partial<FileEntry> = {}): FileEntry => ({
  name,
  kind,
  bytes: 0,
  mode: kind === "folder" ? 0o755 : 0o644,
  user: 999,
  group: 999,
  modified: ago(200),
  target: null,
  tag: null,
  ...more,
});

function jobs(): AppJob[] {
  const run = { occasion: "schedule" as const, by: "its schedule", revision: "5f0c1d2e3a4b" };
  const over = { is_running: false, lasted_ms: 81_000 };
  return [
    {
      name: "vacuum",
      command: ["vacuumdb", "--all", "--analyze-in-stages"],
      occasion: "schedule",
      schedule: "0 4 * * 6",
      next: later(300),
      timeout_ms: 1_800_000,
      runs: [
        { ...run, number: 3, at: ago(1), is_running: true, code: null, words: null, lasted_ms: null },
        { ...run, ...over, number: 2, at: ago(10_000), code: 1, words: "it ended with code 1" },
        { ...run, ...over, number: 1, at: ago(20_000), code: 0, words: "it ended with code 0" },
      ],
    },
    {
      name: "report",
      command: ["/app/report"],
      occasion: "demand",
      schedule: null,
      next: null,
      timeout_ms: 600_000,
      runs: [],
    },
  ];
}
