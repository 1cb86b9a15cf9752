/**
 * A small agent of an Xnode for tests of its pages: Studio as it was built, with the headers of production, and an API that
 * answers as the agent's does. What happens on its machine is said by the test.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import type {
  AccessSession,
  Alerts,
  ApiKey,
  Application,
  AuditRecord,
  BackupOverview,
  Catalogue,
  Costs,
  Deployment,
  Doors,
  EventKind,
  Generation,
  Invitation,
  InvitationWish,
  JoinedMachine,
  JoinInfo,
  Lending,
  Loan,
  LoanWish,
  LogLine,
  MachineReport,
  MadeInvitation,
  Me,
  Member,
  Moves,
  OwnRole,
  SecretInfo,
  TemplateSheet,
  Upgrades,
  XnodeEvent,
  XnodeInfo,
} from "../src/api/xnode";

const DIST = fileURLToPath(new URL("../dist", import.meta.url));
/** The same policy as the gateway's for pages. */
const POLICY =
  "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'";
const TYPES: Record<string, string | undefined> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** What a handler gets of a request. */
interface Asked {
  method: string;
  path: string;
  query: URLSearchParams;
  body: string;
  /** The bearer token. */
  token: string;
}

type Answer = { status?: number; json?: unknown; text?: string } | ((response: ServerResponse) => void);

const refusal = (status: number, code: string, message: string): Answer => ({
  status,
  json: { code, message },
});

export class FakeAgent {
  info: XnodeInfo = {
    agent: "default",
    version: "0.1.0",
    node: "attic",
    current: 1,
    wanted: 1,
    work: { state: "rests", step: null, bytes: null, troubles: [], looked_at: "2026-11-29T10:00:00Z" },
    memory_bytes: 4 * 2 ** 30,
    disk_free_bytes: 20 * 2 ** 30,
    lacks: [],
  };
  applications: Application[] = [];
  documents = new Map<number, string>([[1, "version: 1\napplications: {}\n"]]);
  generations: Generation[] = [generation(1, [])];
  differences = new Map<string, string[]>();
  secrets: SecretInfo[] = [];
  members: Member[] = [];
  sessions: AccessSession[] = [];
  keys: ApiKey[] = [];
  roles: OwnRole[] = [];
  me: Me = { who: "root", role: "owner", from: "the test", id: null };
  /** Asked for by `Authorization`; none where everybody may. */
  token: string | null = null;
  doors: Doors = {
    state: "serves",
    cause: null,
    program: "openmesh-door",
    user: 65_533,
    serial: 1,
    connections: 0,
    malformed: 0,
    listeners: [],
    hosts: [],
    routes: [],
    certificates: [],
    remarks: [],
  };
  templates: TemplateSheet[] = [];
  catalogues: Catalogue[] = [];
  costs: Costs = { prices: null, applications: [], hour: "0", month: "0" };
  moves: Moves = { moves: [], ended: [] };
  /** Newer versions of templates by application; none of one that is not here. */
  readonly upgrades = new Map<string, Upgrades>();
  backups: BackupOverview = {
    keys: { owner: null, node: "age1node" },
    machine: "attic",
    targets: [],
    applications: [],
    jobs: [],
  };
  lending: Lending = {
    key: "ef".repeat(32),
    listens: [],
    troubles: [],
    shut: null,
    disk_free_bytes: 20 * 2 ** 30,
    loans: [],
  };
  machines: JoinedMachine[] = [];
  invitations: Invitation[] = [];
  join: JoinInfo = { ...ALONE };
  audit: AuditRecord[] = [];
  alerts: Alerts = { open: [], closed: [], webhooks: [], dropped: [], dropped_count: 0, suppressed: 0 };
  /** Answers with a plan, or refuses; the test says which. */
  plan: (text: string) => Deployment | { code: string; message: string; status: number } = () => ({
    generation: this.info.wanted + 1,
    after: this.info.wanted,
    applications: [],
    plan: `generation ${this.info.wanted + 1} after ${this.info.wanted}: nothing to do\n`,
    steps: 0,
    destroys: [],
    loses_data: false,
    events: this.#events.length + 1,
  });
  /** Documents, orders and removals that were asked to be done and not only planned. */
  readonly taken: Asked[] = [];
  /** Further routes of a test, asked before all others. */
  readonly also = new Map<string, (asked: Asked) => Answer>();
  #events: XnodeEvent[] = [];
  #logs = new Map<string, LogLine[]>();
  #followers = new Set<{ response: ServerResponse; of: string; next: number }>();
  #server: Server;
  /** As one that is stopped: every request finds a door that has no agent behind it. */
  isAway = false;

