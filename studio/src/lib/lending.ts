/** Room for others: words, figures and wishes of loans. */
import type { Lending, Loan, LoanWish } from "../api/xnode";
import { instant } from "./format";
import { NAME, NAME_WORDS } from "./options";
import { binary, readSize } from "./quantity";

type Tone = "plain" | "good" | "warn" | "bad";

/** Bounds of a loan, as the agent has them (`crates/agent/src/lending/book.rs`, `crates/lender/src/limits.rs`). */
const KEYS_MAX = 8;
const ROOM_BYTES_MIN = 2 ** 20;
const HELD_DAYS_MAX = 365;
/** Days for which removed objects are withheld where nobody says otherwise. */
const HELD_DAYS = "14";
/** The port at which a lender listens where no other one is known. */
const PORT = "7790";

const STANDINGS: Record<string, { tone: Tone; words: string; title: string } | undefined> = {
  lent: { tone: "good", words: "lent", title: "The guest stores, reads and removes" },
  over: {
    tone: "warn",
    words: "over",
    title: "Ended by its date: the guest reads and tidies, and stores nothing new",
  },
  ended: { tone: "plain", words: "ended", title: "Ended by a person: the guest reads, and nothing changes" },
  going: { tone: "bad", words: "going", title: "Its objects are being removed" },
};
export const STANDING_WORDS = Object.keys(STANDINGS);

/** The standing of a loan; one of a later agent stands by its own word. */
export const standingOf = (standing: string): { tone: Tone; words: string; title: string } =>
  STANDINGS[standing] ?? { tone: "plain", words: standing.replaceAll("_", " "), title: "" };

/** What the filters leave of the loans. */
export function loansOf(all: readonly Loan[], filter: { text: string; standing: string }): Loan[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const searched = ({ name, by, keys, readers = [] }: Loan) =>
    [name, by, ...keys, ...readers].join(" ").toLowerCase();
  return all
    .filter(({ standing }) => filter.standing === "" || standing === filter.standing)
    .filter((loan) => words.every((word) => searched(loan).includes(word)));
}

/** How full a loan is, what is withheld of it counted in: a share between 0 and 1, and words. */
export function roomOf({ room_bytes: room, used_bytes: used, held_bytes: held }: Loan): {
  share: number;
  words: string;
} {
  const share = room === 0 ? 1 : Math.min(1, (used + held) / room);
  const withheld = held === 0 ? "" : `, and ${binary(held)} that were removed`;
  return { share, words: `${binary(used)} of ${binary(room)}${withheld}` };
}

/** How the lender stands, in words. */
export function lenderState({ loans, shut, troubles }: Lending): { tone: Tone; words: string } {
  if (loans.length === 0) return { tone: "plain", words: "nothing is lent, so that it does not run" };
  if (shut === null) return { tone: "bad", words: "it does not run: guests neither store nor read" };
  if (troubles.length > 0) return { tone: "bad", words: "it runs, and does not all that it was told" };
  return shut
    ? { tone: "good", words: "it runs, shut into its folders and its port by the kernel" }
    : { tone: "warn", words: "it runs, and the kernel does not shut it in (landlock is missing)" };
}

/**
 * What a guest writes below `machine: backups:` of its document. Where this page is opened on the machine itself, the guest has to
 * put a name or an address in its place.
 */
export function guestPlace({ key, listens }: Lending, hostname: string): string {
  const [first = ""] = listens;
  const port = /:(\d+)$/.exec(first)?.[1] ?? PORT;
  const isHere = ["localhost", "127.0.0.1", "[::1]"].includes(hostname);
  return `attic: { kind: peer, address: "${isHere ? "THIS-MACHINE" : hostname}:${port}", node: ${key} }`;
}

/** A loan as a person writes it. */
export interface LoanForm {
  name: string;
  /** Keys, parted by blanks or line breaks. */
  keys: string;
  readers: string;
  room: string;
  /** Last day as `YYYY-MM-DD`; nothing where it has no end. */
  until: string;
  days: string;
}

export const NEW_LOAN: LoanForm = { name: "", keys: "", readers: "", room: "", until: "", days: HELD_DAYS };

