/**
 * Answers of an Xnode's agent, field by field as its views have them (`crates/agent/src/views.rs` and the areas of
 * `crates/agent/src/api`). By hand: the agent is not in the contract of the node's gateway, from which the others
 * are made. Its own is `openapi/xnode.json`.
 */

/** The machine. */
export interface XnodeInfo {
  /** Instance name of the agent. */
  agent: string;
  version: string;
  /** Name of the machine; empty before the first generation. */
  node: string;
  /** Number of the generation that serves; 0 before the first. */
  current: number;
  /** Number of the wanted generation; 0 before the first. */
  wanted: number;
  work: Work;
  memory_bytes: number;
  disk_free_bytes: number;
  /** Parts of it that are in use; left out where the kernel does not say it, and by an agent of before. */
  in_use?: InUse;
  /** Its GPUs; left out where it has none, and by an agent of before. */
  gpus?: NodeGpu[];
  /** Features that the kernel or the installed tools lack, each as `feature: remedy`. */
  lacks: string[];
  /** Whoever emptied it, and why; left out where it takes deployments. */
  drained?: Drained;
  /** Document that a file gives it; left out where people alone deploy. */
  declared?: Declared;
}

/** A GPU of the machine (`crates/agent/src/api/gpus.rs`). */
export interface NodeGpu {
  /** Its address on the PCI bus. */
  address: string;
  vendor: "nvidia" | "amd" | "intel";
  model: string;
  /** Application whose instance has it, in words where it is another agent's; left out where it is free. */
  held_by?: string;
}

/** Parts of a machine that are in use, whoever uses them (`crates/xnode/src/in_use.rs`). */
export interface InUse {
  memory_bytes: number;
  /** Processors that are on. */
  processors: number;
  /** Processes that ran or waited, on average over the last minute, in thousandths. */
  load_milli: number;
  disk_bytes: number;
  disk_all_bytes: number;
}

/** Mark of a machine that is emptied (`crates/agent/src/drain.rs`). */
export interface Drained {
  by: string;
  reason: string;
  at: string;
  /** Applications that ran, and run again when it is undone. */
  applications: string[];
}

/** State of a document that is given by a file. */
export type DeclaredState = "begins" | "taken" | "differs" | "refused";

/** A document that is given by a file, as by the configuration of NixOS (`crates/agent/src/declared/state.rs`). */
export interface Declared {
  file: string;
  /** Name in which it is taken. */
  by: string;
  state: DeclaredState;
  /** SHA-256 of the document that the file has; `null` where it cannot be read. */
  document: string | null;
  /** Number of the generation in which a document of the file was taken last; `null` before the first. */
  generation: number | null;
  /** Cause where it is not what the machine has. */
  cause: string | null;
  remedy: string | null;
}

export interface DrainView {
  drained: Drained | null;
  /** The change by which applications stop or start; none where nothing was to be changed. */
  deployment: Deployment | null;
}

/** Present work of the agent. */
export interface Work {
  state: WorkState;
  /** Step that is being done, in words. */
  step: string | null;
  /** Bytes of that step that are done, and all. */
  bytes: [number, number] | null;
  troubles: Trouble[];
  /** Last look at the machine. */
  looked_at: string | null;
}

export type WorkState = "begins" | "idle" | "works" | "rests" | "held";

/** Something that cannot go on now. */
export interface Trouble {
  /** None for the machine as a whole. */
  application: string | null;
  cause: string;
  /** 0 where trying again has no use. */
  attempts: number;
  again_in_ms: number | null;
}

export type ApplicationState =
  "running" | "starting" | "stopped" | "crash_loop" | "frozen" | "ended" | "failed" | "held" | "leaving";

export interface Application {
  name: string;
  state: ApplicationState;
  /** Cause of a state that nobody wished. */
  cause: string | null;
  image: string | null;
  digest: string | null;
  revision: string | null;
  instances: Instance[];
  /** Ports: name, and place on the host where it is published (`127.0.0.1:8088/tcp`). */
  ports: Record<string, string | null>;
  /** Volumes: name, and id with line. */
  volumes: Record<string, string>;
  /** The last version that was wanted for it has failed, and nothing was wanted since; left out where none has. */
  returned?: Returned;
  /** Last time that its instances were asked to be started anew, without a new version; left out where nobody did. */
  restart?: Restart;
  /** With their figures; nothing is restarted for one. An agent of before has none. */
  conditions?: UsageCondition[];
}

