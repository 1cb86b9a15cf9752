import { useDocument, useXnode } from "../../api/xnodeQueries";
import { Card, Empty } from "../../design";
import { partOf, withPart } from "../../lib/document";
import { forgetDrafts, useDraft } from "../../lib/draft";
import { around, diffLines, differs } from "../../lib/lineDiff";
import { DiffView } from "./DiffView";
import { DocumentEditor } from "./DocumentEditor";
import { MoveAway } from "./MoveAway";
import { Decide, Planning, useChange } from "./change";
import { Live, Refused } from "./parts";
import { ProblemList, problemsOf } from "./Problems";

/** Lines that are shown around a change. */
const CONTEXT_LINES = 3;

const draftOf = (name: string) => `settings of ${name}`;

/** The application's part of the document, with what a change of it would be, and the way to another machine. */
export function Settings({ name }: { name: string }) {
  const xnode = useXnode();
  const document = useDocument(xnode.data?.wanted);
  return (
    <>
      <Live of={document} what="the document">
        {({ number, text }) => {
          const part = partOf(text, name);
          return part === null ? (
            <Empty>It is not in the wanted document, and so it has no settings.</Empty>
          ) : (
            <Editing key={name} text={text} part={part} name={name} wanted={number} />
          );
        }}
      </Live>
      <MoveAway name={name} />
    </>
  );
}

function Editing({ text, part, name, wanted }: { text: string; part: string; name: string; wanted: number }) {
  const [draft, setDraft] = useDraft<string | null>(draftOf(name), () => null);
  const written = draft ?? part;
  const flow = useChange();
  const merged = withPart(text, written);
  const lines = diffLines(part, written);
  const isOther = differs(lines);
  const isRenamed = merged !== null && partOf(merged.text, name) === part && isOther;
  const problems = problemsOf(flow.refused, merged?.origins);
  const why = !isOther
    ? "Nothing is changed"
    : merged === null
      ? "It has to stay one application in blocks, its name first"
      : isRenamed
        ? "With another name it would be another application: deploy that from a document"
        : undefined;
  if (flow.planned)
    return (
      <Decide flow={flow} planned={flow.planned} verb="Apply" onDone={() => forgetDrafts(draftOf(name))} />
    );
  return (
    <form
      className="stack"
      aria-label="Settings"
      onSubmit={(event) => {
        event.preventDefault();
        if (merged && why === undefined)
          flow.plan({ change: { kind: "document", text: merged.text }, expected: wanted });
      }}
    >
      <Card
        title="Settings as document"
        flush
        actions={
          isOther ? (
            <button type="button" className="button small" onClick={() => setDraft(null)}>
              Undo all
            </button>
          ) : null
        }
      >
        <DocumentEditor
          label={`Document of ${name}`}
          value={written}
          problems={problems}
          onChange={(changed) => {
            flow.reset();
            setDraft(changed === part ? null : changed);
          }}
        />
      </Card>
      {isOther ? (
        <Card title="What would change" flush>
          <DiffView rows={around(lines, CONTEXT_LINES)} label="Difference to the present settings" />
        </Card>
      ) : null}
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
        {why !== undefined && isOther ? <span className="wrong">{why}.</span> : null}
      </p>
    </form>
  );
}
