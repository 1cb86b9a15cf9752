import { useMutation, useQueryClient, type UseQueryResult } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "react-router";
import type { Application } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { putFile, readWhole, removeFile, useOpened, type Opened, type Place } from "../../api/xnodeFiles";
import { Card, Empty, Loading, Notice } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import {
  CARRY_BYTES_MAX,
  cleanPath,
  ENTRIES_MAX,
  isTurned,
  joined,
  lineEndOf,
  markOf,
  permissions,
  stepsTo,
  textOf,
  type FileEntry,
} from "../../lib/files";
import { forgetDrafts, useDraft } from "../../lib/draft";
import { plainText } from "../../lib/logWindow";
import { binary } from "../../lib/quantity";
import { save } from "../../lib/save";
import { useFilters } from "../../lib/urlState";
import { When } from "../parts";
import { Act, Refused, Sure } from "./parts";

/** Files as the application's own shell sees them: looked at, changed, carried to it and from it. */
export function Files({ application: { name, instances } }: { application: Application }) {
  const [read, write] = useFilters();
  const may = useMay("operator");
  const running = instances.filter(({ state }) => state === "running");
  const instance = running.find(({ id }) => id === read("instance"))?.id ?? "";
  const place: Place = { name, instance, path: cleanPath(read("path")) };
  const why = may ?? (running.length === 0 ? "No instance of it runs, and files are looked at by its own shell" : null);
  const opened = useOpened(place, why === null);
  return (
    <Card
      title="Files"
      flush
      actions={
        <>
          {running.length > 1 ? (
            <label>
              <span className="visually-hidden">Instance</span>
              <select
                className="input small"
                value={instance}
                onChange={(event) => write({ instance: event.target.value })}
              >
                <option value="">First running</option>
                {running.map(({ id }) => (
                  <option key={id}>{id}</option>
                ))}
              </select>
            </label>
          ) : null}
          <Act
            words="Look again"
            busy={opened.isFetching}
            why={why ?? undefined}
            onAct={() => void opened.refetch()}
          />
        </>
      }
    >
      {why !== null ? (
        <Empty>{why}.</Empty>
      ) : (
        <>
          <Way place={place} />
          <AtPath key={`${instance} ${place.path}`} opened={opened} place={place} />
        </>
      )}
    </Card>
  );
}

const toPath = (path: string, instance: string) =>
  `?${new URLSearchParams({ path, ...(instance === "" ? {} : { instance }) }).toString()}`;

/** The folders above, each a way back. */
function Way({ place: { path, instance } }: { place: Place }) {
  const steps = stepsTo(path);
  return (
    <nav className="row pad" aria-label="Folders above">
      {steps.map((step, at) => (
        <span key={step.path}>
          {at > 1 ? "/ " : ""}
          {at === steps.length - 1 ? (
            <strong aria-current="page">{plainText(step.name)}</strong>
          ) : (
            <Link to={toPath(step.path, instance)}>{plainText(step.name)}</Link>
          )}
        </span>
      ))}
    </nav>
  );
}

function AtPath({ opened, place }: { opened: UseQueryResult<Opened>; place: Place }) {
  if (opened.error)
    return (
      <div className="told">
        <Refused error={opened.error} />
      </div>
    );
  if (!opened.data) return <Loading what={place.path} />;
  return opened.data.kind === "folder" ? (
    <Folder entries={opened.data.entries} place={place} />
  ) : (
    <FileView opened={opened.data} place={place} />
  );
}

/** Something that is done to files; the folder or file is looked at again behind it. */
function useFileAct<A>(does: (argument: A) => Promise<void>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: does,
    onSettled: () => client.invalidateQueries({ queryKey: ["xnode-files"] }),
  });
}

function Folder({ entries, place }: { entries: FileEntry[]; place: Place }) {
  const removing = useFileAct(removeFile);
  const at = (name: string): Place => ({ ...place, path: joined(place.path, name) });
  return (
    <>
      {removing.error ? (
        <div className="told">
          <Refused error={removing.error} />
        </div>
      ) : null}
      <Table
        label={`Entries of ${place.path}`}
        items={entries}
        keyOf={({ name }) => name}
        empty="It is an empty folder, or one that its user may not list."
        tall
        columns={[
          {
            head: "Name",
            cell: ({ name, kind }) => (
              <Link to={toPath(at(name).path, place.instance)}>
                {plainText(name)}
                {kind === "folder" ? "/" : ""}
              </Link>
            ),
          },
          { head: "Kind", cell: ({ kind }) => kind },
          {
            head: "Size",
            number: true,
            cell: ({ kind, size }) => (kind === "file" ? binary(size) : <span className="quiet">–</span>),
          },
          { head: "Permissions", cell: ({ mode }) => <code>{permissions(mode)}</code> },
          { head: "Changed", cell: ({ changed }) => <When at={new Date(changed).toISOString()} /> },
          {
            head: "",
            cell: ({ name, kind }) =>
              kind === "folder" ? null : (
                <Sure
                  words="Remove"
                  label={`Remove ${plainText(name)}`}
                  asked="It is lost for good."
                  busy={removing.isPending}
                  why={undefined}
                  onAct={() => removing.mutate(at(name))}
                />
              ),
          },
        ]}
      />
      {entries.length >= ENTRIES_MAX ? (
        <p className="quiet pad flat">The first {count(ENTRIES_MAX)} entries; the folder has more.</p>
      ) : null}
      <Upload folder={place} />
    </>
  );
}

