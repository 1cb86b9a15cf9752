/** Fields of a template's form: what a person writes, read by the rules of the agent, so that it is said while one types. */
import type { TemplateField } from "../api/xnode";
import { readSize } from "./quantity";

/** Longest answer in bytes, as the agent has it. */
const ANSWER_BYTES_MAX = 4096;
const NUMBER_MAX = (1n << 64n) - 1n;
/** Names of applications, volumes, ports and secrets. */
export const NAME = /^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$/;
export const NAME_WORDS = "1 to 32 small letters, digits and hyphens, with a letter first and no hyphen last";

const PORT_WORDS =
  "none, auto, or a port from 1 to 65535; an address may stand before it, as in 127.0.0.1:8080";

/** What is wrong with an answer; `null` where nothing is. An answer of no letters stands for the default. */
export function wrongAnswer(field: TemplateField, written: string): string | null {
  const text = field.kind === "text" ? written : written.trim();
  if (text === "") return field.required ? "This is needed." : null;
  // eslint-disable-next-line no-control-regex -- this is what is looked for
  if (new TextEncoder().encode(text).length > ANSWER_BYTES_MAX || /[\x00-\x1f\x7f-\x9f]/.test(text))
    return `One line of at most ${ANSWER_BYTES_MAX} bytes is expected.`;
  switch (field.kind) {
    case "text":
      return unlikePattern(field, text);
    case "number":
    case "size":
      return outOfRange(field, text);
    case "boolean":
      return text === "true" || text === "false" ? null : "True or false is expected.";
    case "choice":
      return field.choices.includes(text) ? null : `One of these is expected: ${field.choices.join(", ")}.`;
    case "port":
      return wrongPort(text);
    case "domain":
      return isDomain(text) ? null : "A domain is expected, such as shop.example.org.";
    case "application":
      return NAME.test(text) ? null : `A name has ${NAME_WORDS}.`;
    case "secret":
      return NAME.test(text.replace(/^secret:/, "")) ? null : `The name of a secret has ${NAME_WORDS}.`;
    default:
      // A kind of a later agent: it says itself what is wrong.
      return null;
  }
}

function unlikePattern({ pattern, pattern_words: words }: TemplateField, text: string): string | null {
  if (pattern === null) return null;
  let whole: RegExp;
  try {
    whole = new RegExp(`^(?:${pattern})$`);
  } catch {
    // Written for the agent's expressions, and none of a browser's.
    return null;
  }
  return whole.test(text) ? null : `It must be ${words ?? "of another form"}.`;
}

/** A number or a size as a whole number; `null` where it is none. */
function amountOf(kind: string, text: string): bigint | null {
  if (kind === "size") {
    const read = readSize(text);
    return "bytes" in read ? read.bytes : null;
  }
  return /^\d+$/.test(text) && BigInt(text) <= NUMBER_MAX ? BigInt(text) : null;
}

function outOfRange({ kind, least, greatest }: TemplateField, text: string): string | null {
  if (kind === "size") {
    const read = readSize(text);
    if ("wrong" in read) return read.wrong;
  }
  const amount = amountOf(kind, text);
  const low = least === null ? null : amountOf(kind, least);
  const high = greatest === null ? null : amountOf(kind, greatest);
  const fits = amount !== null && (low === null || amount >= low) && (high === null || amount <= high);
  if (fits) return null;
  const noun = kind === "size" ? "A size" : "A whole number";
  if (least !== null && greatest !== null) return `${noun} from ${least} to ${greatest} is expected.`;
  if (least !== null) return `${noun} of at least ${least} is expected.`;
  return greatest === null ? `${noun} is expected.` : `${noun} of at most ${greatest} is expected.`;
}

function wrongPort(text: string): string | null {
  if (text === "none") return null;
  const [, address, port = ""] = /^(?:(.+):)?([^:]*)$/.exec(text) ?? [];
  const known = address === undefined || /^(\d{1,3}(\.\d{1,3}){3}|\[[0-9a-fA-F:.]+\])$/.test(address);
  const fits = port === "auto" || (/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535);
  return known && fits ? null : `One of these is expected: ${PORT_WORDS}.`;
}

export const isDomain = (text: string): boolean =>
  text.length <= 253 &&
  /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(
    text.toLowerCase(),
  );

/** All that is wrong with the answers, by the field's name. */
export function wrongAnswers(
  fields: readonly TemplateField[],
  written: Readonly<Record<string, string>>,
): Record<string, string> {
  const wrong: Record<string, string> = {};
  for (const field of fields) {
    const problem = wrongAnswer(field, written[field.name] ?? "");
    if (problem !== null) wrong[field.name] = problem;
  }
  return wrong;
}

/** Answers to be sent: those that were written, without those that are the default anyway. */
export function answersOf(
  fields: readonly TemplateField[],
  written: Readonly<Record<string, string>>,
): Record<string, string> {
  const answers: Record<string, string> = {};
  for (const field of fields) {
    const text = written[field.name] ?? "";
    const answer = field.kind === "text" ? text : text.trim();
    if (answer !== "" && answer !== field.default) answers[field.name] = answer;
  }
  return answers;
}

/** A name that no application has: that of the template, with a number where it is taken. */
export function freeName(template: string, taken: readonly string[]): string {
  if (!taken.includes(template)) return template;
  for (let number = 2; ; number += 1) {
    const name = `${template.slice(0, 28)}-${number}`;
    if (!taken.includes(name)) return name;
  }
}

/** A template as a person writes it: `redis`, or `acme/shop` where it is of the catalogue of another publisher. */
export const fullName = ({ name, catalogue }: { name: string; catalogue?: string }): string =>
  catalogue === undefined ? name : `${catalogue}/${name}`;

interface Searched {
  name: string;
  title: string;
  summary: string;
  category: string;
  catalogue?: string;
  publisher?: string;
}

/** Words of the templates that are searched, all of which must be there. */
export function templatesOf<T extends Searched>(
  all: readonly T[],
  filter: { text: string; category: string },
): T[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  return all.filter((each) => {
    const { name, title, summary, category, catalogue = "", publisher = "" } = each;
    const haystack = `${name} ${title} ${summary} ${category} ${catalogue} ${publisher}`.toLowerCase();
    return (
      (filter.category === "" || filter.category === each.category) &&
      words.every((word) => haystack.includes(word))
    );
  });
}
