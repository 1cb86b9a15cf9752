import { useId, useState } from "react";
import { Link } from "react-router";
import { MARK_WORDS, originWords, portWords, type Box } from "../../../compose/boxes";
import type { AppNode, Graph } from "../../../compose/graph";
import { reasonAgainstLink, type Action } from "../../../compose/model";
import { Badge, Card, Empty, Notice } from "../../../design";
import { Act, Conditions, OpenLink, StateBadge } from "../parts";
import { INSPECTOR, LINK_TO } from "./ids";
import { NewOptions } from "./NewOptions";
import { Options } from "./Options";

interface Props {
  box: Box | null;
  graph: Graph;
  names: readonly string[];
  text: string;
  /** The reason for which the document cannot be changed here. */
  why: string | undefined;
  dispatch: (action: Action) => void;
  onOpen: (name: string) => void;
  onCopy: (name: string) => void;
  /** Back to the canvas. */
  onLeave: (name: string) => void;
}

/** What can be said of one application, and what can be changed of it. */
export function Inspector({ box, ...props }: Props) {
  return (
    <section
      id={INSPECTOR}
      className="inspector"
      aria-label={box ? `Settings of ${box.name}` : "Settings"}
      tabIndex={-1}
      onKeyDown={(event) => {
        if (event.key === "Escape" && box) props.onLeave(box.name);
      }}
    >
      {box ? (
        <Chosen key={box.name} box={box} {...props} />
      ) : (
        <Card title="Settings">
          <Empty>Choose an application to see what it is, to link it, and to change its options.</Empty>
        </Card>
      )}
    </section>
  );
}

function Chosen({ box, graph, names, text, why, dispatch, onOpen, onCopy }: Props & { box: Box }) {
  const { name, node, draft, application, mark, problems } = box;
  const applications = graph.nodes.filter((each) => each.name !== name);
  return (
    <Card
      title={name}
      actions={
        <>
          {node ? (
            <Act words="Copy" label={`Copy ${name}`} busy={false} why={why} onAct={() => onCopy(name)} />
          ) : null}
          <Act
            words="Take out"
            label={`Take out ${name}`}
            busy={false}
            why={why}
            onAct={() => dispatch({ kind: "remove", name })}
          />
        </>
      }
    >
      <div className="stack">
        <p className="row flat">
          <span className="long">{originWords(box)}</span>
          {MARK_WORDS[mark] ? <Badge tone="warn">{MARK_WORDS[mark]}</Badge> : null}
          {application ? (
            <>
              <StateBadge state={application.state} title={application.cause ?? ""} />
              <Conditions of={application} />
              <Link to={`/apps/${name}`}>Its page</Link>
              <OpenLink application={application} />
            </>
          ) : null}
        </p>
        {problems.length > 0 ? (
          <Notice
            tone={draft ? "warn" : "bad"}
            title={problems.length === 1 ? "1 problem" : `${problems.length} problems`}
          >
            {problems.map((problem) => (
              <span key={problem} className="below">
                {problem}
              </span>
            ))}
          </Notice>
        ) : null}
        {draft ? (
          <NewOptions
            draft={draft}
            names={names.filter((each) => each !== name)}
            applications={applications}
            why={why}
            dispatch={dispatch}
            onAdded={onOpen}
          />
        ) : null}
        {node ? (
          <>
            <Links node={node} graph={graph} why={why} dispatch={dispatch} />
            <Facts node={node} />
            <OptionsOf
              box={box}
              node={node}
              text={text}
              why={why}
              applications={applications}
              dispatch={dispatch}
            />
          </>
        ) : null}
      </div>
    </Card>
  );
}

function OptionsOf({
  node,
  ...props
}: {
  box: Box;
  node: AppNode;
  text: string;
  why: string | undefined;
  applications: readonly { name: string }[];
  dispatch: (action: Action) => void;
}) {
  const [origin] = node.origins;
  if (!origin?.template)
    return (
      <p className="quiet flat">
        It is made of no template: everything else of it is changed in the text, from line {node.line}.
      </p>
    );
  return (
    <>
      <h3>Options</h3>
      <Options
        template={origin.template}
        catalogue={origin.catalogue ?? ""}
        version={origin.version ?? ""}
        {...props}
      />
    </>
  );
}

