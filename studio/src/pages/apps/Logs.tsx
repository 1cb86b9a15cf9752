import { memo, useEffect, useMemo, useRef, useState, type RefObject } from "react";
import { query, type RequestError } from "../../api/client";
import { follow, type LinesState } from "../../api/lines";
import type { Application, LogLine } from "../../api/xnode";
import { ROOT } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Notice } from "../../design";
import { clock, count } from "../../lib/format";
import { EMPTY_LOG, marked, plainText, withLines, type LogEntry, type LogWindow } from "../../lib/logWindow";
import { save } from "../../lib/save";
import { useSettled } from "../../lib/settled";
import { oneOf, useFilters } from "../../lib/urlState";
import { Choice } from "../parts";
import { Refused } from "./parts";

/** Lines that are asked for at first, and after a break: then as many as the agent gives. */
const LINES_FIRST = 500;
const LINES_AGAIN = 10_000;
/** How near to its end a log counts as followed, in pixels. */
const END_PIXELS = 12;
/** Pause after the last letter of a filter until the log is asked for anew, milliseconds. */
const SETTLE_MS = 400;

const STREAMS = [
  { value: "stdout", words: "Output" },
  { value: "stderr", words: "Errors" },
  { value: "shim", words: "Starts and ends" },
];

export function Logs({ application }: { application: Application }) {
  const [read, write] = useFilters();
  const stream = oneOf(read("stream"), ["stdout", "stderr", "shim"], "");
  const contains = read("contains");
  const asked = useSettled(contains, SETTLE_MS);
  return (
    <Card title="Log" flush>
      <div className="filters">
        <label className="field grow">
          <span>Only lines with</span>
          <input
            className="input"
            type="search"
            value={contains}
            onChange={(event) => write({ contains: event.target.value })}
          />
        </label>
        <Choice name="Kind" value={stream} options={STREAMS} onChange={(value) => write({ stream: value })} />
        <Choice
          name="Instance"
          value={read("instance")}
          options={application.instances.map(({ id }) => ({ value: id, words: id }))}
          onChange={(instance) => write({ instance })}
        />
        <label className="field grow">
          <span>Find</span>
          <input
            className="input"
            type="search"
            value={read("find")}
            onChange={(event) => write({ find: event.target.value })}
          />
        </label>
      </div>
      <Following
        key={`${application.name} ${stream} ${asked}`}
        name={application.name}
        stream={stream}
        contains={asked}
        instance={read("instance")}
        find={read("find")}
      />
    </Card>
  );
}

interface Heard {
  window: LogWindow;
  state: LinesState;
  error: RequestError | null;
}

/** The log from now on. What is asked for again after a break begins at the newest line that is known. */
function useLog(name: string, stream: string, contains: string): Heard {
  const [heard, setHeard] = useState<Heard>({ window: EMPTY_LOG, state: "connecting", error: null });
  const log = useRef(EMPTY_LOG);
  useEffect(() => {
    const isWhole = stream === "" && contains === "";
    return follow<LogLine>({
      path: () => {
        const { newest } = log.current;
        const since = newest === null ? null : new Date(newest).toISOString();
        const lines = since === null ? LINES_FIRST : LINES_AGAIN;
        const asked = query({ follow: "true", lines, since, contains, stream });
        return `${ROOT}/applications/${encodeURIComponent(name)}/logs${asked}`;
      },
      onValues: (lines) => {
        log.current = withLines(log.current, lines, isWhole);
        const window = log.current;
        setHeard((before) => ({ ...before, window }));
      },
      onState: (state, error) => setHeard((before) => ({ ...before, state, error })),
    });
  }, [name, stream, contains]);
  return heard;
}

