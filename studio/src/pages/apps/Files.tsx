import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "react-router";
import type { Application, FileEntry, FilePlaces, FileVolume } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import {
  makeFolder,
  readWhole,
  removeEntry,
  renameEntry,
  useFile,
  useFolder,
  usePlaces,
  writeFile,
  type OpenedFile,
  type Place,
} from "../../api/xnodeFiles";
import { Card, Empty, Notice } from "../../design";
import { Table } from "../../design/Table";
import { forgetDrafts, useDraft } from "../../lib/draft";
import {
  beginOf,
  CARRY_BYTES_MAX,
  cleanPath,
  isTurned,
  joined,
  lineEndOf,
  named,
  nameOf,
  permissions,
  stepsTo,
  textOf,
} from "../../lib/files";
import { count } from "../../lib/format";
import { plainText } from "../../lib/logWindow";
import { binary } from "../../lib/quantity";
import { save } from "../../lib/save";
import { useFilters } from "../../lib/urlState";
import { When } from "../parts";
import { Act, Live, Refused, Sure } from "./parts";

/** Files of an application: its volumes are read and changed, the root of an instance is read. */
export function Files({ application: { name } }: { application: Application }) {
  const may = useMay("operator");
  const places = usePlaces(name, may === undefined);
  return (
    <Card title="Files" flush>
      {may === undefined ? (
        <Live of={places} what="the places of its files">
          {(all) => <Chosen name={name} places={all} />}
        </Live>
      ) : (
        <Empty>{may}.</Empty>
      )}
    </Card>
  );
}

/** Where in the address the root stands among the volumes, whose names have no such sign. */
const ROOT_WORD = "/";

function Chosen({ name, places }: { name: string; places: FilePlaces }) {
  const [read, write] = useFilters();
  const wanted = read("in");
  const volume =
    places.volumes.find((each) => each.name === wanted) ??
    (wanted === "" || places.root === null ? places.volumes[0] : undefined);
  if (!volume && places.root === null)
    return <Empty>It has no volume, and no instance whose root could be read.</Empty>;
  const file = cleanPath(read("file"));
  const place: Place = { name, volume: volume?.name ?? null, path: file || cleanPath(read("path")) };
  const why = whyUnchanged(places, volume);
  return (
    <>
      <div className="filters">
        <label className="field">
          <span>Place</span>
          <select
            className="input"
            value={place.volume ?? ROOT_WORD}
            onChange={(event) => write({ in: event.target.value, path: null, file: null })}
          >
            {places.volumes.map((each) => (
              <option key={each.name} value={each.name}>
                Volume {each.name}
              </option>
            ))}
            {places.root === null ? null : <option value={ROOT_WORD}>Root of {places.root}</option>}
          </select>
        </label>
        {volume && volume.bytes !== null && volume.bytes_free !== null ? (
          <span className="row quiet">
            {binary(volume.bytes_free)} of {binary(volume.bytes)} are free, line {volume.line}
          </span>
        ) : null}
      </div>
      {why ? <p className="quiet pad flat">Nothing can be changed here: {why}.</p> : null}
      {volume?.cause ? null : (
        <>
          <Way place={place} isFile={file !== ""} />
          {file === "" ? (
            <Folder key={`${place.volume ?? ""} ${place.path}`} place={place} why={why} />
          ) : (
            <FileView key={`${place.volume ?? ""} ${place.path}`} place={place} why={why} />
          )}
        </>
      )}
    </>
  );
}

/** The reason for which nothing can be changed at a place; nothing where it can. */
function whyUnchanged(places: FilePlaces, volume: FileVolume | undefined): string | undefined {
  if (!volume) return "the root is made anew with each version";
  if (volume.cause !== null) return volume.cause;
  return places.is_switching ? "another generation is on its way" : undefined;
}

const search = ({ volume }: Place, kind: "path" | "file", path: string) =>
  `?${new URLSearchParams({ in: volume ?? ROOT_WORD, [kind]: path }).toString()}`;

/** The folders above, each a way back. */
function Way({ place, isFile }: { place: Place; isFile: boolean }) {
  const steps = [{ name: place.volume ?? "root", path: "" }, ...stepsTo(place.path)];
  return (
    <nav className="row pad" aria-label="Folders above">
      {steps.map((step, at) => (
        <span key={step.path}>
          {at > 0 ? "/ " : ""}
          {at === steps.length - 1 ? (
            <strong aria-current="page">{plainText(step.name)}</strong>
          ) : (
            <Link to={search(place, "path", step.path)}>{plainText(step.name)}</Link>
          )}
        </span>
      ))}
      <span className="quiet">{isFile ? "" : "/"}</span>
    </nav>
  );
}

/** Something that is done to files; what is shown of them is fetched anew behind it. */
function useFileAct<A, T>(does: (argument: A) => Promise<T>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: does,
    onSettled: () => client.invalidateQueries({ queryKey: ["xnode-files"] }),
  });
}