/** The form of a loan that is there, so that nothing of it changes unsaid. */
export const formOf = (loan: Loan): LoanForm => ({
  name: loan.name,
  keys: loan.keys.join("\n"),
  readers: (loan.readers ?? []).join("\n"),
  room: exactSize(loan.room_bytes),
  until: dayOf(loan.until),
  days: String(loan.held_days),
});

/** Bytes as a size that is read as the same number of them. */
function exactSize(bytes: number): string {
  const units = [
    ["TiB", 2 ** 40],
    ["GiB", 2 ** 30],
    ["MiB", 2 ** 20],
    ["KiB", 2 ** 10],
  ] as const;
  const [unit, size] = units.find(([, size]) => bytes > 0 && bytes % size === 0) ?? ["B", 1];
  return `${bytes / size} ${unit}`;
}

/** The day of a moment (UTC). */
function dayOf(moment: string | null): string {
  const ms = instant(moment);
  return ms === null ? "" : new Date(ms).toISOString().slice(0, 10);
}

/** What is wrong with each field of a form. */
export type LoanFaults = Partial<Record<keyof LoanForm, string>>;

/** The wish of a form, or what is wrong with it. `before`: the loan that it changes. */
export function readLoan(form: LoanForm, before: Loan | null): { wish: LoanWish } | { wrong: LoanFaults } {
  const wrong: LoanFaults = {};
  if (!NAME.test(form.name)) wrong.name = `A name has ${NAME_WORDS}.`;
  const keys = keysOf(form.keys);
  const readers = keysOf(form.readers);
  const bad = (all: string[]) => all.find((key) => !/^[0-9a-f]{64}$/.test(key));
  const odd = bad(keys);
  if (odd !== undefined) wrong.keys = notKey(odd);
  else if (keys.length === 0)
    wrong.keys = "A loan is to a key: `openmesh xnode backup-key show` prints it on the guest.";
  else if (keys.length > KEYS_MAX) wrong.keys = `A loan has at most ${KEYS_MAX} keys.`;
  const strange = bad(readers);
  const both = readers.find((key) => keys.includes(key));
  if (strange !== undefined) wrong.readers = notKey(strange);
  else if (both !== undefined) wrong.readers = `${both.slice(0, 16)}… stands among the guest's keys already.`;
  else if (readers.length > KEYS_MAX) wrong.readers = `A loan has at most ${KEYS_MAX} keys of its owner.`;
  const room = readSize(form.room);
  if ("wrong" in room) wrong.room = room.wrong;
  else if (room.bytes < BigInt(ROOM_BYTES_MIN)) wrong.room = "Less than a MiB holds no backup.";
  else if (room.bytes > BigInt(Number.MAX_SAFE_INTEGER)) wrong.room = "No machine has so much room.";
  const until = untilOf(form.until, before);
  if (until === undefined) wrong.until = "A day is expected, such as 2027-06-30.";
  const days = Number(form.days);
  if (!/^\d{1,3}$/.test(form.days.trim()) || days > HELD_DAYS_MAX)
    wrong.days = `0 to ${HELD_DAYS_MAX} days can be meant.`;
  if (Object.keys(wrong).length > 0 || "wrong" in room || until === undefined) return { wrong };
  return { wish: { keys, readers, room_bytes: Number(room.bytes), until, held_days: days } };
}

const keysOf = (text: string): string[] => [...new Set(text.split(/[\s,]+/).filter(Boolean))];

const notKey = (text: string): string =>
  `${text.length > 24 ? `${text.slice(0, 24)}…` : text} is no key of a machine, which has 64 hexadecimal digits in lower case.`;

/** The moment of a day as the agent has it, decimal seconds; the one of before where the day is the same. */
function untilOf(day: string, before: Loan | null): string | null | undefined {
  if (day === "") return null;
  if (before !== null && day === dayOf(before.until)) return before.until;
  const ms = /^\d{4}-\d\d-\d\d$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : NaN;
  return Number.isNaN(ms) ? undefined : String(ms / 1_000);
}