export interface Instance {
  id: string;
  state: string;
  address: string;
  pid: number | null;
  restarts: number;
  admitted: boolean;
  last_end: string | null;
}

/** A version of an application that failed, and what serves in its place. */
export interface Returned {
  generation: number;
  /** The test that failed, with its last answer, or the last words of the version. */
  cause: string;
  returned_by: number;
  serves: number;
}

/** A restart of an application that was asked for. */
export interface Restart {
  /** From 1: so many were asked for since the application is there. */
  number: number;
  by: string;
  reason: string;
  at: string;
  /** Instances that are still to be started. */
  left: string[];
  /** All of its instances run anew, with their traffic. */
  is_over: boolean;
}

/** A restart that was taken. */
export interface Restarting {
  application: string;
  number: number;
  instances: string[];
  /** One instance after another, or all at once while requests wait at the door. */
  way: "rolling" | "held";
  /** Sequence of the history from which its events can be followed. */
  events: number;
}

export interface Generation {
  number: number;
  parent: number;
  by: string;
  reason: string;
  at: string;
  portable: string;
  applications: string[];
  serves: boolean;
  is_wanted: boolean;
  /** Cause of its failure, where it came back by itself. */
  failed: string | null;
  /** Number of the generation that brought back what it changed. */
  returned_by: number | null;
}

/** A deployment that was taken, or would be. */
export interface Deployment {
  generation: number;
  /** Number of the wanted generation that it follows; 0 for the first. */
  after: number;
  /** Applications that it changes. */
  applications: string[];
  /** Plan as a person reads it. */
  plan: string;
  steps: number;
  destroys: string[];
  loses_data: boolean;
  /** Sequence of the history from which its events can be followed. */
  events: number;
  /** Costs that it comes to; none where its document has no prices. */
  cost?: DeploymentCost;
}

// Costs (`crates/agent/src/costs.rs`). Amounts are decimal numbers as text.

export interface DeploymentCost {
  currency: string;
  hour: string;
  month: string;
  before: string | null;
  changed: { name: string; before: string | null; after: string | null }[];
}

/** Cost of an application; its parts are those of a month. */
export interface ApplicationCost {
  name: string;
  runs: boolean;
  hour: string;
  month: string;
  processors: string;
  memory: string;
  disk: string;
  gpus: string;
}

export interface Costs {
  /** None where the document names no prices. */
  prices: { currency: string; processor: string; memory: string; disk: string; gpu: string } | null;
  applications: ApplicationCost[];
  hour: string;
  month: string;
}

/** A secret, without its value. */
export interface SecretInfo {
  name: string;
  version: number;
  at: string;
  used_by: Record<string, number>;
}

export type EventKind =
  | "wanted"
  | "begins"
  | "done"
  | "failed"
  | "held"
  | "serves"
  | "returned"
  | "rest"
  | "agent"
  | "secret"
  | "found"
  | "over"
  | "repaired"
  | "restart"
  | "restarted";

export interface XnodeEvent {
  sequence: number;
  at: string;
  /** Of a later agent also another word. */
  kind: EventKind | (string & {});
  /** Generation that was wanted at that moment. */
  generation: number;
  application: string | null;
  text: string;
}

export interface LogLine {
  instance: string;
  /** Number in the instance's log. */
  sequence: number;
  at: string;
  /** `stdout`, `stderr`, or `shim` for words of the shim itself. */
  stream: string;
  text: string;
}

// Templates (`crates/templates/src/views.rs`).

export type TemplateMark = "full" | "part" | "failed" | "none";

/** A template as a row of the store. */
export interface TemplateSummary {
  name: string;
  /** Catalogue of another publisher that it is of; none of a built-in one. */
  catalogue?: string;
  /** That publisher, for people. */
  publisher?: string;
  version: string;
  title: string;
  category: string;
  summary: string;
  /** As SVG. */
  icon: string;
  memory_bytes: number;
  disk_bytes: number;
  /** It was never run by those who wrote it. */
  not_run_here: boolean;
  mark: TemplateMark;
}