  constructor() {
    this.#server = createServer((request, response) => {
      void this.#answer(request, response);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("the server has no port");
    return `http://127.0.0.1:${address.port}`;
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  /** Ends every stream that is open, as an agent that leaves. */
  cut(): void {
    for (const { response } of this.#followers) response.end();
    this.#followers.clear();
  }

  /** Notes an event, and tells those who follow. */
  tell(kind: EventKind, text: string, more: Partial<XnodeEvent> = {}): void {
    this.#events.push({
      sequence: this.#events.length + 1,
      at: new Date().toISOString(),
      kind,
      generation: this.info.wanted,
      application: null,
      text,
      ...more,
    });
    this.#push();
  }

  /** An application writes a line. */
  write(name: string, text: string, stream = "stdout"): void {
    const lines = this.#logs.get(name) ?? [];
    lines.push({ instance: "r1/0", sequence: lines.length + 1, at: new Date().toISOString(), stream, text });
    this.#logs.set(name, lines);
    this.#push();
  }

  #push(): void {
    for (const follower of this.#followers) {
      const all: readonly unknown[] = follower.of === "" ? this.#events : (this.#logs.get(follower.of) ?? []);
      for (const value of all.slice(follower.next)) follower.response.write(`${JSON.stringify(value)}\n`);
      follower.next = all.length;
    }
  }

  #follow(of: string, from: number): Answer {
    return (response) => {
      response.writeHead(200, { "content-type": "application/x-ndjson" });
      response.flushHeaders();
      const follower = { response, of, next: from };
      this.#followers.add(follower);
      response.on("close", () => this.#followers.delete(follower));
      this.#push();
    };
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://agent");
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const asked: Asked = {
      method: request.method ?? "GET",
      path: url.pathname,
      query: url.searchParams,
      body: Buffer.concat(chunks).toString(),
      token: (request.headers.authorization ?? "").replace("Bearer ", ""),
    };
    const answer = url.pathname.startsWith("/v1/") ? this.#api(asked) : await file(url.pathname);
    if (typeof answer === "function") return answer(response);
    const { status = 200, json, text } = answer;
    response.writeHead(status, {
      "content-type": json === undefined ? "text/plain" : "application/json",
      "cache-control": "no-store",
    });
    response.end(json === undefined ? text : JSON.stringify(json));
  }

  #api(asked: Asked): Answer {
    const { method, path } = asked;
    if (!path.startsWith("/v1/xnode")) return refusal(404, "unknown_path", "There is no such path.");
    if (this.isAway) return refusal(502, "no_agent", "The agent does not answer.");
    const route = `${method} ${path.replace("/v1/xnode", "")}`;
    const isOpen = / \/access\/(nonce|sign-in|visit)$/.test(route);
    if (!isOpen && this.token !== null && asked.token !== this.token)
      return refusal(401, "not_signed_in", "nobody is signed in");
    const own = this.also.get(route);
    if (own) return own(asked);
    return this.#machine(asked, route) ?? this.#parts(asked, route) ?? refusal(404, "missing", `no ${route}`);
  }

  #machine(asked: Asked, route: string): Answer | null {
    const { query } = asked;
    switch (route) {
      case "GET ":
        return { json: this.info };
      case "GET /applications":
        return { json: this.applications };
      case "POST /applications":
        return this.#change(asked);
      case "GET /generations":
        return { json: this.generations };
      case "GET /events":
        return this.#follow("", Math.max(0, Number(query.get("from") ?? "0") - 1));
      case "GET /secrets":
        return { json: this.secrets };
      case "GET /doors":
        return { json: this.doors };
      case "GET /access/me":
        return { json: this.me };
      case "GET /access/members":
        return { json: this.members };
      case "GET /access/sessions":
        return { json: this.sessions };
      case "GET /access/keys":
        return { json: this.keys };
      case "GET /access/roles":
        return { json: this.roles };
      case "GET /templates":
        return { json: this.templates.map(({ summary }) => summary) };
      case "GET /catalogues":
        return { json: this.catalogues };
      case "GET /alerts":
        return { json: this.alerts };
      case "GET /costs":
        return { json: this.costs };
      case "GET /backups":
        return { json: this.backups };
      case "GET /loans":
        return { json: this.lending };
      case "GET /moves":
        return { json: this.moves };
      case "GET /machines":
        return { json: { own: machineReport(this.info.node), machines: this.machines } };
      case "GET /invitations":
        return { json: this.invitations };
      case "POST /invitations":
        return this.#invite(JSON.parse(asked.body) as InvitationWish);
      case "GET /join":
        return { json: this.join };
      case "DELETE /join":
        this.join = { ...ALONE };
        return { json: this.join };
      case "GET /access/audit":
        return { json: this.audit };
      default:
        return null;
    }
  }

  #parts(asked: Asked, route: string): Answer | null {
    const [method = "", path = ""] = route.split(" ");
    const [, area = "", name = "", part = "", other = ""] = path.split("/");
    if (area === "applications" && part === "logs") {
      const since = asked.query.get("since");
      const lines = this.#logs.get(name) ?? [];
      const from = since === null ? 0 : lines.findIndex(({ at }) => Date.parse(at) >= Date.parse(since));
      return this.#follow(name, from < 0 ? lines.length : from);
    }
    if (area === "applications" && part === "") {
      if (method === "DELETE") return this.#change(asked);
      const found = this.applications.find((each) => each.name === name);
      return found ? { json: found } : refusal(404, "no_application", `there is no application \`${name}\``);
    }
    if (area === "applications" && part === "upgrade")
      return method === "POST"
        ? this.#change(asked)
        : { json: this.upgrades.get(name) ?? { template: null, version: null, versions: [] } };
    if (area === "generations" && part === "diff")
      return { json: this.differences.get(`${name} ${other}`) ?? [] };
    if (area === "generations" && part === "restore") return this.#change(asked);
    if (area === "generations" && part === "") {
      const text = this.documents.get(Number(name));
      return text === undefined ? refusal(404, "no_generation", `no generation ${name}`) : { text };
    }
    if (area === "templates" && part === "") {
      const catalogue = asked.query.get("catalogue") ?? undefined;
      const sheet = this.templates.find(
        ({ summary }) => summary.name === name && summary.catalogue === catalogue,
      );
      return sheet ? { json: sheet } : refusal(404, "no_template", `no template ${name}`);
    }
    if (area === "templates" && part === "deploy") return this.#change(asked);
    if (area === "secrets") return this.#secret(method, name);
    if (area === "loans") return this.#loan(asked, method, name, part);
    if (area === "machines" && method === "DELETE") {
      this.machines = this.machines.filter(({ id }) => id !== name);
      return { status: 204 };
    }
    if (area === "invitations" && method === "DELETE") {
      this.invitations = this.invitations.map((each) =>
        each.id === name ? { ...each, state: "revoked", left_ms: 0 } : each,
      );
      return { status: 204 };
    }
    return null;
  }

  #invite({ lasts_ms: lasts, at }: InvitationWish): Answer {
    const entry: Invitation = {
      id: `i${this.invitations.length + 1}`,
      state: "open",
      owner: this.me.who,
      by: this.me.who,
      made: new Date().toISOString(),
      left_ms: lasts ?? 3_600_000,
      machine: null,
    };
    this.invitations = [entry, ...this.invitations];
    const line = `openmesh-invitation-1.${"eyJhdCI6".repeat(40)}.01234567`;
    const command = `echo ${line} | sudo openmesh xnode join`;
    const made: MadeInvitation = { line, command, at: at ?? "https://xnode.lan", remark: null, entry };
    return { json: made };
  }

  #loan(asked: Asked, method: string, name: string, part: string): Answer {
    const found = this.lending.loans.find((each) => each.name === name);
    const others = this.lending.loans.filter((each) => each !== found);
    const become = (loans: Loan[]): Answer => {
      const runs = loans.length > 0;
      const listens = runs ? ["[::]:7790"] : [];
      this.lending = { ...this.lending, loans, listens, shut: runs ? true : null };
      return { json: this.lending };
    };
    if (method === "PUT") {
      const wish = JSON.parse(asked.body) as LoanWish;
      const days = wish.held_days ?? 14;
      const at = new Date().toISOString();
      return become([...others, { ...loan(name), ...found, ...wish, held_days: days, standing: "lent", at }]);
    }
    if (!found) return refusal(404, "no_loan", `there is no loan \`${name}\`; there are none`);
    if (method === "DELETE")
      return found.standing === "lent"
        ? refusal(409, "loan_lent", `the loan \`${name}\` is not ended yet`)
        : become(others);
    if (part === "end") return become([...others, { ...found, standing: "ended" }]);
    return become([...others, { ...found, brings_back: true }]);
  }

  #secret(method: string, name: string): Answer {
    const found = this.secrets.find((each) => each.name === name);
    if (method === "DELETE") {
      this.secrets = this.secrets.filter((each) => each !== found);
      return { status: 204 };
    }
    const version = (found?.version ?? 0) + 1;
    const set = { name, version, at: new Date().toISOString(), used_by: found?.used_by ?? {} };
    this.secrets = [...this.secrets.filter((each) => each !== found), set];
    return { json: version };
  }

  #change(asked: Asked): Answer {
    const expected = asked.query.get("expected");
    if (expected !== null && Number(expected) !== this.info.wanted)
      return refusal(
        409,
        "changed",
        `generation ${expected} was expected and ${this.info.wanted} is wanted by now`,
      );
    const planned = this.plan(asked.body);
    if ("code" in planned) return refusal(planned.status, planned.code, planned.message);
    if (asked.query.get("plan") === "true") return { json: planned };
    this.taken.push(asked);
    this.info = { ...this.info, wanted: planned.generation };
    if (asked.path.endsWith("/applications")) this.documents.set(planned.generation, asked.body);
    const reason = asked.query.get("reason") ?? "a document was deployed";
    this.tell("wanted", `generation ${planned.generation} is wanted by root: ${reason}`);
    return { json: planned };
  }
}

