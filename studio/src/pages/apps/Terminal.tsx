import { useEffect, useRef, useState, type KeyboardEvent } from "react";
import { Terminal as Session, terminalUrl, type TerminalView } from "../../api/terminal";
import type { Application } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { Card, Notice } from "../../design";
import { keyBytes, type Run, type Style } from "../../lib/screen";
import { useTerminalSize } from "./useTerminalSize";

/** A shell within an application's walls; it ends with the page, and the audit log says that it was. */
export function Terminal({ application }: { application: Application }) {
  const running = application.instances.filter(({ state }) => state === "running");
  const [instance, setInstance] = useState("");
  const [session, setSession] = useState<number | null>(null);
  const may = useMay("operator");
  const why = may ?? (running.length === 0 ? "No instance of it runs" : undefined);
  return (
    <Card
      title="Terminal"
      flush
      actions={
        <>
          {running.length > 1 ? (
            <label>
              <span className="visually-hidden">Instance</span>
              <select
                className="input small"
                value={instance}
                disabled={session !== null}
                onChange={(event) => setInstance(event.target.value)}
              >
                <option value="">First running</option>
                {running.map(({ id }) => (
                  <option key={id}>{id}</option>
                ))}
              </select>
            </label>
          ) : null}
          <button
            type="button"
            className="button small primary"
            disabled={why !== undefined}
            title={why}
            onClick={() => setSession((before) => (before ?? 0) + 1)}
          >
            {session === null ? "Connect" : "Connect anew"}
          </button>
        </>
      }
    >
      {session === null ? (
        <p className="quiet pad flat">
          A shell beside the application's first process, with its user, its files and its limits, and nothing
          beyond. It is noted in the audit log.
        </p>
      ) : (
        <Connected key={session} name={application.name} instance={instance} />
      )}
    </Card>
  );
}

function Connected({ name, instance }: { name: string; instance: string }) {
  const [view, setView] = useState<TerminalView | null>(null);
  const element = useRef<HTMLDivElement>(null);
  const session = useRef<Session | null>(null);
  const size = useTerminalSize(element);
  const latest = useRef(size);
  useEffect(() => {
    latest.current = size;
    if (size) session.current?.resize(size.columns, size.rows);
  }, [size]);
  const isSized = size !== null;
  useEffect(() => {
    const begin = latest.current;
    if (!isSized || begin === null) return;
    const made = new Session(
      terminalUrl(name),
      { terminal: [begin.columns, begin.rows], ...(instance === "" ? {} : { instance }) },
      setView,
    );
    session.current = made;
    element.current?.focus();
    return () => {
      session.current = null;
      made.close();
    };
  }, [name, instance, isSized]);
  useEffect(() => {
    if (element.current) element.current.scrollTop = element.current.scrollHeight;
  }, [view]);
  const typed = (event: KeyboardEvent) => {
    // With something marked, copying is meant. Shift and Tab lead back out of the terminal.
    if (event.ctrlKey && event.key === "c" && window.getSelection()?.toString()) return;
    const bytes = event.key === "Tab" ? (event.shiftKey ? null : "\t") : keyBytes(event);
    if (bytes === null || view?.state !== "open") return;
    event.preventDefault();
    session.current?.type(bytes);
  };
  return (
    <>
      {view?.state === "over" ? (
        <div className="told">
          <Notice tone="warn" title={view.words ?? "It is over."} />
        </div>
      ) : null}
      <div
        ref={element}
        className="terminal"
        role="textbox"
        aria-multiline="true"
        aria-label={`Terminal in ${name}`}
        aria-readonly={view?.state !== "open"}
        tabIndex={0}
        onKeyDown={typed}
        onPaste={(event) => {
          event.preventDefault();
          session.current?.type(event.clipboardData.getData("text").replace(/\r?\n/g, "\r"));
        }}
      >
        <Shown view={view} />
      </div>
      <LineForm isOpen={view?.state === "open"} onLine={(line) => session.current?.type(`${line}\r`)} />
    </>
  );
}

function Shown({ view }: { view: TerminalView | null }) {
  if (view === null || view.state === "connecting") return "Connecting…";
  const { above, cursor, state } = view;
  return view.lines.map((runs, at) => (
    <Line
      key={at}
      runs={runs}
      cursor={at === above + cursor.row && state === "open" ? cursor.column : null}
    />
  ));
}

/** A line at once, for keyboards whose keys the screen does not hear: those of phones. */
function LineForm({ isOpen, onLine }: { isOpen: boolean; onLine: (line: string) => void }) {
  const [line, setLine] = useState("");
  return (
    <form
      className="row pad"
      aria-label="A line for the terminal"
      onSubmit={(event) => {
        event.preventDefault();
        if (!isOpen) return;
        onLine(line);
        setLine("");
      }}
    >
      <label className="field grow">
        <span className="visually-hidden">Line</span>
        <input
          className="input mono"
          value={line}
          autoComplete="off"
          autoCapitalize="off"
          spellCheck={false}
          placeholder="A line, for keyboards that the screen does not hear"
          onChange={(event) => setLine(event.target.value)}
        />
      </label>
      <button
        type="submit"
        className="button"
        disabled={!isOpen}
        title={isOpen ? undefined : "There is no connection"}
      >
        Send
      </button>
      <span className="quiet hint">Shift + Tab leaves the terminal</span>
    </form>
  );
}

/** Colours of a terminal by number, on its dark ground. */
const COLORS = [
  "#5c6b65",
  "#ff8f88",
  "#63d69a",
  "#f0c068",
  "#8ab8ff",
  "#dba3f5",
  "#4fd1c8",
  "#d5dbd7",
  "#9db0a8",
  "#ffb3ae",
  "#9be8bf",
  "#f8dba0",
  "#b8d4ff",
  "#ecc9fb",
  "#98e8e2",
  "#ffffff",
];

function lookOf({ bold, inverse, color }: Style) {
  const own = color === null ? undefined : COLORS[color];
  return {
    fontWeight: bold ? 700 : undefined,
    ...(inverse ? { background: own ?? "var(--screen-text)", color: "var(--screen)" } : { color: own }),
  };
}

function Line({ runs, cursor }: { runs: readonly Run[]; cursor: number | null }) {
  if (cursor === null)
    return (
      <div>
        {runs.map(({ text, style }, at) => (
          <span key={at} style={lookOf(style)}>
            {text}
          </span>
        ))}
        {"\u200b"}
      </div>
    );
  const chars = runs.flatMap(({ text, style }) => [...text].map((char) => ({ char, style })));
  while (chars.length <= cursor)
    chars.push({ char: " ", style: { bold: false, inverse: false, color: null } });
  return (
    <div>
      {chars.map(({ char, style }, at) => (
        <span key={at} {...(at === cursor ? { className: "cursor" } : { style: lookOf(style) })}>
          {char}
        </span>
      ))}
    </div>
  );
}