/** A field of a template's form. */
export interface TemplateField {
  name: string;
  /** `text`, `number`, `size`, `boolean`, `choice`, `secret`, `domain`, `port`, `application`. */
  kind: string;
  title: string;
  help: string | null;
  default: string | null;
  choices: string[];
  least: string | null;
  greatest: string | null;
  unit: string | null;
  pattern: string | null;
  /** The pattern in words, as they follow "must be". */
  pattern_words: string | null;
  /** Few people need it. */
  advanced: boolean;
  required: boolean;
  /** Letters and digits of the secret that is made where none is given. */
  generated: number | null;
  /** Template of the application that is made where none is named. */
  makes: string | null;
  /** Port of the application that a domain leads to, or that is published; left out by an agent of before. */
  port?: string | null;
}

/** The place at which an application is opened. */
export interface TemplateOpening {
  port: string;
  scheme: string;
  path: string;
  sign_in: string | null;
}

/** Findings of one run of a template. */
export interface TemplateGrade {
  version: string;
  /** `2026-11-29` */
  day: string;
  architecture: string;
  /** Outcomes by check; one that is not there was not tried. Of `nothing` there is nothing to try. */
  checks: Record<string, "passed" | "failed" | "nothing">;
  failure: string | null;
}

/** A template with all that a person reads before it is deployed, and its form. */
export interface TemplateSheet {
  summary: TemplateSummary;
  /** From the oldest. */
  versions: string[];
  description: string;
  homepage: string;
  licence: string;
  /** Every one where the list is empty. */
  architectures: string[];
  release: string | null;
  open: TemplateOpening | null;
  data: { volume: string; holds: string; single_writer: boolean }[];
  notes: string[];
  upgrades: string[];
  /** Backups that it proposes for what it keeps; moments as minute, hour, day, month, day of the week (UTC). */
  backup?: { schedule: string; drill: string | null; keeps: string };
  fields: TemplateField[];
  grade: TemplateGrade | null;
}

/** Newer versions of the template that an application is made of (`crates/agent/src/api/upgrade.rs`). */
export interface Upgrades {
  /** With its catalogue where it is of another publisher; `null` where it is made of none. */
  template: string | null;
  version: string | null;
  /** From the oldest. */
  versions: string[];
}

/** An order: a template with answers; a secret that is there already is `secret:NAME`. */
export interface TemplateOrder {
  name: string;
  catalogue?: string;
  version?: string;
  answers: Record<string, string>;
  /** Without it they are made as the template proposes where the machine has a place for them. */
  backup?: { on: boolean; to?: string };
}

/** Backups that an order comes to. */
export interface TemplateBackups {
  /** Place of the machine; none where none are made. */
  to: string | null;
  places: string[];
  /** The reason for which none are made, or what lacks for those that are. */
  lacks: string | null;
}

/** A catalogue of another publisher that the machine's document names (`crates/agent/src/publishers/views.rs`). */
export interface Catalogue {
  /** The machine's name for it. */
  name: string;
  address: string;
  key: string;
  /** `expired`: nothing new is made of its templates. */
  state: "current" | "old" | "expired" | "absent";
  publisher: string | null;
  sequence: number | null;
  signed: string | null;
  expires: string | null;
  /** Last moment at which its place gave a right index: the age of what is shown. */
  checked: string | null;
  templates: string[];
  /** Templates that were left out, each with the reason. */
  problems: string[];
  failure: { code: string; message: string; at: string } | null;
}

/** An application that an order comes to. */
export interface TemplateOutcome {
  name: string;
  /** With its version, and with its catalogue where it is of another publisher. */
  template: string;
  publisher?: string;
  memory_bytes: number;
  disk_bytes: number;
  /** Name, and address with port as they were asked for; `auto` is a free one. */
  ports: [string, string][];
  domains: string[];
  secrets: string[];
  open: TemplateOpening | null;
}

/** A fault of an order: `name` is the application's own name; none is the order as a whole. */
export interface TemplateFault {
  option: string | null;
  message: string;
}

// Access (`crates/access/src/views.rs`).

export type Role = "viewer" | "operator" | "admin" | "owner";

export interface AccessNonce {
  nonce: string;
  lasts_ms: number;
  /** The machine's clock. */
  at: string;
  domain: string;
  /** What a message of sign-in says to the person, to the letter. */
  statement: string;
  chain_id: number;
  /** False where nobody owns this Xnode yet: the first sign-in then needs a code that root has. */
  owned: boolean;
}

