/** What the stand-in of the agent tells of its machine, as most tests need it. */
import type { Deployment, TemplateField, TemplatePreflight, TemplateSheet } from "../src/api/xnode";
import { application, generation, type FakeAgent } from "./agent";

export const MIB = 2 ** 20;

export const DOCUMENT = `version: 1
applications:
  db:
    image: postgres:16
  site:
    image: nginx:1
    ports:
      http:
        port: 80
`;

/** A site that runs, and a database in a crash loop. */
export function furnishSmall(agent: FakeAgent): void {
  agent.applications = [
    application("site"),
    application("db", {
      state: "crash_loop",
      cause: "ended with code 1 after 12 ms",
      ports: { sql: null },
      volumes: { data: "0123 line 1" },
    }),
  ];
  agent.documents.set(1, DOCUMENT);
  agent.generations = [generation(1, ["db", "site"], { serves: true, is_wanted: true })];
}

/** A plan of three steps, one of which destroys something. */
export const planned = (more: Partial<Deployment> = {}): Deployment => ({
  generation: 2,
  after: 1,
  applications: ["site"],
  plan: `generation 2 after 1: 3 steps
site ~ image: "nginx:1" -> "nginx:2"
   1. fetch nginx:2 (1a2b3c4d, 12 MiB) (its image is not here)
   2. hold requests to site for at most 30s (another version)
      destroys open connections of raw TCP, once
   3. commit generation 2 (everything is done)
`,
  steps: 3,
  destroys: ["open connections of raw TCP, once"],
  loses_data: false,
  events: 1,
  ...more,
});

export const field = (name: string, kind: string, more: Partial<TemplateField> = {}): TemplateField => ({
  name,
  kind,
  title: name[0]?.toUpperCase() + name.slice(1),
  help: null,
  default: null,
  choices: [],
  least: null,
  greatest: null,
  unit: null,
  pattern: null,
  pattern_words: null,
  advanced: false,
  required: false,
  generated: null,
  makes: null,
  ...more,
});

export const template = (
  name: string,
  title: string,
  category: string,
  fields: TemplateField[] = [],
): TemplateSheet => ({
  summary: {
    name,
    version: "1.0",
    title,
    category,
    summary: `${title} in a line.`,
    icon: "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 8 8'><circle cx='4' cy='4' r='3' fill='#0b7a5f'/></svg>",
    memory_bytes: 64 * MIB,
    disk_bytes: 2 ** 30,
    not_run_here: false,
    mark: "full",
  },
  versions: ["1.0"],
  description: `${title}, described.`,
  homepage: "https://example.org/",
  licence: "BSD-3-Clause",
  architectures: [],
  release: null,
  open: null,
  data: [],
  notes: [],
  upgrades: [],
  fields,
  grade: null,
});

export const preflight = (more: Partial<TemplatePreflight> = {}): TemplatePreflight => ({
  problems: [],
  applications: [],
  secrets: ["redis-2-password"],
  memory_bytes: 64 * MIB,
  memory_free_bytes: 2 ** 30,
  disk_bytes: 2 ** 30,
  disk_free_bytes: 20 * 2 ** 30,
  document: "version: 1\n",
  ...more,
});