/** A file of Studio; the page itself for every address of hers. */
async function file(path: string): Promise<Answer> {
  const wanted = normalize(path).replace(/^(\.\.[/\\])+/, "");
  const [name, bytes] = await readFile(join(DIST, wanted)).then(
    (found) => [wanted, found] as const,
    async () => ["index.html", await readFile(join(DIST, "index.html"))] as const,
  );
  return (response) => {
    response.writeHead(200, {
      "content-type": TYPES[extname(name)] ?? "application/octet-stream",
      "content-security-policy": POLICY,
    });
    response.end(bytes);
  };
}

const ALONE: JoinInfo = {
  state: "alone",
  at: null,
  node: null,
  id: null,
  owner: null,
  since: null,
  told: null,
  clock_ms: null,
  trouble: null,
};

/** The word of a machine on itself, on which everything is as it should be. */
export const machineReport = (name: string, more: Partial<MachineReport> = {}): MachineReport => ({
  name,
  version: "0.1.0",
  url: null,
  at: new Date().toISOString(),
  work: "rests",
  processors: 4,
  load_milli: 620,
  memory_bytes: 8 * 2 ** 30,
  memory_used_bytes: 3 * 2 ** 30,
  disk_bytes: 200 * 2 ** 30,
  disk_used_bytes: 61 * 2 ** 30,
  applications: 4,
  running: 4,
  troubled: [],
  critical: 0,
  warnings: 0,
  ...more,
});