export interface Me {
  who: string;
  role: Role;
  /** Roles of one's own that narrow it. */
  only?: string[];
  from: string;
  id: string | null;
}

export interface SignedIn {
  /** Told this once. */
  token: string;
  id: string;
  wallet: string;
  role: Role;
  lasts_ms: number;
  idle_ms: number;
}

export interface AccessSession {
  id: string;
  wallet: string;
  role: Role;
  from: string;
  made: string;
  /** To the minute. */
  used: string;
  left_ms: number;
  /** Requests and streams that are open now. */
  open: number;
  current: boolean;
}

export interface Member {
  wallet: string;
  role: Role;
  /** Role of one's own that narrows theirs. */
  only?: string | null;
  name: string | null;
  since: string;
  by: string;
  sessions: number;
}

/** A change of members that is made, and of which the door does not know yet. */
export interface Untaken {
  cause: string;
}

/** A role of one's own: of what `of` may, whatever one of the rights fits. */
export interface OwnRole {
  name: string;
  of: Role;
  /** Each a method or `*`, and a path with `*` for one part and `**` at its end for everything below. */
  rights: string[];
  since: string;
  by: string;
  /** Members and keys that have it. */
  used: number;
}

export interface ApiKey {
  id: string;
  name: string;
  role: Role;
  /** Role of one's own that narrows it, beside that of its maker. */
  only?: string | null;
  maker: string | null;
  made: string;
  /** 0 where it is over, none where it has no end. */
  left_ms: number | null;
  used: string | null;
}

export interface MadeKey {
  /** Told this once. */
  key: string;
  entry: ApiKey;
}

// Visitors of applications (`crates/agent/src/api/visit.rs`).

/** The way back of a visitor, as the door has written it into the address of the page. */
export interface Way {
  host: string;
  tls: number;
  /** Number of the visit. */
  visit: string;
  /** Target of the request, in hexadecimal digits. */
  to: string;
}

export interface Visited {
  application: string;
  host: string;
  /** What a message for it says to the person, to the letter. */
  statement: string;
}

export interface Leave {
  /** Address at which the door takes the visitor in, once. */
  location: string;
  wallet: string;
}

// The door (`crates/agent/src/api/doors.rs`).

export interface DoorListener {
  address: string;
  tls: boolean;
  /** Route to which all of it leads; none where hosts decide. */
  route: string | null;
}

export interface DoorHost {
  name: string;
  route: string;
  /** `everybody`, `owner`, `members`, or the number of wallets; `nobody` where it has no certificate, or people have no place to sign in. */
  access: string;
  is_secure: boolean;
}

/** Moments are seconds since 1970. */
export interface HostCertificate {
  name: string;
  /** None where there is no certificate. */
  maker: "given" | "acme" | "house" | null;
  until: number | null;
  /** None for one that a person gave. */
  renews_at: number | null;
  /** Last attempt to get one that failed, until one succeeds. */
  failure: { count: number; at: number; again: number; cause: string; remedy: string } | null;
  /** Reason for which none is ordered. */
  note: string | null;
}

export interface DoorInstance {
  name: string;
  drains: boolean;
  open: number;
  reading_requests: number;
  writing_requests: number;
  cut: number;
}

export interface DoorRoute {
  /** `APPLICATION/PORT` */
  name: string;
  /** `open`, `hold`, `maintenance` or `closed`. */
  admission: string;
  waiting: number;
  held: number;
  refused: number;
  longest_hold_ms: number;
  instances: DoorInstance[];
}

export interface Doors {
  state: "serves" | "waits" | "fails" | "missing";
  cause: string | null;
  program: string | null;
  user: number | null;
  /** Number of the document that it serves. */
  serial: number;
  connections: number;
  malformed: number;
  listeners: DoorListener[];
  hosts: DoorHost[];
  routes: DoorRoute[];
  /** Certificates, and names without one. */
  certificates: HostCertificate[];
  remarks: string[];
}