function Following({
  name,
  stream,
  contains,
  instance,
  find,
}: {
  name: string;
  stream: string;
  contains: string;
  instance: string;
  find: string;
}) {
  const { window: log, state, error } = useLog(name, stream, contains);
  const [isFollowed, setFollowed] = useState(true);
  const element = useRef<HTMLDivElement>(null);
  const shown = useMemo(
    () =>
      log.entries.filter(
        (entry) =>
          instance === "" || (entry.kind === "line" ? entry.line.instance : entry.instance) === instance,
      ),
    [log, instance],
  );
  useEffect(() => {
    if (isFollowed && element.current) element.current.scrollTop = element.current.scrollHeight;
  }, [shown, isFollowed]);
  const isRefused = state === "refused" && error !== null;
  return (
    <>
      {isRefused ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <div className="row spread pad">
        <Standing state={state} log={log} shown={shown.length} />
        <span className="row">
          <Hits entries={shown} find={find} within={element} />
          <button
            type="button"
            className="button small"
            aria-pressed={isFollowed}
            onClick={() => setFollowed((before) => !before)}
          >
            Follow
          </button>
          <Save name={name} entries={shown} />
        </span>
      </div>
      {shown.length === 0 ? (
        isRefused ? null : (
          <Empty>{whyEmpty(state, stream !== "" || contains !== "" || instance !== "")}</Empty>
        )
      ) : (
        <div
          ref={element}
          className="log"
          role="log"
          aria-live="off"
          aria-label={`Log of ${name}`}
          tabIndex={0}
          onScroll={({ currentTarget: { scrollHeight, scrollTop, clientHeight } }) =>
            setFollowed(scrollHeight - scrollTop - clientHeight < END_PIXELS)
          }
        >
          {shown.map((entry) => (
            <Entry key={keyOf(entry)} entry={entry} find={find} />
          ))}
        </div>
      )}
    </>
  );
}

const keyOf = (entry: LogEntry): string =>
  entry.kind === "line"
    ? `${entry.line.instance} ${entry.line.sequence}`
    : `${entry.instance} before ${entry.before}`;

function whyEmpty(state: LinesState, isFiltered: boolean): string {
  if (state === "connecting") return "Asking for the log…";
  return isFiltered
    ? "No line fits these filters; new ones appear by themselves."
    : "It has written nothing yet; new lines appear by themselves.";
}

function Save({ name, entries }: { name: string; entries: readonly LogEntry[] }) {
  return (
    <button
      type="button"
      className="button small"
      disabled={entries.length === 0}
      title={entries.length === 0 ? "There is nothing to save" : undefined}
      onClick={() => saveLog(name, entries)}
    >
      Save
    </button>
  );
}

function Standing({ state, log, shown }: { state: LinesState; log: LogWindow; shown: number }) {
  if (state === "lost")
    return (
      <Notice tone="warn" title="The log is interrupted">
        {log.newest === null
          ? "No line has come yet."
          : `The last line is from ${clock(log.newest, log.newest)}.`}{" "}
        It goes on where it broke off as soon as the agent answers.
      </Notice>
    );
  return (
    <span className="quiet">
      {count(shown)} {shown === 1 ? "line" : "lines"}
      {log.left > 0 ? `, the newest of ${count(log.left + log.entries.length)}` : ""}
      {state === "open" ? ", live" : ""}
    </span>
  );
}

/** Drawn again only where it is another one: thousands of them stay while a few come. */
const Entry = memo(function Entry({ entry, find }: { entry: LogEntry; find: string }) {
  if (entry.kind === "gap")
    return (
      <div className="gap">
        {count(entry.lines)} {entry.lines === 1 ? "line" : "lines"} of {entry.instance} did not come
      </div>
    );
  const { line } = entry;
  const at = Date.parse(line.at);
  return (
    <div className={line.stream}>
      <time dateTime={line.at} title={`${line.at}, ${line.instance}`}>
        {Number.isNaN(at) ? line.at : new Date(at).toISOString().slice(11, 23)}
      </time>{" "}
      {line.stream === "stdout" ? null : (
        <Badge tone={line.stream === "stderr" ? "warn" : "plain"}>{line.stream}</Badge>
      )}{" "}
      <span>
        {marked(plainText(line.text), find).map((part, place) =>
          part.hit ? <mark key={place}>{part.text}</mark> : part.text,
        )}
      </span>
    </div>
  );
});

/** How often a word is found, and the way from one place to the next. */
function Hits({
  entries,
  find,
  within,
}: {
  entries: readonly LogEntry[];
  find: string;
  within: RefObject<HTMLDivElement | null>;
}) {
  const [at, setAt] = useState(0);
  const hits = useMemo(
    () =>
      find === ""
        ? 0
        : entries.reduce(
            (sum, entry) =>
              entry.kind === "line"
                ? sum + marked(plainText(entry.line.text), find).filter(({ hit }) => hit).length
                : sum,
            0,
          ),
    [entries, find],
  );
  if (find === "") return null;
  const go = (by: number) => {
    const next = hits === 0 ? 0 : (at + by + hits) % hits;
    setAt(next);
    within.current?.querySelectorAll("mark")[next]?.scrollIntoView({ block: "center" });
  };
  return (
    <span className="row" role="group" aria-label="Places found">
      <span className="quiet" role="status">
        {hits === 0 ? "not found" : `${count(hits)} found`}
      </span>
      <button type="button" className="button small" disabled={hits === 0} onClick={() => go(-1)}>
        Previous
      </button>
      <button type="button" className="button small" disabled={hits === 0} onClick={() => go(1)}>
        Next
      </button>
    </span>
  );
}

/** The lines as a file, as they are shown. */
function saveLog(name: string, entries: readonly LogEntry[]): void {
  const lines = entries.flatMap((entry) =>
    entry.kind === "line"
      ? [`${entry.line.at} ${entry.line.instance} ${entry.line.stream} ${plainText(entry.line.text)}\n`]
      : [`(${entry.lines} lines of ${entry.instance} did not come)\n`],
  );
  save(`${name}.log`, lines);
}