/** A machine that has joined and reports. */
export const joinedMachine = (name: string, more: Partial<JoinedMachine> = {}): JoinedMachine => ({
  id: `m-${name}`,
  name,
  owner: `0x${"ab".repeat(20)}`,
  joined: "2026-11-29T10:00:00Z",
  state: "here",
  heard: new Date().toISOString(),
  from: "10.0.0.7 through 127.0.0.1:50124",
  clock_ms: 12,
  report: machineReport(name),
  ...more,
});

/** A loan of a GiB that nobody has used. */
export const loan = (name: string, more: Partial<Loan> = {}): Loan => ({
  name,
  keys: ["ab".repeat(32)],
  readers: [],
  room_bytes: 2 ** 30,
  used_bytes: 0,
  held_bytes: 0,
  objects: 0,
  until: null,
  held_days: 14,
  standing: "lent",
  connections: 0,
  seen: null,
  trouble: null,
  brings_back: false,
  by: "root",
  at: "2026-11-29T10:00:00Z",
  ...more,
});

export const generation = (
  number: number,
  applications: string[],
  more: Partial<Generation> = {},
): Generation => ({
  number,
  parent: number - 1,
  by: "root",
  reason: "a document was deployed",
  at: "2026-11-29T10:00:00Z",
  portable: "0".repeat(64),
  applications,
  serves: false,
  is_wanted: false,
  failed: null,
  returned_by: null,
  ...more,
});

export const application = (name: string, more: Partial<Application> = {}): Application => ({
  name,
  state: "running",
  cause: null,
  image: `docker.io/library/${name}:1`,
  digest: `sha256:${"0123456789abcdef".repeat(4)}`,
  revision: "r1",
  instances: [
    {
      id: "r1/0",
      state: "running",
      address: "10.89.0.2",
      pid: 4_242,
      restarts: 0,
      admitted: true,
      last_end: null,
    },
  ],
  ports: { http: "127.0.0.1:8088/tcp" },
  volumes: {},
  ...more,
});