/** An order held against the machine. */
export interface TemplatePreflight {
  /** Reasons against it; it can be deployed where there are none. */
  problems: TemplateFault[];
  /** None where the answers do not fit. */
  applications: TemplateOutcome[];
  /** Secrets that would be made. */
  secrets: string[];
  memory_bytes: number;
  memory_free_bytes: number;
  disk_bytes: number;
  disk_free_bytes: number;
  /** Backups of what they keep; none where their templates propose none. */
  backups?: TemplateBackups;
  /** Their part of a document, as YAML. */
  document: string;
}

// Processes in applications (`crates/agent/src/api/exec.rs`).

/** A process that is asked for; a shell at a terminal without a command. */
export interface Exec {
  command?: string[];
  folder?: string;
  instance?: string;
  /** Columns and rows. */
  terminal?: [number, number];
}

/** What a process does, one of these. */
export interface ExecEvent {
  started?: { instance: string };
  line?: { stream: string; text: string };
  ended?: { code: number };
  refused?: { reason: string };
}

// The audit log (`crates/access/src/audit/record.rs`).

export interface AuditRecord {
  sequence: number;
  at: string;
  kind: "file" | "torn" | "begun" | "ended" | "refused";
  who?: string;
  role?: Role;
  from?: string;
  method?: string;
  path?: string;
  /** Number of the record with which it began. */
  of?: number;
  status?: number;
  code?: string;
  /** Refusals before this one that were too many to be recorded. */
  unrecorded?: number;
  /** Number of the file that begins. */
  file?: number;
  /** Bytes of the line that was cut, and its hash. */
  bytes?: number;
  cut?: string;
  /** Hash of the record before. */
  previous: string;
}

// Backups (`crates/agent/src/backups/views.rs`).

export type BackupState = "ok" | "waiting" | "running" | "late" | "failed";

export interface BackupKeys {
  /** Public half of the owner's key (`age1...`); none before it was set. */
  owner: string | null;
  node: string;
  /** Key by which other Xnodes know this machine that lend it room; an agent of before says none. */
  guest?: string;
  /** Key by which other Xnodes know the owner, who reads alone there; none where nobody has told it. */
  reading?: string | null;
}

/** Room that another Xnode grants, as it was said last. */
export interface BackupRoom {
  all_bytes: number;
  /** Withheld objects too. */
  used_bytes: number;
  until: string | null;
}

export interface BackupTarget {
  name: string;
  place: string;
  /** None before the first backup. */
  repository: string | null;
  state: BackupState;
  cause: string | null;
  tended: string | null;
  /** None where nobody bounds it; an agent of before does not say. */
  room?: BackupRoom | null;
}

export interface Backup {
  id: string;
  application: string;
  target: string;
  node: string;
  generation: number;
  /** Place in the order of the machine's backups in that target; 0 where that is not known. */
  number: number;
  /** Moment of the data. */
  at: string;
  /** Volumes, with the bytes of their files. */
  volumes: Record<string, number>;
  bytes: number;
  stored_bytes: number | null;
  still_ms: number | null;
}

export interface Drill {
  backup: string;
  /** Moment of its data. */
  of: string;
  at: string;
  bytes: number;
  took_ms: number;
  /** None where the backup proved good. */
  fault: string | null;
}

export interface BackedApplication {
  name: string;
  target: string | null;
  state: BackupState;
  cause: string | null;
  next: string | null;
  last: Backup | null;
  drill_state: BackupState | null;
  drill_cause: string | null;
  next_drill: string | null;
  drill: Drill | null;
  awaits_last: boolean;
  /** First moment that has passed without a backup. */
  due_since: string | null;
  /** Moments that have passed without one; the next one makes up for all of them. */
  missed: number;
  /** In a row. */
  failures: number;
  again_in_ms: number | null;
}

export interface BackupJobEnd {
  at: string;
  ok: boolean;
  text: string;
  code: string | null;
  backup: string | null;
  generation: number | null;
  events: number | null;
}

export interface BackupJob {
  /** Its number since the agent began. */
  number: number;
  kind: "backup" | "drill" | "restore" | "machine" | "tend" | "describe" | "move";
  application: string | null;
  by: string;
  begun: string;
  phase: string;
  bytes: number;
  /** 0 before that is known. */
  all_bytes: number;
  ended: BackupJobEnd | null;
}

export interface BackupOverview {
  keys: BackupKeys;
  machine: string;
  targets: BackupTarget[];
  applications: BackedApplication[];
  jobs: BackupJob[];
}

