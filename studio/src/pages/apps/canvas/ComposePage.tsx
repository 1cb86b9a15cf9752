import { useEffect, useMemo } from "react";
import { Link } from "react-router";
import { RequestError } from "../../../api/client";
import type { XnodeInfo } from "../../../api/xnode";
import { useMay } from "../../../api/xnodeAccess";
import { useApplications, useDocument, useSecrets, useXnode } from "../../../api/xnodeQueries";
import { boxesOf, differenceWords } from "../../../compose/boxes";
import { refusalsOf } from "../../../compose/faults";
import { graphOf, marksOf, type Graph, type Marks } from "../../../compose/graph";
import type { Places } from "../../../compose/layout";
import { begin, drawnGraph, isUntouched, reduce, type Action, type Compose } from "../../../compose/model";
import { Card, Notice } from "../../../design";
import { forgetDrafts, useDraftReducer } from "../../../lib/draft";
import { useTitle } from "../../../lib/title";
import { Decide, Planning, useChange, type ChangeFlow } from "../change";
import { DocumentEditor } from "../DocumentEditor";
import { Live, Refused } from "../parts";
import { problemsOf } from "../Problems";
import { recallPlaces, rememberPlaces } from "./places";
import { Workbench } from "./Workbench";

/** Key of what was composed. */
const DRAFT = "canvas";

/** Several applications composed with their links, and deployed as one generation. */
export function ComposePage() {
  useTitle("Compose");
  const xnode = useXnode();
  const present = useDocument(xnode.data?.wanted);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › Compose
      </p>
      <div className="heading">
        <h1>Compose</h1>
        <p className="quiet flat">
          Several applications and their links, deployed as one. Nothing happens before you have seen the
          plan.
        </p>
      </div>
      <Live of={present} what="the present document">
        {({ number, text }) =>
          xnode.data ? <Composing machine={machineOf(xnode.data)} number={number} text={text} /> : null
        }
      </Live>
    </div>
  );
}

/** A machine has no name before its first generation. */
const machineOf = ({ agent, node }: XnodeInfo): string => `${agent} ${node}`;
const placesOfMachine = (machine: string): Places => {
  const places = recallPlaces(machine);
  return Object.keys(places).length > 0 ? places : recallPlaces(`${machine.split(" ")[0] ?? ""} `);
};

function Composing({ machine, number, text }: { machine: string; number: number; text: string }) {
  const [state, dispatch] = useDraftReducer(DRAFT, reduce, () =>
    begin(number, text, placesOfMachine(machine)),
  );
  const flow = useChange();
  // Where nothing was changed here, it goes on from what the machine has by now.
  if (number !== state.number && isUntouched(state)) dispatch({ kind: "carry", number, text });
  const { places } = state.now;
  useEffect(() => rememberPlaces(machine, places), [machine, places]);
  if (flow.planned)
    return <Decide flow={flow} planned={flow.planned} verb="Deploy" onDone={() => forgetDrafts(DRAFT)} />;
  const act = (action: Action) => {
    // A plan, and what was refused, are about the text as it was.
    if (!["select", "say", "move", "arrange"].includes(action.kind)) flow.reset();
    dispatch(action);
  };
  return <Canvas state={state} number={number} text={text} flow={flow} act={act} />;
}

const NOTHING: Graph = { nodes: [], edges: [], rest: "" };

function Canvas({
  state,
  number,
  text,
  flow,
  act,
}: {
  state: Compose;
  /** The wanted generation, and its document: somebody may have deployed another one meanwhile. */
  number: number;
  text: string;
  flow: ChangeFlow;
  act: (action: Action) => void;
}) {
  const applications = useApplications();
  const { drawn, base, now } = state;
  const graph = useMemo(() => drawnGraph({ drawn }), [drawn]);
  const marks = useMemo(() => {
    const before = graphOf(base);
    return marksOf("graph" in before ? before.graph : NOTHING, graph);
  }, [base, graph]);
  const { refused: error } = flow;
  const refused = refusalsOf(
    codeOf(error),
    error?.message ?? "",
    graph.nodes.map(({ name }) => name),
  );
  const boxes = boxesOf(graph, now, marks, applications.data ?? [], error ? refused.faults : {});
  return (
    <>
      {number === state.number ? null : (
        <Meanwhile onCarry={() => act({ kind: "carry", number, text })} number={number} />
      )}
      <Workbench state={state} graph={graph} boxes={boxes} dispatch={act} />
      <Card title="Document" flush>
        <DocumentEditor
          label="Document"
          value={now.text}
          problems={problemsOf(error)}
          onChange={(written) => act({ kind: "write", text: written })}
        />
      </Card>
      <Unread text={now.text} />
      {error ? <Others error={error} others={refused.others} /> : null}
      <Removed marks={marks} />
      <Planned state={state} graph={graph} marks={marks} flow={flow} act={act} />
    </>
  );
}

