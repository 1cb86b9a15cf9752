import { useMutation } from "@tanstack/react-query";
import { useId, useState } from "react";
import { Link } from "react-router";
import type { ImportFinding } from "../../api/xnode";
import { readCompose, useSecrets } from "../../api/xnodeQueries";
import { Badge, Card, Notice } from "../../design";
import { Table } from "../../design/Table";
import { readImages, readVariables } from "../../lib/compose";
import { useDraft } from "../../lib/draft";
import { Refused } from "./parts";
import { ProblemList, problemsOf } from "./Problems";

/** A compose file that was read: the text, and the document that it becomes. */
export interface Composed {
  of: string;
  document: string;
}

/** Key of what is written beside a compose file. */
export const COMPOSE_DRAFT = "deploy compose";

/** A compose file becomes a document; what is not done as Docker does it is said by line, and what matters is asked about. */
export function ComposeImport({
  text,
  composed,
  onComposed,
}: {
  text: string;
  composed: Composed | null;
  onComposed: (composed: Composed | null) => void;
}) {
  const [written, setWritten] = useDraft(COMPOSE_DRAFT, () => ({ variables: "", images: "" }));
  const [without, setWithout] = useState<readonly string[]>([]);
  const variables = readVariables(written.variables);
  const images = readImages(written.images);
  const isWrong = variables.wrong.length > 0 || images.wrong.length > 0;
  const reading = useMutation({
    mutationFn: readCompose,
    onSuccess: ({ document, is_complete: isComplete }, asked) => {
      onComposed(isComplete ? { of: asked.text, document } : null);
    },
  });
  const answer = reading.variables?.text === text ? reading.data : undefined;
  const done = composed?.of === text ? composed.document : null;
  return (
    <Card title="docker-compose.yml">
      <div className="stack">
        <PairsInput
          label="Variables, as an .env file has them"
          form="NAME=value"
          written={written.variables}
          wrong={variables.wrong}
          onChange={(variables) => setWritten({ ...written, variables })}
        />
        <PairsInput
          label="Images of services that would be built from a folder"
          form="SERVICE=image"
          written={written.images}
          wrong={images.wrong}
          onChange={(images) => setWritten({ ...written, images })}
        />
        <Findings
          all={answer?.findings ?? []}
          without={without}
          onChange={(path, isOn) =>
            setWithout((before) => (isOn ? [...before, path] : before.filter((each) => each !== path)))
          }
        />
        <Secrets names={answer?.secrets ?? []} />
        {reading.variables?.text === text ? <Problems error={reading.error} /> : null}
        <p className="row flat">
          <button
            type="button"
            className="button"
            disabled={reading.isPending || isWrong}
            title={isWrong ? "A line above is not of its form" : undefined}
            onClick={() =>
              reading.mutate({
                text,
                variables: variables.values,
                images: images.values,
                without: [...without],
              })
            }
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

function PairsInput({
  label,
  form,
  written,
  wrong,
  onChange,
}: {
  label: string;
  form: string;
  written: string;
  wrong: readonly number[];
  onChange: (text: string) => void;
}) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea
        id={id}
        className="input mono"
        rows={2}
        value={written}
        spellCheck={false}
        placeholder={form}
        aria-invalid={wrong.length > 0}
        onChange={(event) => onChange(event.target.value)}
      />
      {wrong.length > 0 ? (
        <span className="problem" role="alert">
          {`${form} is expected on line ${wrong.join(", ")}.`}
        </span>
      ) : null}
    </div>
  );
}

/** Secrets that have to be there before it is deployed: a compose file has their values outside of itself. */
function Secrets({ names }: { names: readonly string[] }) {
  const { data: there } = useSecrets(names.length > 0);
  const missing = names.filter((name) => there?.every((secret) => secret.name !== name) ?? true);
  if (missing.length === 0) return null;
  return (
    <Notice tone="warn" title={`It needs secrets that are not here: ${missing.join(", ")}`}>
      Their values are not in the document. <Link to="/node/secrets">Set them</Link> before it is deployed.
    </Notice>
  );
}

function Problems({ error }: { error: Error | null }) {
  const problems = problemsOf(error);
  if (error === null) return null;
  return problems.length > 0 ? <ProblemList problems={problems} /> : <Refused error={error} />;
}

function Findings({
  all,
  without,
  onChange,
}: {
  all: readonly ImportFinding[];
  without: readonly string[];
  onChange: (path: string, isOn: boolean) => void;
}) {
  if (all.length === 0) return null;
  return (
    <Table
      label="What is not done as Docker does it"
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
              <span className="quiet">{kind === "ignored" ? "nothing changes" : "look at it"}</span>
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
