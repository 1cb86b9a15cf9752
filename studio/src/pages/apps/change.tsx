/** A change of the machine: planned, looked at, and done. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useNavigate } from "react-router";
import { RequestError } from "../../api/client";
import type { Deployment } from "../../api/xnode";
import { eventHistory, useHistory } from "../../api/xnodeEvents";
import { ask, fresh, wantedNow, type Change } from "../../api/xnodeQueries";
import { useMay } from "../../api/xnodeAccess";
import { Badge, Card, Empty, Notice } from "../../design";
import { Table } from "../../design/Table";
import { readPlan, type PlanStep } from "../../lib/plan";
import { Refused } from "./parts";
import { rememberPlan } from "./plans";

interface Planned {
  change: Change;
  deployment: Deployment;
  /** The wanted generation when it was planned. */
  expected: number | null;
}

interface Wish {
  change: Change;
  /** The generation that the change was made from, where that is known. */
  expected?: number | null;
}

export interface ChangeFlow {
  /** Asks for the plan. */
  plan: (wish: Wish) => void;
  /** Forgets plan and refusal. */
  reset: () => void;
  isPlanning: boolean;
  planned: Planned | undefined;
  refused: Error | null;
  /** Number of the last event before planning began. */
  since: number;
}

/** The way of a change from a wish to its plan. */
export function useChange(): ChangeFlow {
  const client = useQueryClient();
  const [since, setSince] = useState(0);
  const planning = useMutation({
    mutationFn: async ({ change, expected: given }: Wish): Promise<Planned> => {
      const expected = given === undefined ? wantedNow(client) : given;
      return { change, expected, deployment: await ask(change, { plan: true, expected, reason: "" }) };
    },
  });
  return {
    plan: (wish) => {
      setSince(eventHistory.now.events.at(-1)?.sequence ?? 0);
      planning.mutate(wish);
    },
    reset: planning.reset,
    isPlanning: planning.isPending,
    planned: planning.data,
    refused: planning.error,
    since,
  };
}

/** What the agent does while it plans: it looks images up and builds recipes, which may take minutes. */
export function Planning({ flow }: { flow: ChangeFlow }) {
  const { events } = useHistory();
  if (!flow.isPlanning) return null;
  const said = events.findLast(({ sequence, kind }) => sequence > flow.since && kind === "begins");
  return (
    <p role="status" className="quiet flat">
      {said ? `${said.application ? `${said.application}: ` : ""}${said.text}…` : "Asking for the plan…"}
    </p>
  );
}

/** Begin of a line of a plan that is for whoever changes the machine, and no part of the change. */
const NOTE = "note: ";
/** Begin of the line of a plan that says what it comes to. */
const COST = "cost: ";

/** A plan as steps, with what it destroys said before anything else. */
export function PlanView({ plan, destroys }: { plan: string; destroys: readonly string[] }) {
  const { head, notes: lines, steps, held } = readPlan(plan);
  const notes = lines.filter((line) => !line.startsWith(NOTE) && !line.startsWith(COST));
  return (
    <div className="stack">
      {lines
        .filter((line) => line.startsWith(NOTE))
        .map((line) => (
          <Notice key={line} tone="warn" title="Something else says what this machine is to be">
            {line.slice(NOTE.length)}
          </Notice>
        ))}
      {lines
        .filter((line) => line.startsWith(COST))
        .map((line) => (
          <Notice key={line} title={`It costs ${line.slice(COST.length)}`} />
        ))}
      {destroys.length > 0 ? (
        <Notice tone="warn" title="This will be lost">
          {destroys.map((each) => (
            <span key={each} className="below">
              {each}
            </span>
          ))}
        </Notice>
      ) : null}
      {held.length > 0 ? (
        <Notice tone="warn" title="Left as it is for now">
          {held.map((each) => (
            <span key={each} className="below">
              {each}
            </span>
          ))}
        </Notice>
      ) : null}
      {notes.length > 0 ? (
        <details className="typed" open={notes.length <= 8}>
          <summary>What changes</summary>
          <pre tabIndex={0}>{notes.join("\n")}</pre>
        </details>
      ) : null}
      <Card title={head === "" ? "Steps" : `${head[0]?.toUpperCase() ?? ""}${head.slice(1)}`} flush>
        <Steps steps={steps} />
      </Card>
    </div>
  );
}

