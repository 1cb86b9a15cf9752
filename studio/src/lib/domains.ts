/** Domains of an application, read from its part of the document and written into it. */
import { partOf, withPart } from "./document";

/** People who may come in by a domain, as the document has them. */
export const AUDIENCES = ["everybody", "wallets", "members", "owner"] as const;
export type Audience = (typeof AUDIENCES)[number];

/** A domain that leads to a port. */
export interface DomainRoute {
  domain: string;
  port: string;
  audience: Audience;
  wallets: string[];
}

const INDENT = "  ";
const indentOf = (line: string): number => line.length - line.trimStart().length;
const isBlank = (line: string): boolean => /^\s*(#.*)?$/.test(line);
const plain = (text: string): string => /^(["'])(.*)\1$/.exec(text)?.[2] ?? text;

/** Lines of a part, with the place of its domains; without one where it has none. */
function blockOf(part: string): { lines: string[]; own: number; from: number; to: number } {
  const lines = part.replace(/\n+$/, "").split("\n");
  const own = indentOf(lines.slice(1).find((line) => !isBlank(line)) ?? INDENT);
  const from = lines.findIndex((line, at) => at > 0 && indentOf(line) === own && /^\s*domains:/.test(line));
  let to = from < 0 ? -1 : from + 1;
  while (to >= 0 && to < lines.length && (isBlank(lines[to] ?? "") || indentOf(lines[to] ?? "") > own))
    to += 1;
  return { lines, own, from, to };
}

/** The domains of an application's part; `null` where they are written in a form that is not read here. */
export function readDomains(part: string): DomainRoute[] | null {
  const { lines, from, to } = blockOf(part);
  if (from < 0) return [];
  const head = (lines[from] ?? "").trim();
  if (/^domains:\s*\{\s*\}$/.test(head)) return [];
  if (head !== "domains:") return null;
  const inner = lines.slice(from + 1, to).filter((line) => !isBlank(line));
  const level = indentOf(inner[0] ?? "");
  const routes: DomainRoute[] = [];
  for (const line of inner) {
    const name = /^(.+):$/.exec(line.trim())?.[1];
    if (indentOf(line) === level && name !== undefined)
      routes.push({ domain: plain(name), port: "", audience: "everybody", wallets: [] });
    else if (indentOf(line) <= level || !withKey(routes.at(-1), line.trim())) return null;
  }
  return routes.every(({ port }) => port !== "") ? routes : null;
}

/** Puts what a line says into a route. False where it is none of the lines that are known. */
function withKey(route: DomainRoute | undefined, line: string): boolean {
  if (!route) return false;
  if (line === "wallets:" || line === "wallets: []") return true;
  const wallet = /^- (\S+)$/.exec(line)?.[1];
  if (wallet !== undefined) return route.wallets.push(plain(wallet)) > 0;
  const [, key, value = ""] = /^(port|audience): (\S+)$/.exec(line) ?? [];
  const audience = AUDIENCES.find((each) => each === plain(value));
  if (key === "port") route.port = plain(value);
  else if (key === "audience" && audience) route.audience = audience;
  else return false;
  return true;
}

/** A document in which an application has these domains; `null` where its part, or its domains, are in another form. */
export function withDomains(text: string, name: string, routes: readonly DomainRoute[]): string | null {
  const part = partOf(text, name);
  if (part === null || readDomains(part) === null) return null;
  const { lines, own, from, to } = blockOf(part);
  const kept = from < 0 ? lines : [...lines.slice(0, from), ...lines.slice(to)];
  const margin = " ".repeat(own);
  const put =
    routes.length === 0 ? [] : ["domains:", ...routes.flatMap(linesOf)].map((line) => margin + line);
  return withPart(text, [...kept, ...put].join("\n"))?.text ?? null;
}

const linesOf = ({ domain, port, audience, wallets }: DomainRoute): string[] => [
  `${INDENT}"${domain}":`,
  `${INDENT}${INDENT}port: ${port}`,
  ...(audience === "everybody" ? [] : [`${INDENT}${INDENT}audience: ${audience}`]),
  ...(audience === "wallets"
    ? [`${INDENT}${INDENT}wallets:`, ...wallets.map((wallet) => `${INDENT}${INDENT}${INDENT}- "${wallet}"`)]
    : []),
];
