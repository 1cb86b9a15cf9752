/** Files of an application: read and written by processes in it, one shot each. */
import { useQuery } from "@tanstack/react-query";
import {
  Base64Parts,
  CARRY_BYTES_MAX,
  ENTRIES_MAX,
  OPEN,
  PART_BYTES_MAX,
  PUT,
  readEntries,
  readEntry,
  REMOVE,
  scripted,
  toBase64,
  VIEW_BYTES_MAX,
  type FileEntry,
} from "../lib/files";
import { RequestError, streamed } from "./client";
import { readLines } from "./lines";
import type { Exec, ExecEvent } from "./xnode";
import { ROOT } from "./xnodeQueries";

/** A place in an application: of the first instance that runs where none is named. */
export interface Place {
  name: string;
  instance: string;
  path: string;
}

/** What is at a path. */
export type Opened =
  | { kind: "folder"; entries: FileEntry[] }
  /** `bytes` are the first of it; all of it where it is not longer. */
  | { kind: "file"; entry: FileEntry; bytes: Uint8Array<ArrayBuffer> };

/** Code of a program that is not there, as the agent gives it. */
const NO_PROGRAM = 127;

const NO_SHELL = "This image has no shell, and files are looked at by it. Its volumes are in its backups all the same.";

/** Runs a command to its end, and tells its output line by line. Fails where it does not end with 0. */
export async function run(
  { name, instance }: Place,
  asked: Exec,
  onLine: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const wish: Exec = instance === "" ? asked : { ...asked, instance };
  const body = await streamed(`${ROOT}/applications/${encodeURIComponent(name)}/exec`, wish, signal);
  const end = { code: null as number | null, reason: "", errors: [] as string[] };
  await readLines<ExecEvent>(body, (events) => {
    for (const { line, ended, refused } of events) {
      if (line?.stream === "stdout") onLine(line.text);
      else if (line) end.errors.push(line.text);
      if (ended) end.code = ended.code;
      if (refused) end.reason = refused.reason;
    }
  });
  if (end.code === 0) return;
  const said = end.reason || end.errors.join("\n");
  if (end.code === null && said === "")
    throw new RequestError(0, { code: "no_answer", message: "The connection broke off before it was done." });
  const other = end.code === NO_PROGRAM ? NO_SHELL : `The shell ended with code ${end.code ?? "unknown"}.`;
  throw new RequestError(409, { code: "inside", message: said || other });
}

/** Opens what is at a path: a folder, or the first bytes of a file; `onBytes` hears how many have come. */
export async function openPath(
  place: Place,
  most: number,
  onBytes: (bytes: number) => void = () => undefined,
  signal?: AbortSignal,
): Promise<Opened> {
  const lines: string[] = [];
  const parts: Uint8Array<ArrayBuffer>[] = [];
  const base64 = new Base64Parts();
  let count = 0;
  await run(place, { command: scripted(OPEN, place.path, most, ENTRIES_MAX) }, (text) => {
    if (lines[0] !== "file" || lines.length < 2) return void lines.push(text);
    const bytes = base64.add(text);
    parts.push(bytes);
    count += bytes.length;
    onBytes(count);
  }, signal);
  if (lines[0] === "folder") return { kind: "folder", entries: readEntries(lines.slice(1)) };
  const entry = readEntry(lines[1] ?? "");
  if (!entry) throw new RequestError(409, { code: "inside", message: "What its shell said of it cannot be read." });
  const bytes = new Uint8Array(count);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return { kind: "file", entry, bytes };
}

/** What is at a path, asked once: each look runs a process, which the audit log notes. */
export const useOpened = (place: Place, isOn: boolean) =>
  useQuery({
    // Beside the keys of what the agent tells of: its events would ask for it again and again.
    queryKey: ["xnode-files", place],
    queryFn: ({ signal }) => openPath(place, VIEW_BYTES_MAX, undefined, signal),
    enabled: isOn,
    retry: false,
    refetchOnWindowFocus: false,
  });

/** All bytes of a file, for a download. */
export async function readWhole(place: Place, onBytes: (bytes: number) => void): Promise<Uint8Array<ArrayBuffer>> {
  const opened = await openPath(place, CARRY_BYTES_MAX, onBytes);
  if (opened.kind === "folder") throw new RequestError(409, { code: "inside", message: "It is a folder by now." });
  return opened.bytes;
}

/** Puts a file in its place: all of it or nothing. `mark`: that of the file that is replaced; `new` where there is none. */
export async function putFile(
  place: Place,
  bytes: Uint8Array,
  mark: string,
  onBytes: (bytes: number) => void = () => undefined,
): Promise<void> {
  if (bytes.length > CARRY_BYTES_MAX)
    throw new RequestError(413, { code: "too_large", message: "A file of at most 64 MiB can be carried by a page." });
  let from = 0;
  do {
    const to = Math.min(bytes.length, from + PART_BYTES_MAX);
    const command = scripted(PUT, place.path, from, to, bytes.length, mark);
    await run(place, { command, stdin: toBase64(bytes.subarray(from, to)) }, () => undefined);
    onBytes(to);
    from = to;
  } while (from < bytes.length);
}

export const removeFile = (place: Place): Promise<void> =>
  run(place, { command: scripted(REMOVE, place.path) }, () => undefined);
