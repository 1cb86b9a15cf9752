import { useEffect, useState } from "react";
import { Link } from "react-router";
import { query } from "../../api/client";
import { follow, type LinesState } from "../../api/lines";
import type { AppJob, Application, JobRun, LogLine } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { beginJob, endJob, ROOT, useAct, useJobs } from "../../api/xnodeQueries";
import { Badge, Card, Empty } from "../../design";
import { Table } from "../../design/Table";
import { count, duration } from "../../lib/format";
import { EMPTY_LOG, plainText, withLines, type LogWindow } from "../../lib/logWindow";
import { useFilters } from "../../lib/urlState";
import { At, When } from "../parts";
import { Act, By, Live, Refused } from "./parts";

/** Commands that run to their end: by schedule, at each switch, or when somebody asks. */
export function Jobs({ application: { name } }: { application: Application }) {
  const jobs = useJobs(name);
  return (
    <Live of={jobs} what="jobs">
      {(all) =>
        all.length === 0 ? (
          <Card title="Jobs" flush>
            <Empty>
              It has no job. One is named by <code>jobs</code> in its{" "}
              <Link to={`/apps/${name}/settings`}>settings</Link>: a command, and a schedule where it is to
              run by itself.
            </Empty>
          </Card>
        ) : (
          all.map((job) => <Job key={job.name} application={name} job={job} />)
        )
      }
    </Live>
  );
}

const OCCASIONS: Record<AppJob["occasion"], string> = {
  switch: "at each switch to another version",
  schedule: "by schedule",
  demand: "when somebody asks",
};

function Job({ application, job }: { application: string; job: AppJob }) {
  const [read, write] = useFilters();
  const may = useMay("operator");
  const beginning = useAct(beginJob);
  const ending = useAct(endJob);
  const wish = { name: application, job: job.name };
  const isRunning = job.runs.some((run) => run.is_running);
  const shown = job.runs.find(({ number }) => read("run") === `${job.name} ${number}`);
  const error = beginning.error ?? ending.error;
  return (
    <Card
      title={job.name}
      flush
      actions={
        <>
          <Act
            words="Run now"
            label={`Run ${job.name} now`}
            busy={beginning.isPending}
            why={may ?? (isRunning ? "It runs" : undefined)}
            onAct={() => beginning.mutate(wish)}
          />
          <Act
            words="End"
            label={`End the run of ${job.name}`}
            busy={ending.isPending}
            why={may ?? (isRunning ? undefined : "It does not run")}
            onAct={() => ending.mutate(wish)}
          />
        </>
      }
    >
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <p className="pad flat">
        <code className="long">{job.command.join(" ")}</code>
        <span className="below quiet">
          Runs {OCCASIONS[job.occasion]}
          {job.schedule === null ? "" : ` (${job.schedule}, UTC)`}, for at most {duration(job.timeout_ms)}
          {job.next === null ? null : (
            <>
              ; next at <At at={job.next} />
            </>
          )}
        </span>
      </p>
      <Table
        label={`Runs of ${job.name}`}
        items={job.runs}
        keyOf={({ number }) => number}
        empty="It has not run yet."
        columns={[
          { head: "Run", number: true, cell: ({ number }) => count(number) },
          { head: "Begun", cell: ({ at }) => <When at={at} /> },
          { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
          { head: "Revision", cell: ({ revision }) => <code>{revision}</code> },
          { head: "End", tone: () => "wrap", cell: (run) => <RunEnd of={run} /> },
          {
            head: "Took",
            number: true,
            cell: ({ lasted_ms: ms }) => (ms === null ? <span className="quiet">–</span> : duration(ms)),
          },
          {
            head: "",
            cell: ({ number }) => (
              <button
                type="button"
                className="button small"
                aria-pressed={shown?.number === number}
                aria-label={`Log of run ${number} of ${job.name}`}
                onClick={() => write({ run: shown?.number === number ? null : `${job.name} ${number}` })}
              >
                Log
              </button>
            ),
          },
        ]}
      />
      {shown ? (
        <RunLog key={shown.number} application={application} job={job.name} number={shown.number} />
      ) : null}
    </Card>
  );
}

function RunEnd({ of: { is_running: isRunning, code, words } }: { of: JobRun }) {
  if (isRunning) return <Badge tone="warn">▸ runs</Badge>;
  return (
    <>
      <Badge tone={code === 0 ? "good" : "bad"}>{code === 0 ? "✓ done" : "✕ failed"}</Badge> {words}
    </>
  );
}

const NOTHING: Partial<Record<LinesState, string>> = {
  ended: "This run has written nothing.",
  refused: "Its log is not here any more, or you may not look at it.",
  lost: "The log is interrupted; it is asked for again.",
};

/** The log of one run, to its end. */
function RunLog({ application, job, number }: { application: string; job: string; number: number }) {
  const [log, setLog] = useState<LogWindow>(EMPTY_LOG);
  const [state, setState] = useState<LinesState>("connecting");
  useEffect(
    () =>
      follow<LogLine>({
        path: () =>
          `${ROOT}/applications/${encodeURIComponent(application)}/jobs/${encodeURIComponent(job)}/logs${query({ run: number, follow: "true" })}`,
        // The agent tells all of it each time, and ends it with the run: what was seen is left out.
        again: false,
        onValues: (lines) => setLog((before) => withLines(before, lines, true)),
        onState: setState,
      }),
    [application, job, number],
  );
  const lines = log.entries.flatMap((entry) => (entry.kind === "line" ? [entry.line] : []));
  if (lines.length === 0) return <Empty>{NOTHING[state] ?? "No line has come yet."}</Empty>;
  return (
    <div className="log" role="log" aria-live="off" aria-label={`Log of run ${number}`} tabIndex={0}>
      {lines.map((line) => (
        <div key={line.sequence} className={line.stream}>
          <time dateTime={line.at} title={line.at}>
            {line.at.slice(11, 19)}
          </time>{" "}
          <span>{plainText(line.text)}</span>
        </div>
      ))}
    </div>
  );
}