/** A line of data of a volume. */
export interface DataLine {
  volume: string;
  number: number;
  in_use: boolean;
  parent: number | null;
  reason: string;
  by: string;
  at: string;
  /** It had traffic from outside, so that no machine removes it. */
  admitted: boolean;
}

// Room for others (`crates/agent/src/lending/views.rs`).

export type LoanStanding = "lent" | "over" | "ended" | "going";

/** Room that is lent to the backups of another machine. */
export interface Loan {
  name: string;
  /** Public keys of the guest's machines. */
  keys: string[];
  /** Public keys of the guest's owner, who reads alone. */
  readers?: string[];
  room_bytes: number;
  used_bytes: number;
  /** Of what the guest removed, which is withheld for some days. */
  held_bytes: number;
  objects: number;
  /** Moment after which nothing new is taken; none where it has no end. */
  until: string | null;
  held_days: number;
  standing: LoanStanding;
  connections: number;
  /** Last request of the guest since the lender began. */
  seen: string | null;
  trouble: string | null;
  /** What the guest has removed is being brought back. */
  brings_back: boolean;
  by: string;
  at: string;
}

export interface Lending {
  /** Key by which guests know this machine. */
  key: string;
  listens: string[];
  troubles: string[];
  /** The kernel keeps the lender from everything but its folders and its port; none while it does not run. */
  shut: boolean | null;
  disk_free_bytes: number | null;
  loans: Loan[];
}

export interface LoanWish {
  keys: string[];
  readers: string[];
  room_bytes: number;
  until: string | null;
  held_days: number | null;
}

// Machines that join (`crates/agent/src/machines/views.rs`, `crates/access/src/views.rs`).

/** A machine's word on itself. */
export interface MachineReport {
  name: string;
  version: string;
  /** Address of its own Studio; none where it has no name with TLS. */
  url: string | null;
  at: string;
  work: string;
  processors: number;
  load_milli: number;
  memory_bytes: number;
  memory_used_bytes: number;
  disk_bytes: number;
  disk_used_bytes: number;
  applications: number;
  running: number;
  troubled: { name: string; state: string }[];
  critical: number;
  warnings: number;
}

export type MachineState = "arrives" | "here" | "silent";

/** A machine that has joined this one. */
export interface JoinedMachine {
  id: string;
  name: string;
  owner: string;
  joined: string;
  state: MachineState;
  /** Last report; none since this agent began. */
  heard: string | null;
  from: string | null;
  /** Time by which its clock was ahead of this machine's. */
  clock_ms: number | null;
  report: MachineReport | null;
}

export interface MachineList {
  own: MachineReport;
  machines: JoinedMachine[];
}

export type InvitationState = "open" | "used" | "expired" | "revoked";

export interface Invitation {
  id: string;
  state: InvitationState;
  owner: string;
  by: string;
  made: string;
  left_ms: number;
  /** Number of the machine that has joined by it. */
  machine: string | null;
}

export interface InvitationWish {
  lasts_ms: number | null;
  at: string | null;
}

/** An invitation that was made: its line is told this once. */
export interface MadeInvitation {
  line: string;
  /** The line as it is pasted into a terminal of the other machine. */
  command: string;
  at: string;
  /** Reason for which this machine may not be reached there now. */
  remark: string | null;
  entry: Invitation;
}

/** This machine with regard to another Xnode. */
export interface JoinInfo {
  state: "alone" | "asks" | "joined" | "removed";
  at: string | null;
  node: string | null;
  id: string | null;
  owner: string | null;
  since: string | null;
  told: string | null;
  clock_ms: number | null;
  trouble: string | null;
}

// Moves between machines (`crates/agent/src/moves/views.rs`).

/** State of an application on the machine that it leaves. */
export type DepartingState = "tries" | "quiets" | "hands" | "gone" | "recalls" | "returns" | "over";

/** State of an application on the machine to which it comes. */
export type ArrivingState =
  "arrives" | "ready" | "told" | "serves" | "kept" | "refused" | "gives_back" | "given" | "dropped";

