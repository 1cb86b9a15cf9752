import { useState } from "react";
import { Link } from "react-router";
import { useDocument, useXnode } from "../../api/xnodeQueries";
import { Card, Notice } from "../../design";
import { isCompose } from "../../lib/compose";
import { namesIn, otherKeys, unreadIn, withDocument } from "../../lib/document";
import { forgetDrafts, useDraft } from "../../lib/draft";
import { count } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { COMPOSE_DRAFT, ComposeImport, type Composed } from "./ComposeImport";
import { DocumentEditor } from "./DocumentEditor";
import { Decide, Planning, useChange } from "./change";
import { Live, Refused } from "./parts";
import { ProblemList, problemsOf } from "./Problems";

/** What was written here, the document that was made of it, and what was written beside a compose file. */
const DRAFTS = ["deploy document", "deploy composed", COMPOSE_DRAFT] as const;

const FIRST = `version: 1
applications:
  site:
    image: docker.io/library/nginx:1.27
    ports:
      http: { port: 80, publish: {} }
`;

export function DocumentPage() {
  useTitle("Deploy a document");
  const xnode = useXnode();
  const present = useDocument(xnode.data?.wanted);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › Paste a document
      </p>
      <div className="heading">
        <h1>Deploy a document</h1>
        <p className="quiet flat">
          YAML or JSON of this machine's applications, or a docker-compose.yml. Nothing happens before you
          have seen the plan.
        </p>
      </div>
      <Live of={present} what="the present document">
        {({ number, text }) => <Writing present={text} wanted={number} />}
      </Live>
    </div>
  );
}

function Writing({ present, wanted }: { present: string; wanted: number }) {
  const [read] = useFilters();
  const [whole, setWhole] = useState(read("whole") === "1");
  const [written, setWritten] = useDraft(DRAFTS[0], () => (whole && wanted > 0 ? present : FIRST));
  const flow = useChange();
  const [composed, setComposed] = useDraft<Composed | null>(DRAFTS[1], () => null);
  const own = namesIn(present) ?? [];
  const compose = isCompose(written);
  const source = compose ? (composed?.of === written ? composed.document : null) : written;
  // Before the first generation there is nothing that could be added to.
  const adds = !whole && wanted > 0;
  const merged = source === null || !adds ? null : withDocument(present, source);
  const cannotAdd = source !== null && adds && merged === null;
  const sent = merged?.text ?? source ?? "";
  // What was made of a compose file has lines that nobody wrote.
  const problems = problemsOf(flow.refused, compose ? [] : merged?.origins);
  const named = source === null || source.trim() === "" ? null : namesIn(source);
  const missing = whole && named !== null ? own.filter((name) => !named.includes(name)) : [];
  const leftOut = merged !== null && source !== null ? otherKeys(source) : [];
  const why =
    written.trim() === ""
      ? "Write a document first"
      : source === null
        ? "Let the compose file be read first"
        : cannotAdd
          ? "It cannot be added by itself"
          : undefined;
  if (flow.planned)
    return <Decide flow={flow} planned={flow.planned} verb="Deploy" onDone={() => forgetDrafts(...DRAFTS)} />;
  return (
    <form
      className="stack"
      aria-label="Document"
      onSubmit={(event) => {
        event.preventDefault();
        if (why === undefined) flow.plan({ change: { kind: "document", text: sent }, expected: wanted });
      }}
    >
      <Card title="Document" flush>
        <DocumentEditor
          label="Document"
          value={written}
          problems={problems}
          onChange={(text) => {
            flow.reset();
            setWritten(text);
          }}
        />
      </Card>
      {compose ? <ComposeImport text={written} composed={composed} onComposed={setComposed} /> : null}
      {wanted > 0 ? <Scope own={own} isWhole={whole} onWhole={setWhole} /> : null}
      {whole && wanted > 0 && written !== present ? (
        <p className="row flat">
          <button
            type="button"
            className="button small"
            onClick={() => {
              flow.reset();
              setWritten(present);
            }}
          >
            Begin with the present document
          </button>
          <span className="quiet">It takes the place of what is written above.</span>
        </p>
      ) : null}
      <Warnings cannotAdd={cannotAdd} unread={unreadIn(source ?? "")} leftOut={leftOut} missing={missing} />
      <ProblemList problems={problems} />
      {flow.refused && problems.length === 0 ? <Refused error={flow.refused} /> : null}
      <Planning flow={flow} />
      <p className="row flat">
        <button
          type="submit"
          className="button primary"
          disabled={flow.isPlanning || why !== undefined}
          title={why}
        >
          {flow.isPlanning ? "Planning…" : "Show the plan"}
        </button>
      </p>
    </form>
  );
}

/** Names that are said before the rest is counted. */
const NAMES_SAID = 8;
const listed = (names: readonly string[]): string =>
  names.length <= NAMES_SAID
    ? names.join(", ")
    : `${names.slice(0, NAMES_SAID).join(", ")} and ${count(names.length - NAMES_SAID)} others`;

/** What becomes of the other applications. */
function Scope({
  own,
  isWhole,
  onWhole,
}: {
  own: readonly string[];
  isWhole: boolean;
  onWhole: (isWhole: boolean) => void;
}) {
  return (
    <fieldset className="row plainset">
      <legend className="visually-hidden">What becomes of the other applications</legend>
      <label className="row">
        <input type="radio" name="whole" checked={!isWhole} onChange={() => onWhole(false)} />
        Add to what is here{own.length > 0 ? `: ${listed(own)}` : ""}
      </label>
      <label className="row">
        <input type="radio" name="whole" checked={isWhole} onChange={() => onWhole(true)} />
        This is the whole document
      </label>
    </fieldset>
  );
}

function Warnings({
  cannotAdd,
  unread,
  leftOut,
  missing,
}: {
  cannotAdd: boolean;
  /** What of it is not read here, with its line. */
  unread: string | null;
  leftOut: readonly string[];
  missing: readonly string[];
}) {
  return (
    <>
      {cannotAdd ? (
        <Notice tone="warn" title="This text cannot be added by itself">
          {unread ?? "It has no applications."} Write it otherwise, or deploy it as the whole document.
        </Notice>
      ) : null}
      {leftOut.length > 0 ? (
        <Notice tone="warn" title={`Only its applications are added; left out: ${leftOut.join(", ")}`} />
      ) : null}
      {missing.length > 0 ? (
        <Notice tone="warn" title={`Not in it, and therefore removed: ${missing.join(", ")}`}>
          Their data are kept.
        </Notice>
      ) : null}
    </>
  );
}
