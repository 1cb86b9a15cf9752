/**
 * What is wrong with a document, at the application that it concerns: what can be seen before anybody is asked (X-12, X-13), and
 * what the agent refuses. The agent's word is the one that counts.
 */
import { NAME, NAME_WORDS } from "../lib/options";
import { ownOf } from "../lib/own";
import { readProblems } from "../lib/problems";
import type { AppNode, Edge, Graph, Port } from "./graph";

/** Problems by the application's name. */
export type Faults = Record<string, string[]>;

const add = (faults: Faults, name: string, words: string): void => {
  const own = ownOf(faults, name) ?? [];
  if (!own.includes(words)) faults[name] = [...own, words];
};

/** What can be seen of a graph alone. */
export function faultsOf({ nodes, edges }: Graph): Faults {
  const faults: Faults = {};
  const known = new Set(nodes.map(({ name }) => name));
  for (const node of nodes) {
    if (!NAME.test(node.name)) add(faults, node.name, `A name has ${NAME_WORDS}.`);
    for (const origin of originFaults(node)) add(faults, node.name, origin);
    for (const to of node.links.filter((each) => !known.has(each)))
      add(faults, node.name, `Its link leads to ${to}, which is not here.`);
    for (const to of node.after.filter((each) => !known.has(each)))
      add(faults, node.name, `It is to start after ${to}, which is not here.`);
  }
  const circle = circleOf(nodes, edges);
  for (const name of circle) add(faults, name, `It waits for itself: ${[...circle, circle[0]].join(" → ")}.`);
  claimed(nodes, faults);
  return faults;
}

function originFaults({ origins }: AppNode): string[] {
  if (origins.length === 0) return ["It has no origin: an image, a recipe or a template."];
  return origins.length === 1
    ? []
    : [`It has several origins: ${origins.map(({ kind }) => kind).join(", ")}.`];
}

/** Ports and domains of the host that two applications claim; a port that is chosen by the machine is nobody else's. */
function claimed(nodes: readonly AppNode[], faults: Faults): void {
  const ports: { name: string; port: Port; address: string; number: string }[] = [];
  const domains = new Map<string, string>();
  for (const { name, ports: own, domains: named } of nodes) {
    for (const port of own) {
      const [, address = "0.0.0.0", number = ""] = /^(?:(.+):)?(\d+)$/.exec(port.published ?? "") ?? [];
      if (number === "") continue;
      const other = ports.find(
        (each) =>
          each.number === number &&
          (each.port.protocol === "udp") === (port.protocol === "udp") &&
          (each.address === address || [each.address, address].includes("0.0.0.0")),
      );
      if (other) {
        add(faults, name, `Port ${number} of the machine is also claimed by ${other.name}.`);
        add(faults, other.name, `Port ${number} of the machine is also claimed by ${name}.`);
      }
      ports.push({ name, port, address, number });
    }
    for (const domain of named) {
      const other = domains.get(domain);
      if (other !== undefined) {
        add(faults, name, `${domain} is also a domain of ${other}.`);
        add(faults, other, `${domain} is also a domain of ${name}.`);
      }
      domains.set(domain, name);
    }
  }
}

/** The applications of a circle of links and orders, in its order; none where there is no circle. */
export function circleOf(nodes: readonly { name: string }[], edges: readonly Edge[]): string[] {
  const next = new Map<string, string[]>();
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to]);
  const done = new Set<string>();
  for (const { name: start } of nodes) {
    const way = [{ name: start, left: [...(next.get(start) ?? [])] }];
    for (let last = way.at(-1); last !== undefined; last = way.at(-1)) {
      const to = last.left.shift();
      if (to === undefined) {
        done.add(last.name);
        way.pop();
        continue;
      }
      const begin = way.findIndex(({ name }) => name === to);
      if (begin >= 0) return way.slice(begin).map(({ name }) => name);
      if (!done.has(to)) way.push({ name: to, left: [...(next.get(to) ?? [])] });
    }
  }
  return [];
}

/** The circle that a link would close, its first application also last; none where it closes none. */
export function circleBy({ edges }: Graph, from: string, to: string): string[] {
  const before = new Map<string, string>();
  const reached = [to];
  for (const name of reached) {
    for (const edge of edges) {
      if (edge.from !== name || edge.to === to || before.has(edge.to)) continue;
      before.set(edge.to, name);
      reached.push(edge.to);
    }
  }
  if (!reached.includes(from)) return [];
  const way = [from];
  for (let at = before.get(from); at !== undefined && from !== to; at = before.get(at)) way.unshift(at);
  return [from, ...way];
}

/** Codes of refusals whose lines name the application that each is about. */
const CODES = ["document", "unresolved", "refused", "recipe", "image"];

/** A refusal of the agent: by application, and what is about none of those that are known. */
export interface Refusals {
  faults: Faults;
  others: string[];
}

export function refusalsOf(code: string, message: string, names: readonly string[]): Refusals {
  const found: Refusals = { faults: {}, others: [] };
  if (!CODES.includes(code)) return { faults: {}, others: [message] };
  for (const { path, what, line } of readProblems(message)) {
    const [first = "", second = "", ...more] = path.split(".");
    const isInside = first === "applications" && names.includes(second);
    const name = isInside ? second : names.find((each) => each === path);
    const below = isInside && more.length > 0 ? `${more.join(".")}: ` : "";
    // A problem of a template's answers has a place of its own, in a text that nobody sees.
    const words = `${below}${what.replace(/^\d+:\d+: /, "")}`;
    if (name !== undefined) add(found.faults, name, words);
    else found.others.push(`${line === null ? "" : `Line ${line}: `}${path ? `${path}: ` : ""}${words}`);
  }
  return found;
}

/** Problems of several places together. */
export function together(...all: readonly Faults[]): Faults {
  const faults: Faults = {};
  for (const each of all)
    for (const [name, words] of Object.entries(each)) for (const one of words) add(faults, name, one);
  return faults;
}
