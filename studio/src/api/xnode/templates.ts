/** Templates, orders of them, and catalogues (`crates/templates/src/views.rs`). */

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