function Steps({ steps }: { steps: PlanStep[] }) {
  if (steps.length === 0) return <Empty>Nothing is to be done: the machine is as the document says.</Empty>;
  return (
    <Table
      label="Steps of the plan"
      items={steps}
      keyOf={({ number }) => number}
      empty=""
      tall
      columns={[
        { head: "#", number: true, cell: ({ number }) => number },
        {
          head: "Step",
          tone: () => "wrap",
          cell: ({ text, destroys }) => (
            <>
              {text}
              {destroys === null ? null : (
                <span className="below">
                  <Badge tone="warn">destroys</Badge> {destroys}
                </span>
              )}
            </>
          ),
        },
        {
          head: "Because",
          tone: () => "wrap",
          cell: ({ reason }) => <span className="quiet">{reason}</span>,
        },
      ]}
    />
  );
}

/** The plan with the last word: what is destroyed has to be agreed to, then it is done and followed. */
export function Decide({
  flow,
  planned,
  verb,
  onDone,
}: {
  flow: ChangeFlow;
  planned: Planned;
  verb: string;
  /** It was taken: what was written for it can be forgotten. */
  onDone?: () => void;
}) {
  const client = useQueryClient();
  const navigate = useNavigate();
  const [reason, setReason] = useState("");
  const [agreed, setAgreed] = useState(false);
  const section = useRef<HTMLElement>(null);
  // The plan stands where its form stood: who works by keyboard or by ear goes on at its begin.
  useEffect(() => section.current?.focus(), []);
  const may = useMay(planned.change.kind === "remove" ? "admin" : "operator");
  const { change, deployment, expected } = planned;
  const doing = useMutation({
    mutationFn: () => ask(change, { plan: false, expected, reason }),
    onSuccess: async (taken) => {
      rememberPlan({ generation: taken.generation, events: taken.events, plan: taken.plan });
      onDone?.();
      void fresh(client);
      await navigate(`/deployments/${taken.generation}?from=${taken.events}`);
    },
  });
  const needsWord = deployment.destroys.length > 0 && !agreed;
  const why = may ?? (needsWord ? "Agree first to what will be lost" : undefined);
  const isOld = doing.error instanceof RequestError && doing.error.code === "changed";
  return (
    <section ref={section} className="stack plan" aria-label="Plan" tabIndex={-1}>
      <PlanView plan={deployment.plan} destroys={deployment.destroys} />
      <label className="field">
        <span>Reason, for the history</span>
        <input
          className="input"
          value={reason}
          autoComplete="off"
          maxLength={200}
          onChange={(event) => setReason(event.target.value)}
        />
      </label>
      {deployment.destroys.length > 0 ? (
        <label className="row">
          <input type="checkbox" checked={agreed} onChange={(event) => setAgreed(event.target.checked)} />
          What is listed above may be lost
        </label>
      ) : null}
      {doing.error ? <Refused error={doing.error} /> : null}
      {isOld && change.kind === "document" ? (
        <p className="flat">
          Go back and plan again: the document is then made anew from what is wanted now.
        </p>
      ) : null}
      <p className="row flat">
        <button
          type="button"
          className="button primary"
          disabled={doing.isPending || why !== undefined}
          title={why}
          onClick={() => doing.mutate()}
        >
          {doing.isPending ? "Handing it over…" : verb}
        </button>
        {isOld && change.kind !== "document" ? (
          <button type="button" className="button" onClick={() => flow.plan({ change })}>
            Plan again
          </button>
        ) : null}
        <button type="button" className="button" disabled={doing.isPending} onClick={flow.reset}>
          Back
        </button>
      </p>
    </section>
  );
}
