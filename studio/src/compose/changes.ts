/**
 * Changes of a document that the canvas makes, as texts: each touches the applications that it names, and leaves everything else as
 * it was written. `null` where the text cannot be changed so; it is then changed by hand.
 */
import type { TemplateField } from "../api/xnode";
import { ownOf } from "../lib/own";
import { entriesOf, entryOf, textOf, valueAt, wordsOf, type Entry, type Tree } from "../lib/tree";
import { addWord, removeIn, removeWord, setIn } from "../lib/treeEdit";
import { readTree } from "../lib/treeRead";
import { graphOf, marksOf, publicationOf } from "./graph";

const HEAD = "applications";
/** The first document of a machine that has none. */
const EMPTY = "version: 1\napplications: {}\n";

const treeOf = (text: string): Tree | null => {
  const read = readTree(text);
  return "tree" in read ? read.tree : null;
};
const applicationOf = (text: string, name: string): Tree | null => valueAt(treeOf(text), HEAD, name);

/** A text after several changes; `null` as soon as one cannot be made. */
const after = (text: string, ...changes: ((text: string) => string | null)[]): string | null =>
  changes.reduce<string | null>((now, change) => (now === null ? null : change(now)), text);

/** The document with the applications of another one; with the names of those that are there already it is not made. */
export function withApplications(text: string, added: string): { text: string } | { taken: string[] } | null {
  const begin = text.trim() === "" ? EMPTY : text;
  const entries = entriesOf(valueAt(treeOf(added), HEAD));
  const there = entriesOf(valueAt(treeOf(begin), HEAD)).map(({ key }) => key);
  const taken = entries.map(({ key }) => key).filter((key) => there.includes(key));
  if (taken.length > 0) return { taken };
  const made = after(
    begin,
    ...entries.map(
      ({ key, value }) =>
        (now: string) =>
          setIn(now, [HEAD, key], value),
    ),
  );
  return made === null || entries.length === 0 ? null : { text: made };
}

/** The document without an application, and without the links that lead to it. */
export function withoutApplication(text: string, name: string): string | null {
  const others = entriesOf(valueAt(treeOf(text), HEAD)).filter(({ key }) => key !== name);
  const kinds = ["links", "after"] as const;
  const cuts = others.flatMap(({ key, value }) =>
    kinds
      .filter((kind) => wordsOf(valueAt(value, kind)).includes(name))
      .map((kind) => (now: string) => removeWord(now, [HEAD, key, kind], name)),
  );
  return after(text, ...cuts, (now) => removeIn(now, [HEAD, name]));
}

export const withLink = (text: string, from: string, to: string): string | null =>
  applicationOf(text, from)?.kind === "map" ? addWord(text, [HEAD, from, "links"], to) : null;

export const withoutLink = (text: string, kind: "links" | "after", from: string, to: string): string | null =>
  removeWord(text, [HEAD, from, kind], to);

/**
 * The document with a copy of an application. Ports of the host and domains belong to the one that had them first: the copy gets free
 * ports, and no domain. Secrets are the same for both.
 */
export function withCopy(text: string, name: string, as: string): string | null {
  const found = applicationOf(text, name);
  return found === null || applicationOf(text, as) !== null ? null : setIn(text, [HEAD, as], copyOf(found));
}

function copyOf(value: Tree): Tree {
  if (value.kind !== "map") return value;
  const entries = value.entries.flatMap((entry): Entry[] => {
    if (entry.key === "domains") return [];
    return [entry.key === "ports" ? { ...entry, value: mapped(entry.value, unclaimed) } : entry];
  });
  return { ...value, entries };
}

const mapped = (value: Tree, change: (entry: Entry) => Entry): Tree =>
  value.kind === "map" ? { ...value, entries: value.entries.map(change) } : value;

/** A port that is published at a free port of the host. */
const unclaimed = (port: Entry): Entry => ({
  ...port,
  value: mapped(port.value, (entry) =>
    entry.key === "publish" && entry.value.kind === "map"
      ? {
          ...entry,
          value: { ...entry.value, entries: entry.value.entries.filter(({ key }) => key !== "port") },
        }
      : entry,
  ),
});

/** What is written in a form, by the field's name. */
export type Answers = Readonly<Record<string, string>>;

/** The form of an application that is made of a template, as the document has its answers. */
export interface Filled {
  /** Fields that a form can show. */
  fields: TemplateField[];
  answers: Answers;
}

/** Reads the answers of an application. What is answered in a form that no input has (a secret as a text) is left to the text. */
export function answersIn(text: string, name: string, fields: readonly TemplateField[]): Filled {
  const application = applicationOf(text, name);
  const found = fields.flatMap((field): [TemplateField, string][] => {
    const answer = answerOf(application, field);
    return answer === null ? [] : [[field, answer]];
  });
  return {
    fields: found.map(([field]) => field),
    answers: Object.fromEntries(found.map(([field, answer]) => [field.name, answer])),
  };
}

/** The place to which an application is backed up; `null` where it is not. */
export const placeOfBackups = (text: string, name: string): string | null =>
  textOf(valueAt(applicationOf(text, name), "backup", "to"));

function answerOf(application: Tree | null, field: TemplateField): string | null {
  if (field.kind === "port") {
    if (!field.port) return null;
    const publish = valueAt(application, "ports", field.port, "publish");
    return publish?.kind === "map" ? publicationOf(publish) : "none";
  }
  const given = valueAt(application, "template", "answers", field.name);
  const secret = textOf(valueAt(given, "secret"));
  if (secret !== null) return field.kind === "secret" ? `secret:${secret}` : null;
  return textOf(given) ?? field.default ?? "";
}

