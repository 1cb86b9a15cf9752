/** Files of an application, by the agent's own look at its volumes and at the root of an instance. */
import { useQuery } from "@tanstack/react-query";
import { CARRY_BYTES_MAX, totalOf, VIEW_BYTES_MAX } from "../lib/files";
import { answered, get, post, query, RequestError, send } from "./client";
import type { FileEntry, FileFolder, FilePlaces } from "./xnode";
import { ROOT } from "./xnodeQueries";

/** A place in an application: in a volume, or in the root of an instance where that is `null`. */
export interface Place {
  name: string;
  volume: string | null;
  path: string;
}

/** A file that was opened: its first bytes, and how many it has in all. */
export interface OpenedFile {
  bytes: Uint8Array<ArrayBuffer>;
  total: number;
  /** What tells that it is still this one. */
  tag: string;
}

const part = encodeURIComponent;
const filesOf = (name: string) => `${ROOT}/applications/${part(name)}/files`;
const folderAt = ({ name, volume, path }: Place, all = false) =>
  `${filesOf(name)}/${volume === null ? "root" : `volumes/${part(volume)}`}${query({ path, all: all ? "true" : null })}`;
const contentAt = ({ name, volume, path }: Place) =>
  `${filesOf(name)}/${volume === null ? "root" : `volumes/${part(volume)}`}/content${query({ path })}`;

// Keys stand beside those of what the agent tells of: each look is a process, and no event is a reason for one.
const KEY = "xnode-files";

export const usePlaces = (name: string, isOn: boolean) =>
  useQuery({
    queryKey: [KEY, "places", name],
    queryFn: ({ signal }) => get<FilePlaces>(filesOf(name), signal),
    refetchInterval: 10_000,
    enabled: isOn,
  });

export const useFolder = (place: Place) =>
  useQuery({
    queryKey: [KEY, "folder", place],
    queryFn: ({ signal }) => get<FileFolder>(folderAt(place), signal),
    refetchOnWindowFocus: false,
  });

export const useFile = (place: Place) =>
  useQuery({
    queryKey: [KEY, "file", place],
    queryFn: ({ signal }) => openFile(place, signal),
    refetchOnWindowFocus: false,
  });

/** Opens a file: no more of it is fetched than is shown. */
export async function openFile(place: Place, signal?: AbortSignal): Promise<OpenedFile> {
  const ask = (headers: Record<string, string>) => answered("GET", contentAt(place), { headers, signal });
  let answer: Response;
  try {
    answer = await ask({ range: `bytes=0-${VIEW_BYTES_MAX - 1}` });
  } catch (error) {
    // An empty file has no first bytes.
    if (!(error instanceof RequestError) || error.status !== 416) throw error;
    answer = await ask({});
  }
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const total = totalOf(answer.headers.get("content-range")) ?? bytes.length;
  return { bytes, total, tag: answer.headers.get("etag") ?? "" };
}

/** All bytes of a file, for a download; `onBytes` hears how many have come. */
export async function readWhole(
  place: Place,
  onBytes: (bytes: number) => void,
): Promise<Uint8Array<ArrayBuffer>[]> {
  const { body } = await answered("GET", contentAt(place), { headers: {} });
  const parts: Uint8Array<ArrayBuffer>[] = [];
  let count = 0;
  const reader = body?.getReader();
  for (let next = await reader?.read(); next && !next.done; next = await reader?.read()) {
    parts.push(next.value);
    count += next.value.length;
    if (count > CARRY_BYTES_MAX) {
      await reader?.cancel();
      throw new RequestError(413, {
        code: "too_large",
        message: "It has grown beyond what a page can carry.",
      });
    }
    onBytes(count);
  }
  return parts;
}

/** Puts a file in its place, all of it or nothing. `tag`: that of the file that is replaced; `null` where there is to be none. */
export async function writeFile(wish: {
  place: Place;
  body: string | Blob;
  tag: string | null;
}): Promise<FileEntry> {
  const headers: Record<string, string> =
    wish.tag === null ? { "if-none-match": "*" } : { "if-match": wish.tag };
  const answer = await answered("PUT", contentAt(wish.place), { headers, body: wish.body });
  return (await answer.json()) as FileEntry;
}

export const makeFolder = (place: Place): Promise<FileEntry> => send<FileEntry>("PUT", folderAt(place));

/** Gives an entry of a volume another path in it, which is free. */
export const renameEntry = ({ place, to }: { place: Place; to: string }): Promise<FileEntry> =>
  post<FileEntry>(folderAt({ ...place, path: "" }), { from: place.path, to });

/** Removes a file that is still the one that was seen, or a folder with everything in it. */
export async function removeEntry({ place, entry }: { place: Place; entry: FileEntry }): Promise<number> {
  const headers: Record<string, string> = entry.tag === null ? {} : { "if-match": `"${entry.tag}"` };
  const answer = await answered("DELETE", folderAt(place, entry.kind === "folder"), { headers });
  return (await answer.json()) as number;
}
