/** What a machine keeps and lets in, with something on every page of it: backups, doors, access, alerts, the store. For eyes, and not for tests. */
import type { Alert, AppProcess, Backup } from "../src/api/xnode";
import { joinedMachine, loan, machineReport, type FakeAgent } from "./agent";
import { field, MIB, preflight, template } from "./furnished";

const MINUTE_MS = 60_000;
export const WALLET = "0x52908400098527886E0F7030069857D2E4169EE7";
/** A moment so many minutes ago, and one in so many. */
export const ago = (minutes: number): string => later(-minutes);
export const later = (minutes: number): string => new Date(Date.now() + minutes * MINUTE_MS).toISOString();

export function furnishBackups(agent: FakeAgent): void {
  const kept = (number: number, minutes: number): Backup => ({
    id: `${number}a`.repeat(32),
    application: "db",
    target: "shed",
    node: "attic",
    generation: 1,
    number,
    at: ago(minutes),
    volumes: { data: 212 * MIB },
    bytes: 212 * MIB,
    stored_bytes: 31 * MIB,
    still_ms: 120,
  });
  const last = kept(2, 600);
  const begun = { application: "db", by: WALLET, begun: ago(1), bytes: 64 * MIB, all_bytes: 212 * MIB };
  agent.backups = {
    keys: {
      owner: `age1${"q".repeat(58)}`,
      node: "age1node",
      guest: "12".repeat(32),
      reading: "34".repeat(32),
    },
    machine: "attic",
    targets: [
      {
        name: "shed",
        place: "the folder /mnt/backup/xnode",
        repository: "c0ffee".repeat(10),
        state: "late",
        cause: "the folder was not mounted at 03:30",
        tended: ago(300),
      },
      {
        name: "attic",
        place: "Xnode efefefefefefefef at attic.lan:7790",
        repository: "decade".repeat(10),
        state: "ok",
        cause: null,
        tended: ago(200),
        room: { all_bytes: 200 * 2 ** 30, used_bytes: 188 * 2 ** 30, until: later(20_000) },
      },
    ],
    applications: [
      {
        name: "db",
        target: "shed",
        state: "late",
        cause: "the folder was not mounted at 03:30",
        next: later(400),
        last,
        drill_state: "ok",
        drill_cause: null,
        next_drill: null,
        drill: { backup: last.id, of: last.at, at: ago(500), bytes: last.bytes, took_ms: 900, fault: null },
        awaits_last: false,
        due_since: ago(90),
        missed: 2,
        failures: 1,
        again_in_ms: 240_000,
      },
    ],
    jobs: [
      {
        ...begun,
        number: 1,
        kind: "drill",
        phase: "done",
        ended: {
          at: ago(500),
          ok: true,
          text: "everything was read back",
          code: null,
          backup: last.id,
          generation: null,
          events: null,
        },
      },
      { ...begun, number: 2, kind: "backup", phase: "reads data", ended: null },
    ],
  };
  agent.also.set("GET /applications/db/backups", () => ({ json: [last, kept(1, 2_040)] }));
  const line = { volume: "data", by: WALLET, admitted: true };
  agent.also.set("GET /applications/db/lines", () => ({
    json: [
      { ...line, number: 1, parent: null, reason: "the first one", at: ago(9_000), in_use: false },
      { ...line, number: 2, parent: 1, reason: "a restore", at: ago(300), in_use: true },
    ],
  }));
}

export function furnishLending(agent: FakeAgent): void {
  agent.lending = {
    ...agent.lending,
    listens: ["[::]:7790"],
    shut: true,
    loans: [
      loan("ann", {
        readers: ["cd".repeat(32)],
        room_bytes: 200 * 2 ** 30,
        used_bytes: 150 * 2 ** 30,
        held_bytes: 33 * 2 ** 30,
        objects: 12_345,
        until: later(18_000),
        seen: ago(7),
        by: WALLET,
        at: ago(60_000),
      }),
      loan("bob", {
        standing: "ended",
        used_bytes: 300 * MIB,
        objects: 42,
        brings_back: true,
        seen: ago(9_000),
      }),
      loan("eve", { standing: "over", until: ago(3_000), trouble: "its disk failed: Input/output error" }),
    ],
  };
}

