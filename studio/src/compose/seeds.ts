/** Documents and numbers from a seed, for tests: a failure can be seen again. */

/** Numbers from 0 up to 1. */
export function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
    return state / 0x80000000;
  };
}

const NAMES = ["api", "cache", "db", "proxy", "web", "worker"];
const WORDS = ["plain", '"in: quotes"', "'it''s'", "1.10", "on", "http://x:80/#y", '"\\u00e4"'];

/** A document in one of the forms in which people write them, with keys and forms that no page knows. */
export function documentOf(seed: number): { text: string; names: string[] } {
  const next = numbers(seed);
  const pick = <T>(all: readonly T[]): T => all[Math.floor(next() * all.length)] as T;
  const names = NAMES.filter(() => next() < 0.6);
  const margin = " ".repeat(pick([2, 4]));
  const inner = margin + " ".repeat(pick([2, 3]));
  const comment = () => (next() < 0.3 ? ` # ${pick(["why", "links: [x]", "}"])}` : "");
  const part = (name: string, earlier: readonly string[]): string[] => {
    const links = earlier.filter(() => next() < 0.4);
    if (next() < 0.25) {
      const flow = links.length > 0 ? `, links: [${links.join(", ")}]` : "";
      return [`${margin}${name}: { image: ${name}:1${flow}, mystery: {a: [1, "}"]} }${comment()}`];
    }
    const lines = [
      `${margin}${pick([name, `"${name}"`])}:${comment()}`,
      `${inner}image: ${name}:1${comment()}`,
    ];
    if (next() < 0.5) lines.push(`${inner}mystery: ${pick(WORDS)}${comment()}`);
    if (next() < 0.3) lines.push("", `${inner}# on its own`);
    if (links.length > 0 && next() < 0.5) lines.push(`${inner}links: [${links.join(", ")}]${comment()}`);
    else if (links.length > 0) {
      const dash = inner + pick(["", "  "]);
      lines.push(`${inner}links:${comment()}`, ...links.map((to) => `${dash}- ${to}${comment()}`));
    }
    const ports = ["ports:", "  http:", "    port: 80", "    publish: { port: 8080 }"];
    const files = ["files:", "  /a:", "    content: |", "      x: ["];
    if (next() < 0.4) lines.push(...ports.map((line) => inner + line));
    if (next() < 0.3) lines.push(...files.map((line) => inner + line), "");
    return lines;
  };
  const body = names.flatMap((name, at) => part(name, names.slice(0, at)));
  const lines = [
    ...(next() < 0.5 ? ["# mine"] : []),
    `version: 1${comment()}`,
    ...(next() < 0.5 ? ["later:", "  unknown: [1, {a: b}]"] : []),
    names.length === 0 ? "applications: {}" : "applications:",
    ...body,
    ...(next() < 0.5 ? ["", "# the machine", "machine:", "  name: attic"] : []),
  ];
  return { text: `${lines.join("\n")}\n`, names };
}
