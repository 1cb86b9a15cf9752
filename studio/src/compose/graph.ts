/**
 * A document as a graph (X-10): its applications, and what of one another they reach. Read only as far as it is drawn; what is not
 * of its form is left out here, and named by the agent.
 */
import {
  canonical,
  entriesOf,
  lineAt,
  linesOf,
  textOf,
  valueAt,
  wordsOf,
  type Entry,
  type Tree,
} from "../lib/tree";
import { readTree } from "../lib/treeRead";

export interface Origin {
  kind: "template" | "image" | "recipe" | "none";
  /** In words: a template's name with its catalogue and version, an image's reference. */
  words: string;
  /** Of a template. */
  template: string | null;
  /** Catalogue of another publisher that a template is of. */
  catalogue: string | null;
  version: string | null;
}

export interface Port {
  name: string;
  /** Its number; empty where it is none. */
  number: string;
  protocol: string;
  /** Its place on the host as a form says it: `auto`, `8088`, `127.0.0.1:auto`; `null` where it is not published. */
  published: string | null;
}

export interface Volume {
  name: string;
  path: string;
  size: string;
}

/** A secret that an application names; one of a template's answers may be made by the machine. */
export interface SecretUse {
  name: string;
  isAnswer: boolean;
}

/** An application of a document. */
export interface AppNode {
  name: string;
  /** Its line in the text, from 1. */
  line: number;
  /** Each of its origins; a document that can be deployed has one. */
  origins: Origin[];
  /** Applications that it reaches by their name. */
  links: string[];
  /** Applications that are started before it. */
  after: string[];
  ports: Port[];
  volumes: Volume[];
  domains: string[];
  secrets: SecretUse[];
  wish: string;
  /** The same for two applications that mean the same. */
  essence: string;
}

/** A way from an application to another one, which is there. */
export interface Edge {
  kind: "links" | "after";
  from: string;
  to: string;
}

export interface Graph {
  /** By name. */
  nodes: AppNode[];
  edges: Edge[];
  /** The rest of the document, the same for two that mean the same. */
  rest: string;
}

/** A graph, or the line (from 1) that is not read, and why. */
export type Drawn = { graph: Graph } | { line: number; what: string };

export function graphOf(text: string): Drawn {
  const read = readTree(text);
  if (!("tree" in read)) return read;
  const { tree } = read;
  const isEmpty = tree.kind === "scalar" && tree.text === "";
  if (tree.kind !== "map" && !isEmpty) return { line: lineAt(text, tree.from), what: "is no document" };
  const applications = valueAt(tree, "applications");
  const lineOf = linesOf(text);
  const nodes = entriesOf(applications).map((entry) => nodeOf(entry, lineOf(entry.from)));
  nodes.sort((a, b) => order(a.name, b.name));
  const known = new Set(nodes.map(({ name }) => name));
  const edges = nodes.flatMap((node) =>
    (["links", "after"] as const).flatMap((kind) =>
      node[kind].flatMap((to): Edge[] => (known.has(to) ? [{ kind, from: node.name, to }] : [])),
    ),
  );
  const rest = entriesOf(tree).flatMap(({ key, value }) =>
    key === "applications" ? [] : [`${key} ${canonical(value)}`],
  );
  return { graph: { nodes, edges, rest: rest.sort().join("\n") } };
}

/** The order of names that does not depend on a browser's language. */
export const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

function nodeOf({ key, value }: Entry, line: number): AppNode {
  return {
    name: key,
    line,
    origins: originsOf(value),
    links: wordsOf(valueAt(value, "links")),
    after: wordsOf(valueAt(value, "after")),
    ports: entriesOf(valueAt(value, "ports")).map(portOf),
    volumes: entriesOf(valueAt(value, "volumes")).map((entry) => ({
      name: entry.key,
      path: textOf(valueAt(entry.value, "path")) ?? "",
      size: textOf(valueAt(entry.value, "size")) ?? "",
    })),
    domains: entriesOf(valueAt(value, "domains")).map((entry) => entry.key),
    secrets: secretsOf(value),
    wish: textOf(valueAt(value, "wish")) ?? "running",
    essence: canonical(value),
  };
}

function originsOf(value: Tree): Origin[] {
  const image = textOf(valueAt(value, "image"));
  const recipe = valueAt(value, "recipe");
  const template = textOf(valueAt(value, "template", "name"));
  const version = textOf(valueAt(value, "template", "version"));
  const catalogue = textOf(valueAt(value, "template", "catalogue"));
  const found: Origin[] = [];
  const none = { template: null, catalogue: null, version: null };
  if (image !== null) found.push({ kind: "image", words: image, ...none });
  if (recipe !== null) {
    const packages = ["debian", "npm", "pypi"].flatMap((kind) => entriesOf(valueAt(recipe, kind)));
    const words = `recipe${packages.length > 0 ? ` of ${packages.map((each) => each.key).join(", ")}` : ""}`;
    found.push({ kind: "recipe", words, ...none });
  }
  if (template !== null) {
    const words = `${catalogue === null ? "" : `${catalogue}/`}${template} ${version ?? ""}`.trimEnd();
    found.push({ kind: "template", words, template, catalogue, version });
  }
  return found;
}

function portOf({ key, value }: Entry): Port {
  const publish = valueAt(value, "publish");
  return {
    name: key,
    number: textOf(valueAt(value, "port")) ?? "",
    protocol: textOf(valueAt(value, "protocol")) ?? "tcp",
    published: publish?.kind === "map" ? publicationOf(publish) : null,
  };
}

/** A publication as a template's answer says it. */
export function publicationOf(publish: Tree): string {
  const address = textOf(valueAt(publish, "address"));
  const port = textOf(valueAt(publish, "port")) ?? "auto";
  return address === null || address === "0.0.0.0" ? port : `${address}:${port}`;
}

function secretsOf(value: Tree): SecretUse[] {
  const named = (trees: (Tree | null)[], isAnswer: boolean) =>
    trees.flatMap((tree): SecretUse[] => {
      const name = textOf(valueAt(tree, "secret"));
      return name === null ? [] : [{ name, isAnswer }];
    });
  const answers = entriesOf(valueAt(value, "template", "answers")).map((entry) => entry.value);
  const variables = entriesOf(valueAt(value, "variables")).map((entry) => entry.value);
  const files = entriesOf(valueAt(value, "files")).map((entry) => valueAt(entry.value, "content"));
  return [...named(answers, true), ...named([...variables, ...files], false)];
}

/** What became of an application since the machine's document. */
export type Mark = "new" | "changed" | "same";

export interface Marks {
  /** By name. */
  marks: Record<string, Mark>;
  /** Applications that are not there any more. */
  removed: string[];
  /** The document differs beside its applications. */
  isRestOther: boolean;
}

export function marksOf(base: Graph, now: Graph): Marks {
  const before = new Map(base.nodes.map(({ name, essence }) => [name, essence]));
  const names = new Set(now.nodes.map(({ name }) => name));
  const markOf = ({ name, essence }: AppNode): Mark => {
    const old = before.get(name);
    return old === undefined ? "new" : old === essence ? "same" : "changed";
  };
  return {
    marks: Object.fromEntries(now.nodes.map((node) => [node.name, markOf(node)])),
    removed: base.nodes.map(({ name }) => name).filter((name) => !names.has(name)),
    isRestOther: base.rest !== now.rest,
  };
}
