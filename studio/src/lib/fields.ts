/** Fields of an action: what a person writes, as the value that goes into a request and into the typed data. */
import { isAddress } from "viem";
import type { ActionField, ActionInfo, FieldValue } from "../api/types";
import { units } from "./decimals";

/** A field that was read: its value for the node, or what is wrong with it. */
export type Read = { value: FieldValue } | { wrong: string };

/** A hash as people write it. */
const HASH = /^(0x)?[0-9a-f]{64}$/i;

/** Largest whole number of a field: 2^64 - 1, as in the ledger. */
const UINT_MAX = (1n << 64n) - 1n;

/** The texts of a list: each on a line of its own, or between commas. */
export const listed = (text: string): string[] =>
  text
    .split(/[\n,]/)
    .map((each) => each.trim())
    .filter((each) => each !== "");

/** What an input's label says: its name and the unit of what is written. */
export function labelOf(field: ActionField): string {
  if (field.type === "amount") return `${field.label} in OPEN`;
  return field.unit ? `${field.label} in ${field.unit}` : field.label;
}

/** Reads what was written into a field by its type. */
export function readField(field: ActionField, written: string): Read {
  const text = written.trim();
  if (field.type === "texts") return { value: listed(written) };
  if (field.type === "optional_text") return { value: text };
  if (text === "") return { wrong: "This is needed." };
  switch (field.type) {
    case "address":
      return readAddress(text);
    case "amount": {
      const value = units(text);
      return value === null
        ? { wrong: "An amount is a number of OPEN such as 12.5, with at most 18 digits behind the point." }
        : { value };
    }
    case "uint":
      if (!/^\d+$/.test(text)) return { wrong: "A whole number is expected, such as 10000." };
      // As text: a number of JSON is exact only up to 2^53.
      return BigInt(text) > UINT_MAX
        ? { wrong: "The number is larger than 2^64 - 1." }
        : { value: BigInt(text).toString() };
    case "hash":
      // As the typed data has it, so that what is signed can be compared with what was written.
      return HASH.test(text)
        ? { value: `0x${text.replace(/^0x/i, "").toLowerCase()}` }
        : {
            wrong: `A SHA-256 is 64 hexadecimal digits; these are ${text.replace(/^0x/i, "").length} characters.`,
          };
    case "choice":
      return field.choices.includes(text)
        ? { value: text }
        : { wrong: `One of these is expected: ${field.choices.join(", ")}.` };
    case "text":
      return { value: text };
  }
}

function readAddress(text: string): Read {
  if (!isAddress(text, { strict: false })) return { wrong: "An address is 0x and 40 hexadecimal digits." };
  // All lower or all upper case carries no checksum; mixed case does, and then it must hold.
  if (!isAddress(text) && !/^0x([0-9a-f]{40}|[0-9A-F]{40})$/.test(text))
    return { wrong: "Upper and lower case do not fit (EIP-55): one of the address's digits is wrong." };
  return { value: text };
}

/** All fields of an action read: their values where every one is right, and what is wrong by the field's name. */
export function readFields(
  action: ActionInfo,
  written: Record<string, string>,
): { values: Record<string, FieldValue>; wrong: Record<string, string> } {
  const values: Record<string, FieldValue> = {};
  const wrong: Record<string, string> = {};
  for (const field of action.fields) {
    const read = readField(field, written[field.name] ?? "");
    if ("value" in read) values[field.name] = read.value;
    else wrong[field.name] = read.wrong;
  }
  return { values, wrong };
}

/** The field that a refusal of the node speaks of (`window_ms: a whole number is expected`), with what it says. */
export function refusedField(action: ActionInfo, message: string): { name: string; wrong: string } | null {
  const match = /^(?:the action: )?([a-z0-9_]+): (.+)$/.exec(message);
  const name = match?.[1] ?? "";
  return match?.[2] && action.fields.some((field) => field.name === name) ? { name, wrong: match[2] } : null;
}

/** The members of a type as `encodeType` has them (EIP-712): `Transfer(address to,uint256 amount)`. */
export function membersOf(encoded: string): { primary: string; members: { type: string; name: string }[] } {
  const match = /^([A-Za-z0-9_]+)\((.*)\)$/.exec(encoded);
  const members = (match?.[2] ?? "").split(",").map((each) => {
    const [type = "", name = ""] = each.trim().split(" ");
    return { type, name };
  });
  return { primary: match?.[1] ?? "", members };
}

/** Amounts of an action together, in units of 10^-18 OPEN. */
export const spent = (action: ActionInfo, values: Record<string, FieldValue>): bigint =>
  action.fields
    .filter((field) => field.type === "amount")
    .reduce((sum, field) => sum + BigInt(String(values[field.name] ?? "0")), 0n);