/** A change of answers, with the document that the agent makes of them. */
export interface Reordered {
  name: string;
  fields: readonly TemplateField[];
  before: Answers;
  after: Answers;
  /** Document with the application, and with those that it brings. */
  made: string;
}

/** The document with other answers of an application: only what they change becomes another text. */
export function withAnswers(text: string, change: Reordered): string | null {
  const { name, fields, before, after: wanted } = change;
  const made = treeOf(change.made);
  const own = valueAt(made, HEAD, name);
  if (own === null || applicationOf(text, name)?.kind !== "map") return null;
  const changed = fields.filter((field) => (before[field.name] ?? "") !== (wanted[field.name] ?? ""));
  const there = entriesOf(valueAt(treeOf(text), HEAD)).map(({ key }) => key);
  const brought = entriesOf(valueAt(made, HEAD)).filter(({ key }) => key !== name && !there.includes(key));
  return after(
    text,
    ...changed.map((field) => (now: string) => withAnswer(now, name, field, own)),
    ...changed.map((field) => (now: string) => withPlace(now, change, field, own)),
    ...brought.map(
      ({ key, value }) =>
        (now: string) =>
          setIn(now, [HEAD, key], value),
    ),
  );
}

/** The answer itself; how a port is published is none of the template's answers. */
function withAnswer(text: string, name: string, field: TemplateField, own: Tree): string | null {
  if (field.kind === "port") return text;
  const place = ["template", "answers", field.name];
  const value = valueAt(own, ...place);
  if (value !== null) return setIn(text, [HEAD, name, ...place], value);
  const isThere = valueAt(applicationOf(text, name), ...place) !== null;
  return isThere ? removeIn(text, [HEAD, name, ...place]) : text;
}

/** What has its place beside the template: published ports, domains, links. */
function withPlace(text: string, change: Reordered, field: TemplateField, own: Tree): string | null {
  const { name } = change;
  switch (field.kind) {
    case "port":
      return field.port ? withPublication(text, name, field.port, own) : text;
    case "domain":
      return withDomain(text, name, change.before[field.name] ?? "", own);
    case "application": {
      const old = change.before[field.name] ?? "";
      const isKept = wordsOf(valueAt(own, "links")).includes(old);
      const isThere = wordsOf(valueAt(applicationOf(text, name), "links")).includes(old);
      const now = textOf(valueAt(own, "template", "answers", field.name));
      return after(
        text,
        (each) => (now === null ? each : withLink(each, name, now)),
        (each) => (isThere && !isKept ? withoutLink(each, "links", name, old) : each),
      );
    }
    default:
      return text;
  }
}

function withPublication(text: string, name: string, port: string, own: Tree): string | null {
  const path = [HEAD, name, "ports", port];
  const wanted = valueAt(own, "ports", port);
  const there = entryOf(valueAt(applicationOf(text, name), "ports"), port);
  const publish = valueAt(wanted, "publish");
  if (wanted !== null && (there === null || publish === null)) return setIn(text, path, wanted);
  if (publish !== null) return setIn(text, [...path, "publish"], publish);
  return there && entryOf(there.value, "publish") ? removeIn(text, [...path, "publish"]) : text;
}

function withDomain(text: string, name: string, before: string, own: Tree): string | null {
  const wanted = entriesOf(valueAt(own, "domains"));
  const there = entriesOf(valueAt(applicationOf(text, name), "domains")).map(({ key }) => key);
  const old = before.trim().toLowerCase();
  const gone = there.filter((key) => key === old && wanted.every((entry) => entry.key !== key));
  return after(
    text,
    ...wanted
      .filter(({ key }) => !there.includes(key))
      .map(
        ({ key, value }) =>
          (now: string) =>
            setIn(now, [HEAD, name, "domains", key], value),
      ),
    ...gone.map((key) => (now: string) => removeIn(now, [HEAD, name, "domains", key])),
  );
}

/** What was changed of one document, on top of another one, with the applications that both have changed. */
export interface Carried {
  text: string;
  both: string[];
}

/** Carries what was changed since `base` over to the document that the machine has by now. */
export function carried(base: string, mine: string, next: string): Carried | null {
  const [was, own, now] = [base, mine, next].map((text) => graphOf(text));
  if (!was || !own || !now || !("graph" in was) || !("graph" in own) || !("graph" in now)) return null;
  const { marks, removed, isRestOther } = marksOf(was.graph, own.graph);
  const theirs = marksOf(was.graph, now.graph);
  const changed = Object.keys(marks).filter((name) => marks[name] !== "same");
  const gone = removed.filter((name) => now.graph.nodes.some((node) => node.name === name));
  const text = after(
    next.trim() === "" ? EMPTY : next,
    ...changed.map((name) => (text: string) => {
      const value = applicationOf(mine, name);
      return value && setIn(text, [HEAD, name], value);
    }),
    ...gone.map((name) => (text: string) => removeIn(text, [HEAD, name])),
    (text) => (isRestOther ? withRest(text, mine) : text),
  );
  const isTheirs = (name: string) =>
    (ownOf(theirs.marks, name) ?? "same") !== "same" || theirs.removed.includes(name);
  return text === null ? null : { text, both: [...changed, ...gone].filter(isTheirs) };
}

/** The keys beside the applications as another text has them. */
function withRest(text: string, mine: string): string | null {
  const keys = (of: string) => entriesOf(treeOf(of)).filter(({ key }) => key !== HEAD);
  const wanted = keys(mine);
  const gone = keys(text).filter(({ key }) => wanted.every((entry) => entry.key !== key));
  return after(
    text,
    ...wanted.map(
      ({ key, value }) =>
        (now: string) =>
          setIn(now, [key], value),
    ),
    ...gone.map(
      ({ key }) =>
        (now: string) =>
          removeIn(now, [key]),
    ),
  );
}