function Folder({ place, why }: { place: Place; why: string | undefined }) {
  const folder = useFolder(place);
  const removing = useFileAct(removeEntry);
  const renaming = useFileAct(renameEntry);
  const error = removing.error ?? renaming.error;
  return (
    <>
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <Live of={folder} what="the folder">
        {({ entries, more }) => (
          <>
            <Entries
              entries={entries}
              place={place}
              busy={removing.isPending || renaming.isPending}
              why={why}
              onRemove={(entry) => removing.mutate({ place: below(place, entry.name), entry })}
              onRename={({ name }, to) =>
                renaming.mutate({ place: below(place, name), to: joined(place.path, to) })
              }
            />
            {more ? (
              <p className="quiet pad flat">The first {count(entries.length)}; the folder has more.</p>
            ) : null}
          </>
        )}
      </Live>
      {why === undefined ? <Additions folder={place} /> : null}
    </>
  );
}

const below = (place: Place, name: string): Place => ({ ...place, path: joined(place.path, name) });

function Entries({
  entries,
  place,
  busy,
  why,
  onRemove,
  onRename,
}: {
  entries: FileEntry[];
  place: Place;
  busy: boolean;
  why: string | undefined;
  onRemove: (entry: FileEntry) => void;
  onRename: (entry: FileEntry, to: string) => void;
}) {
  return (
    <Table
      label="Entries of the folder"
      items={entries}
      keyOf={({ name }) => name}
      empty="It is an empty folder."
      tall
      columns={[
        { head: "Name", tone: () => "wrap", cell: (entry) => <EntryName entry={entry} place={place} /> },
        {
          head: "Size",
          number: true,
          cell: ({ kind, bytes }) =>
            kind === "file" ? binary(bytes) : <span className="quiet">{kind}</span>,
        },
        { head: "Permissions", cell: ({ mode }) => <code>{permissions(mode)}</code> },
        {
          head: "Owner",
          cell: ({ user, group }) =>
            user === null || group === null ? <span className="quiet">not its own</span> : `${user}:${group}`,
        },
        { head: "Changed", cell: ({ modified }) => <When at={modified} /> },
        {
          head: "",
          cell: (entry) => (
            <EntryActs
              entry={entry}
              busy={busy}
              why={why}
              onRemove={() => onRemove(entry)}
              onRename={(to) => onRename(entry, to)}
            />
          ),
        },
      ]}
    />
  );
}

/** Another name, written in the place of the buttons, and removal. */
function EntryActs({
  entry: { name, kind },
  busy,
  why,
  onRemove,
  onRename,
}: {
  entry: FileEntry;
  busy: boolean;
  why: string | undefined;
  onRemove: () => void;
  onRename: (to: string) => void;
}) {
  const [to, setTo] = useState<string | null>(null);
  if (to !== null)
    return (
      <form
        className="row"
        aria-label={`Rename ${plainText(name)}`}
        onSubmit={(event) => {
          event.preventDefault();
          if (to === "" || to === name) return;
          setTo(null);
          onRename(to);
        }}
      >
        <input
          className="input small mono"
          aria-label="New name"
          value={to}
          autoFocus
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          onChange={(event) => setTo(event.target.value)}
        />
        <button type="submit" className="button small" disabled={busy || to === "" || to === name}>
          Rename
        </button>
        <button type="button" className="button small" onClick={() => setTo(null)}>
          Back
        </button>
      </form>
    );
  return (
    <span className="row">
      <Act
        words="Rename"
        label={`Rename ${plainText(name)}`}
        busy={busy}
        why={why}
        onAct={() => setTo(name)}
      />
      <Sure
        words="Remove"
        label={`Remove ${plainText(name)}`}
        asked={kind === "folder" ? "All that is in it is lost for good." : "It is lost for good."}
        busy={busy}
        why={why}
        onAct={onRemove}
      />
    </span>
  );
}

/** The way to an entry; links are shown and not followed. */
function EntryName({ entry: { name, kind, target }, place }: { entry: FileEntry; place: Place }) {
  const path = joined(place.path, name);
  if (kind === "folder") return <Link to={search(place, "path", path)}>{plainText(name)}/</Link>;
  if (kind === "file") return <Link to={search(place, "file", path)}>{plainText(name)}</Link>;
  return (
    <>
      {plainText(name)} {target === null ? null : <span className="quiet">→ {plainText(target)}</span>}
    </>
  );
}

