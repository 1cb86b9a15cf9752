/** The few shapes that pages are made of. They know neither router nor API. */
import { useEffect, useState, type ReactNode } from "react";

export function Card({
  title,
  actions,
  children,
  flush,
}: {
  title: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  flush?: boolean;
}) {
  return (
    <section className="card">
      <header>
        <h2>{title}</h2>
        {actions ? <div className="row">{actions}</div> : null}
      </header>
      {flush ? children : <div className="body">{children}</div>}
    </section>
  );
}

export type Tone = "plain" | "good" | "warn" | "bad" | "hole";

export function Badge({
  tone = "plain",
  children,
  title,
}: {
  tone?: Tone;
  children: ReactNode;
  title?: string;
}) {
  return (
    <span className={`badge ${tone}`} title={title}>
      {children}
    </span>
  );
}

/**
 * Something to be told at once: a screen reader says it, and says it again whenever its words change. So what ticks is no
 * part of what it says, and stands as `ticking` beside it.
 */
export function Notice({
  tone = "plain",
  title,
  ticking,
  children,
}: {
  tone?: Tone;
  title: string;
  /** Ages and other words that change by themselves. */
  ticking?: ReactNode;
  children?: ReactNode;
}) {
  return (
    <div className={`notice ${tone}`}>
      <div role={tone === "bad" ? "alert" : "status"}>
        <strong>{title}</strong>
        {children ? <p>{children}</p> : null}
      </div>
      {ticking ? <span className="quiet">{ticking}</span> : null}
    </div>
  );
}

/** A text of a template or a form, in which what stands between two backticks is code. A backtick alone stays as it is. */
export function Marked({ text }: { text: string }) {
  // Every second part is what the pattern takes out.
  return text.split(/`([^`]+)`/).map((part, at) => (at % 2 === 1 ? <code key={at}>{part}</code> : part));
}

/** What stands below an input: its help, and what is wrong with what was written. The input names both by `aria-describedby`. */
export function FieldNotes({
  id,
  help,
  wrong,
}: {
  id: string;
  help: string | null | undefined;
  wrong: string | null | undefined;
}) {
  return (
    <>
      {help ? (
        <span id={`${id}-help`} className="help">
          <Marked text={help} />
        </span>
      ) : null}
      {wrong ? (
        <span id={`${id}-wrong`} className="problem" role="alert">
          <Marked text={wrong} />
        </span>
      ) : null}
    </>
  );
}

/** What stands where there is nothing yet: says why, and what will make it come. */
export function Empty({ children }: { children: ReactNode }) {
  return (
    <p className="quiet" style={{ padding: "20px 16px", margin: 0 }}>
      {children}
    </p>
  );
}

export function Loading({ what }: { what: string }) {
  return (
    <p className="quiet" role="status" style={{ padding: "20px 16px", margin: 0 }}>
      Loading {what}…
    </p>
  );
}

export function Figures({ children, label }: { children: ReactNode; label: string }) {
  return (
    <dl className="figures" aria-label={label}>
      {children}
    </dl>
  );
}

export function Figure({ name, value, note }: { name: string; value: ReactNode; note?: ReactNode }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {note ? <small>{note}</small> : null}
      </dd>
    </div>
  );
}

/** A share between 0 and 1 as a bar with its number. */
export function Share({ value, label }: { value: number; label: string }) {
  const percent = Math.round(value * 100);
  return (
    <span className="row" style={{ flexWrap: "nowrap", gap: 8 }}>
      <span className="bar" role="img" aria-label={`${label}: ${percent} %`}>
        <i style={{ width: `${percent}%` }} />
      </span>
      {percent} %
    </span>
  );
}

/** Absent over plain HTTP from another machine, whatever the types say. */
const canCopy = typeof navigator !== "undefined" && "clipboard" in navigator;

/** Copies a text and says so for a moment. */
export function Copy({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  useEffect(() => {
    if (!copied) return;
    const timer = setTimeout(() => setCopied(false), 1500);
    return () => clearTimeout(timer);
  }, [copied]);
  return (
    <button
      type="button"
      className="button small plain"
      aria-label={`Copy ${label}`}
      disabled={!canCopy}
      title={canCopy ? undefined : "A browser lets pages copy only over HTTPS or on this machine"}
      onClick={() => {
        void navigator.clipboard.writeText(text).then(() => setCopied(true));
      }}
    >
      {copied ? "Copied" : "Copy"}
    </button>
  );
}

/** A long hash, shortened in the middle; the whole is in the title and can be copied. */
export function Hash({ text, keep = 6 }: { text: string; keep?: number }) {
  const short = text.length <= keep * 2 + 3 ? text : `${text.slice(0, keep + 2)}…${text.slice(-keep)}`;
  return (
    <code title={text} aria-label={text}>
      {short}
    </code>
  );
}
