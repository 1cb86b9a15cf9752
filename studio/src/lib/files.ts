/**
 * Files of an application, read and written by its own shell: what it may not see, nobody sees here. The scripts keep to
 * POSIX and to what both GNU and BusyBox have. Paths come as arguments, never as part of a script.
 */

export type FileKind = "folder" | "file" | "link" | "other";

export interface FileEntry {
  name: string;
  kind: FileKind;
  /** Bytes. */
  size: number;
  /** Milliseconds since 1970. */
  changed: number;
  /** Permissions, the lower twelve bits. */
  mode: number;
}

/** Entries of a folder that are asked for: more is no list that somebody reads. */
export const ENTRIES_MAX = 2_000;
/** Bytes of a file that are shown, and up to which it can be changed here: texts of configuration are far smaller. */
export const VIEW_BYTES_MAX = 256 * 1_024;
/** Bytes of a file that is carried to or from this page: it goes through the memory of the browser. */
export const CARRY_BYTES_MAX = 64 * 2 ** 20;
/** Bytes of a part of a file that is sent; written as base64 it is below the 4 MiB that a request may have. */
export const PART_BYTES_MAX = 2 * 2 ** 20;

const NEEDS = `for tool in stat base64 tr head wc; do
  command -v "$tool" >/dev/null 2>&1 || { echo "its image has no $tool, with which files are looked at here" >&2; exit 126; }
done`;

/** Tells a folder, or the begin of a file. Arguments: path, most bytes of a file, most entries of a folder. */
export const OPEN = `${NEEDS}
if [ -d "$1" ]; then
  cd -- "$1" || exit 3
  echo folder
  stat -c "%f %s %Y %n" -- .[!.]* ..?* * 2>/dev/null | head -n "$3"
  exit 0
fi
[ -e "$1" ] || { echo "nothing is at this path" >&2; exit 3; }
[ -f "$1" ] || { echo "it is no file and no folder, and reading it could wait forever" >&2; exit 3; }
[ -r "$1" ] || { echo "the application's user may not read it" >&2; exit 3; }
echo file
stat -L -c "%f %s %Y" -- "$1" || exit 3
head -c "$2" <"$1" | base64 | tr -d '\\n'`;

/**
 * Writes a part of a file beside it, and puts the whole in its place with the last one. Arguments: path, bytes that are
 * there before this part, bytes that are there behind it, bytes in all, and the mark of the file that is replaced (`new`
 * where there is to be none).
 */
export const PUT = `${NEEDS}
target=$1
if [ -e "$target" ]; then
  target=$(readlink -f -- "$target") || exit 3
fi
part="$target.openmesh-part"
if [ "$2" -eq 0 ]; then
  if [ -e "$target" ]; then
    [ "$5" != new ] || { echo "there is something of this name already; remove it first" >&2; exit 4; }
    [ "$(stat -c "%s %Y" -- "$target")" = "$5" ] || { echo "it was changed meanwhile; open it again, and put your changes into what it is now" >&2; exit 4; }
    cp -p -- "$target" "$part" || exit 3
  elif [ "$5" != new ]; then
    echo "it was removed meanwhile" >&2; exit 4
  fi
  base64 -d >"$part"
else
  [ "$(wc -c <"$part")" -eq "$2" ] || { echo "what was sent before is not here any more; begin again" >&2; exit 5; }
  base64 -d >>"$part"
fi
[ "$(wc -c <"$part")" -eq "$3" ] || { rm -f -- "$part"; echo "not all of it could be written; its disk may be full" >&2; exit 5; }
[ "$3" -lt "$4" ] || mv -f -- "$part" "$target"`;

/** Removes a file or a link. Argument: path. */
export const REMOVE = `if [ -d "$1" ] && [ ! -L "$1" ]; then echo "it is a folder" >&2; exit 3; fi
rm -- "$1"`;

/** A command that runs a script with its arguments. */
export const scripted = (script: string, ...given: (string | number)[]): string[] => [
  "/bin/sh",
  "-c",
  script,
  "sh",
  ...given.map(String),
];

const KINDS: Record<number, FileKind | undefined> = { 0x4000: "folder", 0x8000: "file", 0xa000: "link" };
const ENTRY = /^([0-9a-f]+) (\d+) (-?\d+)(?: ([\s\S]*))?$/;

/** A line of `stat`; `null` where it is none. */
export function readEntry(line: string): FileEntry | null {
  const [, mode, size, changed, name = ""] = ENTRY.exec(line) ?? [];
  if (mode === undefined) return null;
  const bits = parseInt(mode, 16);
  return {
    name,
    kind: KINDS[bits & 0xf000] ?? "other",
    size: Number(size),
    changed: Number(changed) * 1_000,
    mode: bits & 0o7777,
  };
}

/** Entries of a folder: folders first, each by name. A name may have a line break, and then goes on in the next line. */
export function readEntries(lines: readonly string[]): FileEntry[] {
  const entries: FileEntry[] = [];
  for (const line of lines) {
    const entry = readEntry(line);
    const last = entries.at(-1);
    if (entry) entries.push(entry);
    else if (last) last.name += `\n${line}`;
  }
  const rank = ({ kind }: FileEntry) => (kind === "folder" ? 0 : 1);
  return entries.sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1));
}

/** What tells that a file is still the one that was read: its size and the second of its last change. */
export const markOf = ({ size, changed }: FileEntry): string => `${size} ${changed / 1_000}`;

/** Permissions as `ls` writes them: `rw-r--r--`. */
export const permissions = (mode: number): string =>
  [6, 3, 0]
    .map((shift) => (mode >> shift) & 7)
    .map((bits) => `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`)
    .join("");

/** A path from the root, without `.`, `..` and empty parts: an address is typed by strangers. */
export function cleanPath(text: string): string {
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return `/${parts.join("/")}`;
}

export const joined = (folder: string, name: string): string => (folder === "/" ? `/${name}` : `${folder}/${name}`);

/** Folders above a path, the root first, and the path itself. */
export function stepsTo(path: string): { name: string; path: string }[] {
  const parts = path.split("/").filter(Boolean);
  return [
    { name: "/", path: "/" },
    ...parts.map((name, at) => ({ name, path: `/${parts.slice(0, at + 1).join("/")}` })),
  ];
}

/** Bytes of a text in base64 that comes in parts of any length. */
export class Base64Parts {
  #rest = "";

  /** The bytes that are whole with this part. Fails where it is no base64. */
  add(part: string): Uint8Array<ArrayBuffer> {
    const text = this.#rest + part;
    const whole = text.length - (text.length % 4);
    this.#rest = text.slice(whole);
    return Uint8Array.from(atob(text.slice(0, whole)), (char) => char.charCodeAt(0));
  }
}

/** Characters that are made of bytes at once: a call takes so many arguments everywhere. */
const CALL_CHARS_MAX = 8_192;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CALL_CHARS_MAX)
    text += String.fromCharCode(...bytes.subarray(at, at + CALL_CHARS_MAX));
  return btoa(text);
}

/** The text of a file; `null` where it is none. */
export function textOf(bytes: Uint8Array): string | null {
  if (bytes.includes(0)) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** How the lines of a text end: a field of a page has one kind of end. `null` where a text has several. */
export function lineEndOf(text: string): "\n" | "\r\n" | null {
  if (!text.includes("\r")) return "\n";
  return /\r(?!\n)|(?:^|[^\r])\n/.test(text) ? null : "\r\n";
}

/** True for a text with characters that turn the direction of others, so that it looks like another one. */
export const isTurned = (text: string): boolean => /[\u202a-\u202e\u2066-\u2069]/.test(text);