/** Files from this computer, and folders; nothing takes the place of what is there. */
function Additions({ folder }: { folder: Place }) {
  const id = useId();
  const [name, setName] = useState("");
  const making = useFileAct(makeFolder);
  const sending = useFileAct(async (file: File) => {
    await writeFile({ place: below(folder, named(file.name)), body: file, tag: null });
    return file.name;
  });
  const error = making.error ?? sending.error;
  const sent = sending.variables;
  return (
    <div className="stack pad">
      <div className="field">
        <label htmlFor={id}>Carry a file into this folder</label>
        <input
          id={id}
          type="file"
          className="input"
          disabled={sending.isPending}
          onChange={(event) => {
            const chosen = event.target.files?.[0];
            if (chosen) sending.mutate(chosen);
            // The same file can be chosen again.
            event.target.value = "";
          }}
        />
      </div>
      {sending.isPending && sent ? (
        <p className="quiet flat" role="status">
          {plainText(sent.name)} is on its way: {binary(sent.size)}…
        </p>
      ) : null}
      {sending.data === undefined ? null : (
        <Notice tone="good" title={`${plainText(sending.data)} is there`} />
      )}
      <form
        className="row end"
        aria-label="Make a folder"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim() !== "")
            making.mutate(below(folder, named(name.trim())), { onSuccess: () => setName("") });
        }}
      >
        <label className="field">
          <span>Name of a new folder</span>
          <input
            className="input mono"
            value={name}
            autoComplete="off"
            autoCapitalize="off"
            spellCheck={false}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <button
          type="submit"
          className="button"
          disabled={making.isPending || name.trim() === ""}
          title={name.trim() === "" ? "It needs a name" : undefined}
        >
          Make the folder
        </button>
      </form>
      {error ? <Refused error={error} /> : null}
    </div>
  );
}

function FileView({ place, why }: { place: Place; why: string | undefined }) {
  const file = useFile(place);
  return (
    <Live of={file} what="the file">
      {(opened) => <Opened opened={opened} place={place} why={why} />}
    </Live>
  );
}

function Opened({ opened, place, why }: { opened: OpenedFile; place: Place; why: string | undefined }) {
  const { bytes, total, tag } = opened;
  const [came, setCame] = useState(0);
  const loading = useMutation({
    mutationFn: () => {
      setCame(0);
      return readWhole(place, setCame);
    },
    onSuccess: (parts) => save(nameOf(place.path), parts, "application/octet-stream"),
  });
  const text = bytes.length === total ? textOf(bytes) : null;
  return (
    <div className="stack pad">
      <p className="row flat">
        <span className="quiet">{binary(total)}</span>
        <Act
          words={loading.isPending ? `${binary(came)} of ${binary(total)}…` : "Download"}
          label={`Download ${nameOf(place.path)}`}
          busy={loading.isPending}
          why={total > CARRY_BYTES_MAX ? `A page carries at most ${binary(CARRY_BYTES_MAX)}` : undefined}
          onAct={() => loading.mutate()}
        />
      </p>
      {loading.error ? <Refused error={loading.error} /> : null}
      {text === null ? (
        <Begin text={beginOf(bytes)} shown={bytes.length} />
      ) : (
        <Editing key={tag} text={text} tag={tag} place={place} why={why} />
      )}
    </div>
  );
}

/** A file that is no text, or is longer than what can be changed here. */
function Begin({ text, shown }: { text: string | null; shown: number }) {
  if (text === null) return <p className="quiet flat">It is no text in UTF-8: it can be downloaded.</p>;
  return (
    <>
      <p className="quiet flat">Its first {binary(shown)}; it is too long to be changed here.</p>
      <pre className="log" tabIndex={0} role="region" aria-label="Begin of the file">
        {text.split("\n").map(plainText).join("\n")}
      </pre>
    </>
  );
}

function Editing({
  text,
  tag,
  place,
  why,
}: {
  text: string;
  tag: string;
  place: Place;
  why: string | undefined;
}) {
  const draft = `file ${place.name} ${place.volume ?? ""} ${place.path} ${tag}`;
  const end = lineEndOf(text);
  // A field has one kind of line end: the file's own is put back when it is saved.
  const shown = text.replace(/\r\n/g, "\n");
  const [written, setWritten] = useDraft(draft, () => shown);
  const saving = useFileAct(async (changed: string) => {
    const body = end === "\r\n" ? changed.replace(/\n/g, "\r\n") : changed;
    await writeFile({ place, body, tag });
    forgetDrafts(draft);
  });
  const isFixed = why !== undefined || end === null;
  const reason =
    why ??
    (end === null
      ? "Its lines end in several ways, which a page would not keep"
      : written === shown
        ? "Nothing is changed"
        : undefined);
  return (
    <form
      className="stack"
      aria-label="File"
      onSubmit={(event) => {
        event.preventDefault();
        if (reason === undefined) saving.mutate(written);
      }}
    >
      {isTurned(written) ? (
        <Notice tone="warn" title="It has characters that turn the direction of writing">
          What is shown may be in another order than what is in the file.
        </Notice>
      ) : null}
      <textarea
        className="input mono"
        rows={20}
        aria-label="Content"
        value={written}
        readOnly={isFixed}
        spellCheck={false}
        autoComplete="off"
        autoCapitalize="off"
        onChange={(event) => setWritten(event.target.value)}
      />
      {saving.error ? <Refused error={saving.error} /> : null}
      <p className="row flat">
        <button
          type="submit"
          className="button primary"
          disabled={saving.isPending || reason !== undefined}
          title={reason}
        >
          {saving.isPending ? "Saving…" : "Save"}
        </button>
        {written === shown ? null : (
          <button type="button" className="button" onClick={() => setWritten(shown)}>
            Undo all
          </button>
        )}
        <span className="quiet">The application may read it only when it starts.</span>
      </p>
    </form>
  );
}