export function furnishMachines(agent: FakeAgent): void {
  const troubled = [
    { name: "db", state: "crash_loop" },
    { name: "a-name-that-is-rather-long", state: "held" },
  ];
  const nothing = { heard: null, from: null, clock_ms: null, report: null };
  agent.machines = [
    joinedMachine("shed", { owner: WALLET, report: machineReport("shed", { url: "https://shed.lan" }) }),
    joinedMachine("barn-with-a-long-name.example.org", {
      owner: WALLET,
      clock_ms: -1_300_000,
      report: machineReport("barn", { running: 2, troubled, critical: 2, warnings: 1, load_milli: 9_400 }),
    }),
    joinedMachine("roof", { owner: WALLET, state: "silent", heard: ago(190) }),
    joinedMachine("yard", { owner: WALLET, state: "arrives", ...nothing }),
  ];
  const invitation = { owner: WALLET, by: WALLET, left_ms: 0, machine: null };
  agent.invitations = [
    { ...invitation, id: "i4", state: "open", made: ago(10), left_ms: 3_000_000 },
    { ...invitation, id: "i3", state: "used", made: ago(90), machine: "m-shed" },
    { ...invitation, id: "i2", state: "expired", made: ago(900) },
    { ...invitation, id: "i1", state: "revoked", made: ago(9_000) },
  ];
  agent.join = {
    state: "joined",
    at: "https://hall.lan",
    node: "hall",
    id: "m-attic",
    owner: WALLET,
    since: ago(20_000),
    told: ago(3),
    clock_ms: 4,
    trouble: "https://hall.lan cannot be reached from this machine: connection refused",
  };
}

/** Processes of an application, some of which are not well. */
export function furnishProcesses(agent: FakeAgent): void {
  const process = (pid: number, more: Partial<AppProcess>): AppProcess => ({
    of: "instance 0",
    pid: 4_200 + pid,
    pid_inside: pid,
    parent: 4_201,
    parent_inside: pid === 1 ? null : 1,
    user: 101,
    name: "nginx",
    state: "sleeping",
    started: ago(700),
    cpu_ms: 81_000,
    processors_milli: 12,
    over_ms: 3_000,
    memory_bytes: 9 * MIB,
    is_share: true,
    threads: 1,
    command: ["nginx:", "worker", "process"],
    is_cut: false,
    ...more,
  });
  const long = ["/usr/sbin/nginx", "-g", "daemon off;", "-c", `/etc/${"a-long-folder/".repeat(8)}nginx.conf`];
  const asks = ["sh", "-c", "curl -u [secret] https://example.org"];
  agent.also.set("GET /applications/site/processes", () => ({
    json: {
      at: ago(0),
      processes: [
        process(1, { user: 0, command: long, memory_bytes: 14 * MIB }),
        process(29, { state: "running", processors_milli: 1_430, threads: 8 }),
        process(30, { state: "waiting", is_share: false, memory_bytes: 310 * MIB }),
        process(71, { of: "job report run 3", name: "sh", command: asks }),
        process(72, { state: "ended", command: [], memory_bytes: 0, threads: 0 }),
      ],
      left_out: 3,
    },
  }));
}

export function furnishDoors(agent: FakeAgent): void {
  const now = Math.floor(Date.now() / 1_000);
  const day = 86_400;
  agent.doors = {
    ...agent.doors,
    serial: 17,
    connections: 12,
    malformed: 3,
    listeners: [
      { address: "0.0.0.0:443", tls: true, route: null },
      { address: "127.0.0.1:8088", tls: false, route: "site/http" },
    ],
    hosts: [
      { name: "shop.example.org", route: "site/http", access: "1 wallet", is_secure: true },
      { name: "shop.lan", route: "site/http", access: "everybody", is_secure: false },
    ],
    routes: [
      {
        name: "site/http",
        admission: "open",
        waiting: 0,
        held: 14,
        refused: 0,
        longest_hold_ms: 812,
        instances: [
          {
            name: "8a9b0c1d2e3f.0",
            drains: false,
            open: 3,
            reading_requests: 12_345,
            writing_requests: 67,
            cut: 0,
          },
        ],
      },
    ],
    certificates: [
      {
        name: "shop.example.org",
        maker: "acme",
        until: now + 12 * day,
        renews_at: now + day,
        failure: {
          count: 2,
          at: now - 600,
          again: now + 600,
          cause: "the authority does not reach port 80 of shop.example.org",
          remedy: "let port 80 or 443 through to this machine",
        },
        note: null,
      },
      {
        name: "shop.lan",
        maker: "house",
        until: now + 80 * day,
        renews_at: now + 50 * day,
        failure: null,
        note: null,
      },
    ],
    remarks: ["0.0.0.0:80 is taken by a process of the host: nothing is served there"],
  };
}

export function furnishAccess(agent: FakeAgent): void {
  agent.me = { who: WALLET, role: "owner", from: "127.0.0.1:50123", id: "a1" };
  agent.members = [
    { wallet: WALLET, role: "owner", name: "Ada", since: ago(20_000), by: "the settings", sessions: 1 },
    { wallet: `0x${"ab".repeat(20)}`, role: "viewer", name: null, since: ago(90), by: WALLET, sessions: 0 },
  ];
  agent.sessions = [
    {
      id: "a1",
      wallet: WALLET,
      role: "owner",
      from: "127.0.0.1:50123",
      made: ago(200),
      used: ago(0),
      left_ms: 40_000_000,
      open: 2,
      current: true,
    },
  ];
  agent.roles = [
    {
      name: "deploys",
      of: "operator",
      rights: ["POST /v1/xnode/applications", "* /v1/xnode/applications/site/**", "GET /v1/xnode/events"],
      since: ago(1_000),
      by: WALLET,
      used: 1,
    },
  ];
  agent.keys = [
    {
      id: "k1",
      name: "ci",
      role: "operator",
      only: "deploys",
      maker: WALLET,
      made: ago(900),
      left_ms: null,
      used: ago(30),
    },
  ];
  const previous = "0123456789abcdef".repeat(4);
  agent.audit = [
    {
      sequence: 12,
      at: ago(2),
      kind: "refused",
      who: "key ci",
      role: "operator",
      from: "10.0.0.7 through 127.0.0.1:50124",
      method: "DELETE",
      path: "/v1/xnode/applications/db",
      status: 403,
      code: "role",
      previous,
    },
    { sequence: 11, at: ago(3), kind: "ended", who: WALLET, of: 10, status: 200, previous },
    {
      sequence: 10,
      at: ago(3),
      kind: "begun",
      who: WALLET,
      role: "owner",
      from: "127.0.0.1:50123",
      method: "POST",
      path: "/v1/xnode/applications",
      previous,
    },
  ];
}