export interface Move {
  /** The same on both machines. */
  id: string;
  application: string;
  /** It leaves this machine; else it comes here. */
  leaves: boolean;
  /** Name of the other machine. */
  other: string;
  /** Address of the other machine's agent, where the application leaves. */
  to: string | null;
  by: string;
  begun: string;
  /** State here, where it leaves. */
  departing: DepartingState | null;
  /** State on the machine to which it comes, as it was said last. */
  arriving: ArrivingState | null;
  step: string;
  /** Of the step. */
  bytes: number;
  /** 0 where the step has none. */
  all_bytes: number;
  /** Cause of its return, or of what it waits for. */
  cause: string | null;
  /** Moment since which it does not get further. */
  waits_since: string | null;
  /** Clients are let in nowhere. */
  is_down: boolean;
  can_undo: boolean;
  /** Once it serves there. */
  undo_left_ms: number | null;
}

export interface EndedMove {
  id: string;
  application: string;
  leaves: boolean;
  other: string;
  begun: string;
  at: string;
  outcome: "moved" | "returned" | "forgotten";
  cause: string | null;
}

/** A move that a person wants. The key is in no answer. */
export interface MoveWish {
  /** Address of the other machine's agent. */
  to: string;
  /** API key or token of a session there. */
  key: string;
  /** Certificate as PEM, where the other machine has one of its own authority. */
  root: string | null;
}

export interface Moves {
  moves: Move[];
  /** The newest first. */
  ended: EndedMove[];
}

// Jobs (`crates/agent/src/api/jobs.rs`).

export interface JobRun {
  number: number;
  occasion: "switch" | "schedule" | "demand";
  by: string;
  revision: string;
  at: string;
  is_running: boolean;
  code: number | null;
  words: string | null;
  lasted_ms: number | null;
}

export interface AppJob {
  name: string;
  command: string[];
  occasion: "switch" | "schedule" | "demand";
  schedule: string | null;
  next: string | null;
  timeout_ms: number;
  /** The newest first. */
  runs: JobRun[];
}

/** Result of a check of the audit log. */
export interface AuditReport {
  files: number;
  records: number;
  /** Number of the first record that is kept; 0 where there is none. */
  first: number;
  /** Last record that holds: noted elsewhere, it shows later that nothing before it was changed. */
  head: { sequence: number; hash: string };
  /** Bytes of a last line that was cut before it was whole. */
  torn_bytes: number | null;
  cuts: number;
  /** None where everything holds. */
  broken: { file: number; line: number; reason: string } | null;
}

// Use (`crates/agent/src/api/usage.rs`).

/** Use in one step. */
export interface UsagePoint {
  /** Begin of the step. */
  at: string;
  processors_milli: number;
  throttled_permille: number;
  memory_bytes: number;
  /** 0 without one. */
  memory_limit_bytes: number;
  processes: number;
  pressure_cpu_permille: number;
  pressure_memory_permille: number;
  pressure_io_permille: number;
  disk_used_bytes: number;
  disk_bytes: number;
  disk_fullest_permille: number;
  received_bits: number;
  sent_bits: number;
  oom_kills: number;
}

export interface UsageCondition {
  /** `throttled`, `out_of_memory` or `disk_full`. */
  kind: string;
  /** Number of the instance. */
  index: number;
  text: string;
}

export interface Usage {
  from: string;
  to: string;
  /** Time of one point, seconds. */
  step_s: number;
  /** A new version goes on where the one before ended. */
  instances: { index: number; points: UsagePoint[] }[];
  /** Conditions at this moment. */
  conditions: UsageCondition[];
}

// Processes (`crates/agent/src/api/processes.rs`).

export type ProcessState = "running" | "sleeping" | "waiting" | "stopped" | "traced" | "frozen" | "ended";

export interface AppProcess {
  /** Its instance, or `job NAME run NUMBER`. */
  of: string;
  /** On the host. */
  pid: number;
  pid_inside: number | null;
  parent: number;
  /** None where it is outside. */
  parent_inside: number | null;
  /** As inside; none where it is none of the application's. */
  user: number | null;
  name: string;
  /** Of a later agent also another word. */
  state: ProcessState | (string & {});
  started: string;
  /** Thousandths of a processor over `over_ms`: since an earlier look, or since its begin. */
  processors_milli: number;
  over_ms: number;
  cpu_ms: number;
  memory_bytes: number;
  /** Shared pages are divided among those who have them; else they count as a whole. */
  is_share: boolean;
  threads: number;
  /** Values of secrets are left out of it. */
  command: string[];
  /** It has more arguments than are shown. */
  is_cut: boolean;
}