const codeOf = (error: Error | null): string => (error instanceof RequestError ? error.code : "");

/** Somebody has deployed another document since this one was begun. */
function Meanwhile({ number, onCarry }: { number: number; onCarry: () => void }) {
  return (
    <Notice tone="warn" title={`Generation ${number} is wanted by now`}>
      What is composed here began with the one before, and cannot be planned so.{" "}
      <button type="button" className="button small" onClick={onCarry}>
        Go on from generation {number}
      </button>
    </Notice>
  );
}

function Unread({ text }: { text: string }) {
  const drawn = graphOf(text);
  if ("graph" in drawn) return null;
  return (
    <Notice tone="warn" title="The canvas shows the text as it was before">
      {`Line ${drawn.line} ${drawn.what}.`} It can be planned as it is; to change it on the canvas, write that
      otherwise.
    </Notice>
  );
}

/** What was refused and concerns none of the applications. */
function Others({ error, others }: { error: Error; others: readonly string[] }) {
  if (others.join("\n") === error.message) return <Refused error={error} />;
  return (
    <Notice tone="bad" title="It cannot be deployed so">
      {others.length === 0 ? "What is wrong stands at the applications that it concerns." : null}
      {others.map((words) => (
        <span key={words} className="below">
          {words}
        </span>
      ))}
    </Notice>
  );
}

function Removed({ marks: { removed } }: { marks: Marks }) {
  const may = useMay("admin");
  if (removed.length === 0) return null;
  return (
    <Notice tone="warn" title={`Taken out, and therefore removed: ${removed.join(", ")}`}>
      Their data are kept.{may ? ` To take an application out needs the role admin.` : ""}
    </Notice>
  );
}

/** Secrets that are named and not there: those of templates are made with the deployment, others have to be set. */
function useMissing(graph: Graph): { made: string[]; unset: string[] } {
  const may = useMay("operator");
  const { data } = useSecrets(may === undefined);
  if (!data) return { made: [], unset: [] };
  const named = graph.nodes.flatMap(({ secrets }) => secrets);
  const missing = named.filter(({ name }) => data.every((secret) => secret.name !== name));
  const made = new Set(missing.filter(({ isAnswer }) => isAnswer).map(({ name }) => name));
  const unset = new Set(missing.map(({ name }) => name).filter((name) => !made.has(name)));
  return { made: [...made].sort(), unset: [...unset].sort() };
}

function Planned({
  state,
  graph,
  marks,
  flow,
  act,
}: {
  state: Compose;
  graph: Graph;
  marks: Marks;
  flow: ChangeFlow;
  act: (action: Action) => void;
}) {
  const may = useMay("operator");
  const { made, unset } = useMissing(graph);
  const { now, base, number } = state;
  const why =
    may ??
    (now.drafts.length > 0
      ? `Options are to be given: ${now.drafts.map(({ name }) => name).join(", ")}`
      : now.text === base
        ? "Nothing is changed"
        : undefined);
  return (
    <form
      className="stack"
      aria-label="Deployment"
      onSubmit={(event) => {
        event.preventDefault();
        if (why !== undefined) return;
        const change = { kind: "document", text: now.text, makes: made.length > 0 } as const;
        flow.plan({ change, expected: number });
      }}
    >
      {unset.length > 0 ? (
        <Notice tone="warn" title={`It needs secrets that are not here: ${unset.join(", ")}`}>
          <Link to="/node/secrets">Set them</Link> before it is deployed; what is composed here stays.
        </Notice>
      ) : null}
      {made.length > 0 ? (
        <p className="flat">
          Made with the deployment, and shown to nobody: <span className="long">{made.join(", ")}</span>.
        </p>
      ) : null}
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
        <button
          type="button"
          className="button"
          disabled={isUntouched(state)}
          title={isUntouched(state) ? "Nothing is changed" : undefined}
          onClick={() => act({ kind: "discard" })}
        >
          Begin anew
        </button>
        <span className="quiet">{why ?? differenceWords(marks)}</span>
      </p>
    </form>
  );
}
