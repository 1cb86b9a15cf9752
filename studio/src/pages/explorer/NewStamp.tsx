import { useId, useRef, useState } from "react";
import { Link } from "react-router";
import { Card, Copy, FieldNotes, Notice } from "../../design";
import { bytes } from "../../lib/format";
import { hashOf } from "../../lib/sha256";
import { wrongNote, wrongTopic } from "../../lib/search";

/** A file whose hash is known, or is being made. */
interface Hashed {
  name: string;
  size: number;
  done: number;
  hash: string | null;
  wrong: string | null;
}

/** Hashes a file in this browser and leads to the form that signs, or to who has stamped it already. The file goes nowhere. */
export function NewStamp() {
  const [file, setFile] = useState<Hashed | null>(null);
  const [topic, setTopic] = useState("");
  const [note, setNote] = useState("");
  const [visited, setVisited] = useState(false);
  const stop = useRef<AbortController | null>(null);
  const ids = { file: useId(), topic: useId(), note: useId() };
  const hash = (chosen: File) => {
    stop.current?.abort();
    const current = new AbortController();
    stop.current = current;
    const begun = { name: chosen.name, size: chosen.size, done: 0, hash: null, wrong: null };
    setFile(begun);
    hashOf(
      chosen,
      (done) => (current.signal.aborted ? undefined : setFile({ ...begun, done })),
      current.signal,
    ).then(
      (found) => setFile({ ...begun, done: chosen.size, hash: found }),
      () =>
        current.signal.aborted
          ? undefined
          : setFile({ ...begun, wrong: "The browser could not read it to its end. Choose it once more." }),
    );
  };
  const topicWrong = visited ? wrongTopic(topic) : null;
  const noteWrong = wrongNote(note);
  const hashed = file?.hash ?? null;
  const isRight = wrongTopic(topic) === null && noteWrong === null;
  return (
    <Card title="Stamp a file">
      <div className="stack">
        <div className="field">
          <label htmlFor={ids.file}>File</label>
          <input
            id={ids.file}
            className="input"
            type="file"
            aria-describedby={`${ids.file}-help`}
            onChange={(event) => {
              const chosen = event.target.files?.[0];
              if (chosen) hash(chosen);
            }}
          />
          <FieldNotes
            id={ids.file}
            help="Its SHA-256 is made here, in this browser: the file itself is sent nowhere."
            wrong={file?.wrong}
          />
        </div>
        {file && !file.wrong ? <Progress of={file} /> : null}
        <div className="field">
          <label htmlFor={ids.topic}>Topic</label>
          <input
            id={ids.topic}
            className="input"
            value={topic}
            placeholder="report.2026"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={topicWrong !== null}
            aria-describedby={`${ids.topic}-help${topicWrong ? ` ${ids.topic}-wrong` : ""}`}
            onBlur={() => setVisited(visited || topic !== "")}
            onChange={(event) => setTopic(event.target.value)}
          />
          <FieldNotes
            id={ids.topic}
            help="What it is about: 1 to 64 of a-z, 0-9, -, _ and a point."
            wrong={topicWrong}
          />
        </div>
        <div className="field">
          <label htmlFor={ids.note}>Note</label>
          <input
            id={ids.note}
            className="input"
            value={note}
            placeholder="May be left empty"
            autoComplete="off"
            aria-invalid={noteWrong !== null}
            aria-describedby={`${ids.note}-help${noteWrong ? ` ${ids.note}-wrong` : ""}`}
            onChange={(event) => setNote(event.target.value)}
          />
          <FieldNotes
            id={ids.note}
            help="A word about it that everybody can read, such as a CID: at most 256 bytes."
            wrong={noteWrong}
          />
        </div>
        <p className="row flat">
          {hashed !== null && isRight ? (
            <Link
              className="button primary"
              to={`/actions/stamp?${new URLSearchParams({ hash: hashed, topic, note }).toString()}`}
            >
              Sign the stamp
            </Link>
          ) : (
            <button
              type="button"
              className="button primary"
              disabled
              title={hashed !== null ? "Write the topic first" : "Choose a file first"}
            >
              Sign the stamp
            </button>
          )}
          {hashed !== null ? (
            <Link className="button" to={`/stamps/${hashed}`}>
              Who has stamped it
            </Link>
          ) : null}
        </p>
      </div>
    </Card>
  );
}

function Progress({ of: { name, size, done, hash } }: { of: Hashed }) {
  if (hash === null)
    return (
      <Notice title={`Hashing ${name}`} ticking={`${bytes(done)} of ${bytes(size)}`}>
        Nothing is sent.
      </Notice>
    );
  return (
    <p className="flat">
      {name}, {bytes(size)}: <code className="long">{hash}</code> <Copy text={hash} label="hash" />
    </p>
  );
}