export interface ProcessList {
  at: string;
  processes: AppProcess[];
  /** Beyond the limit of an answer, or of what is read at once. */
  left_out: number;
}

// Alerts (`crates/agent/src/alerts/views.rs`).

export type AlertSeverity = "info" | "warning" | "critical";

export type AlertKind =
  | "down"
  | "machine"
  | "backup_late"
  | "backup_failed"
  | "drill_failed"
  | "backup_target"
  | "volume_full"
  | "out_of_memory"
  | "disk"
  | "certificate"
  | "lender"
  | "loan_full"
  | "loan_ends"
  | "update"
  | "move"
  | "silent";

export interface Alert {
  id: number;
  /** Of a later agent also another word. */
  kind: AlertKind | (string & {});
  /** None for the machine. */
  application: string | null;
  /** Which one of several: a place for backups, a name of a certificate, an instance. */
  subject: string | null;
  severity: AlertSeverity | (string & {});
  cause: string;
  /** What helps. */
  remedy: string;
  /** Moment at which it was first seen. */
  begin: string;
  /** Moment at which it had lasted long enough. */
  opened: string;
  /** None while it is open. */
  closed: string | null;
  /** Somebody knows of it. */
  acknowledged: { by: string; at: string } | null;
}

export interface DroppedMessage {
  webhook: string;
  /** Number of the alert. */
  alert: number;
  event: "opened" | "raised" | "closed" | "test";
  at: string;
  cause: string;
}

export interface WebhookState {
  name: string;
  /** Scheme and host of its address; none where it cannot be used. The rest of an address may be a key. */
  host: string | null;
  cause: string | null;
  waiting: number;
  last_failure: string | null;
}

export interface Alerts {
  /** The most severe first, and the newest of these first. */
  open: Alert[];
  /** The newest first. */
  closed: Alert[];
  webhooks: WebhookState[];
  /** Messages that were given up, the newest first. */
  dropped: DroppedMessage[];
  dropped_count: number;
  /** Findings for which no alert was opened, since too many are open. */
  suppressed: number;
}

export interface WebhookTest {
  webhook: string;
  taken: boolean;
  cause: string | null;
}

// Files of applications (`crates/agent/src/api/files.rs`).

/** Places with an application's files. */
export interface FilePlaces {
  volumes: FileVolume[];
  /** Instance whose root is read; none where no instance is there. */
  root: string | null;
  /** Nothing can be changed now: another generation is on its way. */
  is_switching: boolean;
}

export interface FileVolume {
  name: string;
  /** Line in use. */
  line: number;
  /** Reason for which it cannot be looked at. */
  cause: string | null;
  bytes: number | null;
  bytes_free: number | null;
}

export interface FileFolder {
  /** First entries, sorted by name. */
  entries: FileEntry[];
  /** There are more than fit into an answer. */
  more: boolean;
}

export interface FileEntry {
  /** What is no plain text in it stands as `\xNN`, as in paths. */
  name: string;
  kind: "file" | "folder" | "link" | "other";
  /** 0 of everything but files. */
  bytes: number;
  mode: number;
  /** As inside; none where it is none of the application's. */
  user: number | null;
  group: number | null;
  modified: string;
  /** Target of a link, which is not followed. */
  target: string | null;
  /** Of a file, for `If-Match`. */
  tag: string | null;
}

// Compose files (`crates/agent/src/api/import.rs`).

/** A part of a compose file that is not done as Docker does it. */
export interface ImportFinding {
  line: number;
  column: number;
  /** `services.web.build` */
  path: string;
  key: string;
  /** `ignored` (nothing changes), `changed` (something near is done), `unsupported` (it would behave otherwise). */
  kind: string;
  why: string;
  /** It is unsupported, and nobody said that it can be done without. */
  is_left: boolean;
}

/** A document that was made of a compose file. */
export interface Imported {
  document: string;
  /** Nothing unsupported is left: the document does what the compose file says. */
  is_complete: boolean;
  /** Names of the secrets that it needs. */
  secrets: string[];
  /** In the order of the file. */
  findings: ImportFinding[];
}