/** What it reaches, by which name, and who reaches it. */
function Links({
  node,
  graph,
  why,
  dispatch,
}: {
  node: AppNode;
  graph: Graph;
  why: string | undefined;
  dispatch: (action: Action) => void;
}) {
  const { name } = node;
  const users = graph.edges.filter(({ kind, to }) => kind === "links" && to === name).map(({ from }) => from);
  const ports = (of: string) => graph.nodes.find((each) => each.name === of)?.ports ?? [];
  return (
    <>
      <h3>Links</h3>
      {node.links.length + node.after.length === 0 ? (
        <p className="quiet flat">It reaches no other application.</p>
      ) : (
        <ul className="links-of" aria-label={`Links of ${name}`}>
          {node.links.map((to) => (
            <li key={`links ${to}`}>
              <span>
                reaches <strong>{to}</strong> by the name <code>{to}</code>
                {ports(to).map((port) => (
                  <span key={port.name} className="below quiet">
                    <code>{port.number === "" ? to : `${to}:${port.number}`}</code> {port.name},{" "}
                    {port.protocol}
                  </span>
                ))}
              </span>
              <Act
                words="Take away"
                label={`Take away the link from ${name} to ${to}`}
                busy={false}
                why={why}
                onAct={() => dispatch({ kind: "unlink", of: "links", from: name, to })}
              />
            </li>
          ))}
          {node.after.map((to) => (
            <li key={`after ${to}`}>
              <span>
                starts after <strong>{to}</strong>
              </span>
              <Act
                words="Take away"
                label={`Let ${name} not wait for ${to}`}
                busy={false}
                why={why}
                onAct={() => dispatch({ kind: "unlink", of: "after", from: name, to })}
              />
            </li>
          ))}
        </ul>
      )}
      {users.length > 0 ? <p className="flat">Reached by {users.join(", ")}.</p> : null}
      <NewLink name={name} graph={graph} why={why} dispatch={dispatch} />
    </>
  );
}

function NewLink({
  name,
  graph,
  why,
  dispatch,
}: {
  name: string;
  graph: Graph;
  why: string | undefined;
  dispatch: (action: Action) => void;
}) {
  const [wanted, setWanted] = useState("");
  const id = useId();
  const targets = graph.nodes
    .filter((each) => each.name !== name)
    .map((each) => ({ to: each.name, against: reasonAgainstLink(graph, name, each.name) }));
  const chosen = targets.some(({ to, against }) => to === wanted && against === null) ? wanted : "";
  const reason = why ?? (chosen === "" ? "Choose an application first" : undefined);
  return (
    <form
      className="row end"
      aria-label={`Link ${name}`}
      onSubmit={(event) => {
        event.preventDefault();
        if (reason !== undefined) return;
        dispatch({ kind: "link", from: name, to: chosen });
        setWanted("");
      }}
    >
      <div className="field grow">
        <label htmlFor={LINK_TO}>Link to</label>
        <select
          id={LINK_TO}
          className="input"
          value={chosen}
          aria-describedby={id}
          onChange={(event) => setWanted(event.target.value)}
        >
          <option value="">Choose…</option>
          {targets.map(({ to, against }) => (
            <option key={to} value={to} disabled={against !== null}>
              {against === null ? to : `${to}: ${against}`}
            </option>
          ))}
        </select>
        <span id={id} className="help">
          It is started before, and reached by its name.
        </span>
      </div>
      <button type="submit" className="button" disabled={reason !== undefined} title={reason}>
        Link
      </button>
    </form>
  );
}

/** Ports, domains, volumes and secrets, as the document has them. */
function Facts({ node: { ports, domains, volumes, secrets } }: { node: AppNode }) {
  const facts: [string, string[]][] = [
    ["Ports", ports.map(portWords)],
    ["Domains", domains],
    ["Volumes", volumes.map(({ name, path, size }) => `${name} at ${path}, ${size}`)],
    ["Secrets", secrets.map(({ name }) => name)],
  ];
  const shown = facts.filter(([, words]) => words.length > 0);
  if (shown.length === 0) return null;
  return (
    <dl className="facts" aria-label="Facts of the application">
      {shown.map(([head, words]) => (
        <div key={head} className="fact">
          <dt>{head}</dt>
          <dd>
            {words.map((each) => (
              <span key={each} className="below">
                {each}
              </span>
            ))}
          </dd>
        </div>
      ))}
    </dl>
  );
}