/** Files from this computer; none takes the place of one that is there. */
function Upload({ folder }: { folder: Place }) {
  const id = useId();
  const [sent, setSent] = useState(0);
  const uploading = useFileAct(async (file: File) => {
    setSent(0);
    if (file.size > CARRY_BYTES_MAX)
      throw new Error(`${plainText(file.name)} is larger than ${binary(CARRY_BYTES_MAX)}: carry it by a command on the machine.`);
    const bytes = new Uint8Array(await file.arrayBuffer());
    await putFile({ ...folder, path: joined(folder.path, file.name) }, bytes, "new", setSent);
  });
  const file = uploading.variables;
  return (
    <div className="stack pad">
      <div className="field">
        <label htmlFor={id}>Carry a file into {folder.path}</label>
        <input
          id={id}
          type="file"
          className="input"
          disabled={uploading.isPending}
          onChange={(event) => {
            const chosen = event.target.files?.[0];
            if (chosen) uploading.mutate(chosen);
            // The same file can be chosen again.
            event.target.value = "";
          }}
        />
        <span className="help">At most {binary(CARRY_BYTES_MAX)}; it belongs to the application&apos;s user.</span>
      </div>
      {uploading.error ? <Refused error={uploading.error} /> : null}
      {uploading.isPending && file ? (
        <p className="quiet flat" role="status">
          {binary(sent)} of {binary(file.size)} are there…
        </p>
      ) : null}
      {uploading.isSuccess && file ? <Notice tone="good" title={`${plainText(file.name)} is there`} /> : null}
    </div>
  );
}

function FileView({ opened: { entry, bytes }, place }: { opened: Extract<Opened, { kind: "file" }>; place: Place }) {
  const [came, setCame] = useState(0);
  const loading = useMutation({
    mutationFn: () => {
      setCame(0);
      return readWhole(place, setCame);
    },
    onSuccess: (whole) => save(place.path.split("/").at(-1) ?? "file", [whole], "application/octet-stream"),
  });
  const isWhole = bytes.length === entry.size;
  const text = textOf(bytes);
  const isTooLarge = entry.size > CARRY_BYTES_MAX;
  return (
    <div className="stack pad">
      <p className="row flat">
        <span className="quiet">
          {binary(entry.size)}, <code>{permissions(entry.mode)}</code>, changed{" "}
          <When at={new Date(entry.changed).toISOString()} />
        </span>
        <Act
          words={loading.isPending ? `${binary(came)} of ${binary(entry.size)}…` : "Download"}
          label={`Download ${place.path}`}
          busy={loading.isPending}
          why={isTooLarge ? `A page carries at most ${binary(CARRY_BYTES_MAX)}` : undefined}
          onAct={() => loading.mutate()}
        />
      </p>
      {loading.error ? <Refused error={loading.error} /> : null}
      {text === null || !isWhole ? (
        <Begin text={text} shown={bytes.length} />
      ) : (
        <Editing key={markOf(entry)} text={text} mark={markOf(entry)} place={place} />
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
      <pre className="log" tabIndex={0} aria-label="Begin of the file">
        {text.split("\n").map(plainText).join("\n")}
      </pre>
    </>
  );
}

function Editing({ text, mark, place }: { text: string; mark: string; place: Place }) {
  const draft = `file ${place.name} ${place.instance} ${place.path} ${mark}`;
  const end = lineEndOf(text);
  // A field has one kind of line end: the file's own is put back when it is saved.
  const shown = text.replace(/\r\n/g, "\n");
  const [written, setWritten] = useDraft(draft, () => shown);
  const saving = useFileAct(async (changed: string) => {
    const sent = end === "\r\n" ? changed.replace(/\n/g, "\r\n") : changed;
    await putFile(place, new TextEncoder().encode(sent), mark);
    forgetDrafts(draft);
  });
  const why =
    end === null
      ? "Its lines end in several ways, which a page would not keep"
      : written === shown
        ? "Nothing is changed"
        : undefined;
  return (
    <form
      className="stack"
      aria-label={`Content of ${place.path}`}
      onSubmit={(event) => {
        event.preventDefault();
        if (why === undefined) saving.mutate(written);
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
        readOnly={end === null}
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
          disabled={saving.isPending || why !== undefined}
          title={why}
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
