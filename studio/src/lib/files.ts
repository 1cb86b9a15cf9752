/** Files of an application: paths, permissions, and texts that can be changed on a page. */

/** Bytes of a file that are shown, and up to which it can be changed here: texts of configuration are far smaller. */
export const VIEW_BYTES_MAX = 256 * 1_024;
/** Bytes of a file that is carried from the machine by a page: all of it goes through the memory of the browser. */
export const CARRY_BYTES_MAX = 256 * 2 ** 20;

/** Permissions as `ls` writes them: `rw-r--r--`. */
export const permissions = (mode: number): string =>
  [6, 3, 0]
    .map((shift) => (mode >> shift) & 7)
    .map((bits) => `${bits & 4 ? "r" : "-"}${bits & 2 ? "w" : "-"}${bits & 1 ? "x" : "-"}`)
    .join("");

/** A path below a volume, without `.`, `..` and empty parts: an address is typed by strangers. */
export function cleanPath(text: string): string {
  const parts: string[] = [];
  for (const part of text.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

export const joined = (folder: string, name: string): string => (folder === "" ? name : `${folder}/${name}`);

/** The last part of a path. */
export const nameOf = (path: string): string => path.split("/").at(-1) ?? "";

/** Folders on the way to a path, and the path itself; the top is not among them. */
export const stepsTo = (path: string): { name: string; path: string }[] => {
  const parts = path.split("/").filter(Boolean);
  return parts.map((name, at) => ({ name, path: parts.slice(0, at + 1).join("/") }));
};

/** A name of a file of this computer in a path there, where a backslash begins what is no plain text. */
export const named = (name: string): string => name.replaceAll("\\", "\\x5c");

/** Bytes in all by a header `Content-Range: bytes 0-9/100`; `null` where it does not say. */
export function totalOf(header: string | null): number | null {
  const total = /^bytes \d+-\d+\/(\d+)$/.exec(header ?? "")?.[1];
  return total === undefined ? null : Number(total);
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

/** The text of the begin of a file, which may end within a character. */
export function beginOf(bytes: Uint8Array): string | null {
  for (let less = 0; less < 4; less += 1) {
    const text = textOf(bytes.subarray(0, Math.max(0, bytes.length - less)));
    if (text !== null) return text;
  }
  return null;
}

/** How the lines of a text end: a field of a page has one kind of end. `null` where a text has several. */
export function lineEndOf(text: string): "\n" | "\r\n" | null {
  if (!text.includes("\r")) return "\n";
  return /\r(?!\n)|(?:^|[^\r])\n/.test(text) ? null : "\r\n";
}

/** True for a text with characters that turn the direction of others, so that it looks like another one. */
export const isTurned = (text: string): boolean => /[\u202a-\u202e\u2066-\u2069]/.test(text);