export function furnishAlerts(agent: FakeAgent): void {
  const alert: Alert = {
    id: 7,
    kind: "down",
    application: "db",
    subject: null,
    severity: "critical",
    cause: "its instance ends again and again: ended with code 1 after 12 ms",
    remedy: "look at its log; go back to a generation that ran",
    begin: ago(14),
    opened: ago(13),
    closed: null,
    acknowledged: null,
  };
  agent.alerts = {
    open: [
      alert,
      {
        ...alert,
        id: 6,
        kind: "backup_late",
        severity: "warning",
        cause: "no backup since 03:30",
        remedy: "mount /mnt/backup",
        acknowledged: { by: WALLET, at: ago(5) },
      },
    ],
    closed: [{ ...alert, id: 3, kind: "disk", application: null, severity: "warning", closed: ago(400) }],
    webhooks: [
      {
        name: "phone",
        host: "https://hooks.example.org",
        cause: null,
        waiting: 1,
        last_failure: "it answered 503",
      },
    ],
    dropped: [{ webhook: "phone", alert: 2, event: "opened", at: ago(3_000), cause: "tried 30 times" }],
    dropped_count: 1,
    suppressed: 2,
  };
}

export function furnishStore(agent: FakeAgent): void {
  const redis = template("redis", "Redis 7.0", "database", [
    field("memory", "size", { default: "64 MiB", least: "16 MiB", help: "More than its values need." }),
    field("policy", "choice", { default: "noeviction", choices: ["noeviction", "allkeys-lru"] }),
    field("password", "secret", { generated: 32 }),
    field("port", "port", { default: "127.0.0.1:auto", help: "`auto` takes a free one." }),
    field("fsync", "choice", { default: "everysec", choices: ["everysec", "always"], advanced: true }),
  ]);
  redis.notes = ["Another application reaches it by its name on port 6379 when it has a link to it."];
  redis.data = [{ volume: "data", holds: "The log of all writes.", single_writer: true }];
  const failed = template("wordpress", "WordPress", "web");
  failed.summary.mark = "failed";
  const never = template("geth", "Ethereum node (geth)", "blockchain");
  Object.assign(never.summary, { mark: "none", not_run_here: true });
  const foreign = template("wiki", "Wiki", "web");
  Object.assign(foreign.summary, { catalogue: "acme", publisher: "Acme Cooperative" });
  agent.templates = [redis, template("static-site", "Static site", "web"), failed, never, foreign];
  const catalogue = {
    key: "ab".repeat(32),
    publisher: "Acme Cooperative",
    sequence: 12,
    signed: ago(4_000),
    expires: later(90_000),
    checked: ago(40),
    templates: ["wiki"],
    problems: [] as string[],
    failure: null,
  };
  agent.catalogues = [
    {
      ...catalogue,
      name: "acme",
      address: "https://templates.example.org",
      state: "current",
      problems: ["redis: a built-in template has this name"],
    },
    {
      ...catalogue,
      name: "guild",
      address: "/srv/guild",
      state: "old",
      publisher: "The Guild of Long Names and of Longer Templates",
      checked: ago(9_000),
      failure: { code: "away", message: "/srv/guild cannot be read: it is not mounted", at: ago(12) },
    },
    { ...catalogue, name: "gone", address: "https://gone.example.org", state: "expired", expires: ago(60) },
    {
      ...catalogue,
      name: "new",
      address: "https://new.example.org",
      state: "absent",
      publisher: null,
      sequence: null,
      signed: null,
      expires: null,
      checked: null,
      templates: [],
      failure: {
        code: "bad_signature",
        message: "its index is not signed by the key that the document names",
        at: ago(1),
      },
    },
  ];
  agent.also.set("POST /templates/redis/preflight", () => ({
    json: preflight({
      applications: [
        {
          name: "redis",
          template: "redis",
          memory_bytes: 64 * MIB,
          disk_bytes: 2 ** 30,
          ports: [["redis", "127.0.0.1:auto"]],
          domains: [],
          secrets: ["redis-password"],
          open: null,
        },
      ],
    }),
  }));
}
