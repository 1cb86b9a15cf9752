/** Where what a search found has its page. */
import type { SearchHit, SearchKind } from "../api/types";

/** Kinds as people call them. */
export const KIND_WORDS: Record<SearchKind, string> = {
  block: "Block",
  transaction: "Transaction",
  account: "Account",
  validator: "Validator",
  source: "Source",
  chunk: "Chunk",
  epoch: "Epoch",
  incident: "Incident",
  stamp: "Stamp",
  topic: "Topic of stamps",
  action: "Action",
  parameter: "Parameter",
  pool: "Pool",
};

/** The address of the page of what was found. */
export function pageOf({ kind, key }: Pick<SearchHit, "kind" | "key">): string {
  const part = encodeURIComponent(key);
  switch (kind) {
    case "block":
      return `/blocks/${part}`;
    case "transaction":
      return `/transactions/${part}`;
    case "account":
      return `/accounts/${part}`;
    case "validator":
      return `/validators/${part}`;
    case "source":
      return `/sources/${part}`;
    case "chunk":
      return `/chunks/${part}`;
    case "epoch":
      return `/epochs/${part}`;
    case "incident":
      return `/incidents/${part}`;
    case "stamp":
      return `/stamps/${part}`;
    case "topic":
      return `/stamps?topic=${part}`;
    case "action":
      return `/actions/${part}`;
    case "parameter":
      return `/parameters?find=${part}`;
    case "pool":
      return `/supply?pool=${part}`;
  }
}

/** The CIDs within a note: of raw blocks, as chunks and stamps have them. */
export const cidsIn = (note: string): string[] => note.match(/\bbafkrei[a-z2-7]{52}\b/g) ?? [];

/** A topic of stamps as the ledger takes it; what is wrong with it otherwise. */
export function wrongTopic(topic: string): string | null {
  if (topic === "") return "This is needed.";
  // A control character is not seen, so it is named.
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f]/.test(topic)) return "There is a control character in it.";
  if (!/^[a-z0-9._-]*$/.test(topic)) return "A topic is made of a-z, 0-9, -, _ and a point.";
  return topic.length > 64 ? `A topic has at most 64 characters; these are ${topic.length}.` : null;
}

/** What is wrong with the note of a stamp; `null` where nothing is. */
export function wrongNote(note: string): string | null {
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u001f\u007f-\u009f]/.test(note)) return "There is a control character in it.";
  const bytes = new TextEncoder().encode(note).length;
  return bytes > 256 ? `A note has at most 256 bytes; these are ${bytes}.` : null;
}
