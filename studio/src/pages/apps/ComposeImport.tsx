import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import type { ComposeFinding } from "../../api/xnode";
import { readCompose } from "../../api/xnodeQueries";
import { Badge, Card } from "../../design";
import { Table } from "../../design/Table";
import { readVariables } from "../../lib/compose";
import { Refused } from "./parts";
import { ProblemList, problemsOf } from "./Problems";

/** A compose file that was read: the text, and the document that it becomes. */
export interface Composed {
  of: string;
  document: string;
}

/** A compose file becomes a document; what has no meaning here is said by line, and what matters is asked about. */
export function ComposeImport({
  text,
  composed,
  onComposed,
}: {
  text: string;
  composed: Composed | null;
  onComposed: (composed: Composed) => void;
}) {
  const [variables, setVariables] = useState("");
  const [without, setWithout] = useState<readonly string[]>([]);
  const { values, wrong } = readVariables(variables);
  const reading = useMutation({
    mutationFn: readCompose,
    onSuccess: ({ document }, asked) => {
      if (document !== null) onComposed({ of: asked.text, document });
    },
  });
  const problems = problemsOf(reading.error);
  const isFresh = reading.variables?.text === text;
  const findings = isFresh ? (reading.data?.findings ?? []) : [];
  const done = composed?.of === text ? composed.document : null;
  return (
    <Card title="docker-compose.yml">
      <div className="stack">
        <div className="field">
          <label htmlFor="compose-variables">Variables, as an .env file has them</label>
          <textarea
            id="compose-variables"
            className="input mono"
            rows={3}
            value={variables}
            spellCheck={false}
            aria-invalid={wrong.length > 0}
            onChange={(event) => setVariables(event.target.value)}
          />
          {wrong.length > 0 ? (
            <span className="problem" role="alert">
              {`NAME=value is expected on line ${wrong.join(", ")}.`}
            </span>
          ) : null}
        </div>
        <Findings
          all={findings}
          without={without}
          onChange={(path, isOn) =>
            setWithout((before) => (isOn ? [...before, path] : before.filter((each) => each !== path)))
          }
        />
        {isFresh ? <ProblemList problems={problems} /> : null}
        {isFresh && reading.error && problems.length === 0 ? <Refused error={reading.error} /> : null}
        <p className="row flat">
          <button
            type="button"
            className="button"
            disabled={reading.isPending || wrong.length > 0}
            title={wrong.length > 0 ? "A variable is not of its form" : undefined}
            onClick={() => reading.mutate({ text, variables: values, without: [...without] })}
          >
            {reading.isPending ? "Reading…" : done === null ? "Read it" : "Read it again"}
          </button>
          {done === null ? null : <span className="quiet">It is read: its plan can be shown.</span>}
        </p>
        {done === null ? null : (
          <details className="typed">
            <summary>The document that it becomes</summary>
            <pre tabIndex={0}>{done}</pre>
          </details>
        )}
      </div>
    </Card>
  );
}

function Findings({
  all,
  without,
  onChange,
}: {
  all: readonly ComposeFinding[];
  without: readonly string[];
  onChange: (path: string, isOn: boolean) => void;
}) {
  if (all.length === 0) return null;
  return (
    <Table
      label="What has no meaning here"
      items={all}
      keyOf={({ line, path }) => `${line} ${path}`}
      empty=""
      columns={[
        { head: "Line", number: true, cell: ({ line }) => line },
        { head: "Where", tone: () => "wrap", cell: ({ path }) => <code className="long">{path}</code> },
        {
          head: "What becomes of it",
          cell: ({ kind }) => <Badge tone={kind === "unsupported" ? "warn" : "plain"}>{kind}</Badge>,
        },
        { head: "Why", tone: () => "wrap", cell: ({ why }) => why },
        {
          head: "Do without",
          cell: ({ kind, key, line, path }) =>
            kind !== "unsupported" ? (
              <span className="quiet">{kind === "ignored" ? "nothing changes" : "done in another way"}</span>
            ) : (
              <input
                type="checkbox"
                aria-label={`Do without ${key} of line ${line}`}
                checked={without.includes(path)}
                onChange={(event) => onChange(path, event.target.checked)}
              />
            ),
        },
      ]}
    />
  );
}
