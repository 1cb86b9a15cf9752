import { useState, type ReactNode } from "react";
import { Link } from "react-router";
import { RequestError } from "../../api/client";
import type { Application, BackedApplication, Backup, BackupJob, BackupState } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import {
  backUp,
  cancelBackupJob,
  restoreBackup,
  tryBackup,
  useAct,
  useBackups,
  useBackupsOf,
} from "../../api/xnodeQueries";
import { Badge, Card, Notice, Share, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count, duration } from "../../lib/format";
import { NAME, NAME_WORDS } from "../../lib/options";
import { binary } from "../../lib/quantity";
import { At, When } from "../parts";
import { DataLines } from "./DataLines";
import { LACKS, NoBackups } from "./NoBackups";
import { Act, By, Live, Refused } from "./parts";

export function Backups({ application }: { application: Application }) {
  const overview = useBackups();
  const { name } = application;
  const hasVolumes = Object.keys(application.volumes).length > 0;
  return (
    <>
      <Live of={overview} what="backups">
        {(all) => {
          const own = all.applications.find((each) => each.name === name);
          const lacking = (
            <NoBackups name={name} hasVolumes={hasVolumes} place={own?.target ?? null} overview={all} />
          );
          const hasPlace = own !== undefined && own.target !== null;
          return (
            <>
              {hasPlace ? <Standing of={own} /> : lacking}
              <Acts name={name} of={own} jobs={all.jobs} />
              {hasPlace ? <Kept name={name} lacking={lacking} /> : null}
            </>
          );
        }}
      </Live>
      {hasVolumes ? <DataLines name={name} /> : null}
    </>
  );
}

export const BACKUP_STATES: Record<BackupState, { tone: Tone; words: string }> = {
  ok: { tone: "good", words: "Every moment of the schedule has its backup" },
  waiting: { tone: "plain", words: "The first backup has not come yet" },
  running: { tone: "plain", words: "A backup is being made" },
  late: { tone: "warn", words: "A backup is late" },
  failed: { tone: "bad", words: "The last backup failed, and is tried again" },
};

function Standing({ of }: { of: BackedApplication }) {
  const { tone, words } = BACKUP_STATES[of.state];
  return (
    <>
      <Notice
        tone={tone}
        title={words}
        ticking={
          of.next === null ? null : (
            <>
              next at <At at={of.next} />
            </>
          )
        }
      >
        {of.cause}
        {of.due_since === null ? null : (
          <span className="below">
            Due since <At at={of.due_since} />
            {of.missed > 1 ? `, ${count(of.missed)} moments missed; the next backup makes up for all` : ""}
            {of.failures > 0 ? `, failed ${count(of.failures)} times in a row` : ""}
            {of.again_in_ms === null ? "" : `, tried again in ${duration(of.again_in_ms)}`}
          </span>
        )}
      </Notice>
      {of.awaits_last ? (
        <Notice tone="warn" title="Its last backup is not made yet">
          Its data go only when that is whole.
        </Notice>
      ) : null}
      <DrillStanding of={of} />
    </>
  );
}

function DrillStanding({
  of: { drill: last, drill_cause: cause, next_drill: next },
}: {
  of: BackedApplication;
}) {
  if (last === null && cause === null && next === null)
    return (
      <Notice title="No backup of it was ever tried">
        A drill restores one beside the application and proves it; try one below, or give it a schedule by{" "}
        <code>drill</code> in its settings.
      </Notice>
    );
  const isBad = cause !== null || (last !== null && last.fault !== null);
  return (
    <Notice
      tone={isBad ? "bad" : last === null ? "plain" : "good"}
      title={
        isBad
          ? `The last drill found a fault: ${cause ?? last?.fault ?? ""}`
          : last === null
            ? "No drill has been made yet"
            : "The last drill proved its backup good"
      }
      ticking={
        last === null ? null : (
          <>
            made <When at={last.at} />
          </>
        )
      }
    >
      {last === null ? null : (
        <>
          {binary(last.bytes)} were restored within {duration(last.took_ms)}.{" "}
        </>
      )}
      {next === null ? null : (
        <>
          The next one is at <At at={next} />.
        </>
      )}
    </Notice>
  );
}

const KINDS: Record<BackupJob["kind"], string> = {
  backup: "Backup",
  drill: "Drill",
  restore: "Restore",
  machine: "Restore of the machine",
  tend: "Check of the place",
  describe: "Backup of document and secrets",
  move: "Part of its move",
};

/** What is being done now, in bytes, and what was done lately; and the buttons that begin it. */
function Acts({ name, of, jobs }: { name: string; of: BackedApplication | undefined; jobs: BackupJob[] }) {
  const may = useMay("operator");
  const making = useAct(backUp);
  const drilling = useAct(tryBackup);
  const own = jobs.filter(({ application }) => application === name);
  const hasPlace = of !== undefined && of.target !== null;
  const busy = own.some(({ ended }) => ended === null);
  const why = may ?? (hasPlace ? (busy ? "One is under way" : undefined) : "It has no place for backups");
  const error = making.error ?? drilling.error;
  return (
    <Card
      title="Now and lately"
      flush
      actions={
        <>
          <Act words="Back up now" busy={making.isPending} why={why} onAct={() => making.mutate(name)} />
          <Act
            words="Try the newest"
            label="Try the newest backup by a drill"
            busy={drilling.isPending}
            why={why ?? (of?.last ? undefined : "There is no backup yet")}
            onAct={() => drilling.mutate({ name, backup: null })}
          />
        </>
      }
    >
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <BackupJobs jobs={own} />
    </Card>
  );
}

/** Acts of backups, the newest first, with a button for those that are under way. */
export function BackupJobs({ jobs, whose = false }: { jobs: BackupJob[]; whose?: boolean }) {
  const may = useMay("operator");
  const cancelling = useAct(cancelBackupJob);
  return (
    <>
      {cancelling.error ? (
        <div className="told">
          <Refused error={cancelling.error} />
        </div>
      ) : null}
      <Table
        label="Acts of backups"
        items={jobs.toReversed()}
        keyOf={({ number }) => number}
        empty="Nothing was done since the agent began."
        columns={[
          { head: "What", cell: ({ kind }) => KINDS[kind] },
          whose
            ? {
                head: "Of",
                cell: ({ application }) => application ?? <span className="quiet">the machine</span>,
              }
            : null,
          { head: "Begun", cell: ({ begun }) => <When at={begun} /> },
          { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
          { head: "State", tone: () => "wrap", cell: (job) => <JobState of={job} /> },
          {
            head: "",
            cell: ({ number, ended, kind }) =>
              ended === null ? (
                <Act
                  words="Stop"
                  label={`Stop the ${KINDS[kind].toLowerCase()}`}
                  busy={cancelling.isPending}
                  why={may}
                  onAct={() => cancelling.mutate(number)}
                />
              ) : ended.generation !== null ? (
                <Link
                  to={`/deployments/${ended.generation}${ended.events === null ? "" : `?from=${ended.events}`}`}
                >
                  Generation {count(ended.generation)}
                </Link>
              ) : null,
          },
        ]}
      />
    </>
  );
}

function JobState({ of: { ended, phase, bytes, all_bytes: all } }: { of: BackupJob }) {
  if (ended !== null)
    return (
      <>
        <Badge tone={ended.ok ? "good" : "bad"}>{ended.ok ? "✓ done" : "✕ failed"}</Badge> {ended.text}
      </>
    );
  return (
    <>
      {phase}{" "}
      <span className="row">
        {all > 0 ? <Share value={Math.min(1, bytes / all)} label="Bytes that are done" /> : null}
        {bytes > 0 || all > 0 ? `${binary(bytes)}${all > 0 ? ` of about ${binary(all)}` : ""}` : null}
      </span>
    </>
  );
}

/** The backups that there are. Where there can be none yet the agent refuses the list, which is no fault: `lacking` says what is left to do. */
function Kept({ name, lacking }: { name: string; lacking: ReactNode }) {
  const backups = useBackupsOf(name);
  const [chosen, setChosen] = useState<Backup | null>(null);
  const may = useMay("operator");
  const { error } = backups;
  if (error instanceof RequestError && LACKS.includes(error.code)) return lacking;
  return (
    <>
      <Card title="Backups" flush>
        <Live of={backups} what="the backups of this application">
          {(all) => (
            <Table
              label="Backups"
              items={all}
              keyOf={({ id }) => id}
              empty="There is no backup of it."
              tall
              columns={[
                { head: "Data of", cell: ({ at }) => <At at={at} /> },
                { head: "Age", cell: ({ at }) => <When at={at} /> },
                { head: "Id", cell: ({ id }) => <code title={id}>{id.slice(0, 12)}</code> },
                { head: "Place", cell: ({ target }) => target },
                { head: "Machine", cell: ({ node }) => node },
                { head: "Generation", number: true, cell: ({ generation }) => count(generation) },
                { head: "Size", number: true, cell: ({ bytes }) => binary(bytes) },
                {
                  head: "Stored",
                  number: true,
                  cell: ({ stored_bytes: stored }) =>
                    stored === null ? <span className="quiet">–</span> : binary(stored),
                },
                {
                  head: "Stood still",
                  number: true,
                  cell: ({ still_ms: ms }) => (ms === null ? <span className="quiet">–</span> : duration(ms)),
                },
                {
                  head: "",
                  cell: (backup) => (
                    <Act
                      words="Restore"
                      label={`Restore the backup ${backup.id.slice(0, 12)}`}
                      busy={false}
                      why={may}
                      onAct={() => setChosen(backup)}
                    />
                  ),
                },
              ]}
            />
          )}
        </Live>
      </Card>
      {chosen ? (
        <Restore key={chosen.id} name={name} backup={chosen} onLeave={() => setChosen(null)} />
      ) : null}
    </>
  );
}

/** Restoring asks which volumes, and whether beside the application; the data that are there stay as a line of their own. */
function Restore({ name, backup, onLeave }: { name: string; backup: Backup; onLeave: () => void }) {
  const all = Object.keys(backup.volumes);
  const [volumes, setVolumes] = useState<readonly string[]>(all);
  const [beside, setBeside] = useState("");
  const restoring = useAct(restoreBackup);
  const wrong = beside !== "" && !NAME.test(beside) ? `A name has ${NAME_WORDS}.` : null;
  const why = volumes.length === 0 ? "Choose at least one volume" : (wrong ?? undefined);
  if (restoring.isSuccess)
    return (
      <Notice tone="good" title="The restore has begun">
        Its progress stands above, and with it the generation that it makes.{" "}
        <button type="button" className="button small" onClick={onLeave}>
          Close
        </button>
      </Notice>
    );
  return (
    <Card title={`Restore ${backup.id.slice(0, 12)}`}>
      <form
        className="stack narrow"
        aria-label="Restore"
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined)
            restoring.mutate({ name, backup: backup.id, volumes: [...volumes], as_name: beside || null });
        }}
      >
        <p className="flat">
          Data of <At at={backup.at} />. The data that are in use now are kept as a line beside, and can be
          chosen again.
        </p>
        <fieldset className="stack plainset">
          <legend className="quiet">Volumes</legend>
          {all.map((volume) => (
            <label key={volume} className="row">
              <input
                type="checkbox"
                checked={volumes.includes(volume)}
                onChange={(event) =>
                  setVolumes(
                    event.target.checked ? [...volumes, volume] : volumes.filter((each) => each !== volume),
                  )
                }
              />
              {volume} <span className="quiet">{binary(backup.volumes[volume] ?? 0)}</span>
            </label>
          ))}
        </fieldset>
        <div className="field">
          <label htmlFor="restore-beside">As a new application, named</label>
          <input
            id="restore-beside"
            className="input mono"
            value={beside}
            placeholder="empty: into this one"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={wrong !== null}
            onChange={(event) => setBeside(event.target.value)}
          />
          {wrong ? (
            <span className="problem" role="alert">
              {wrong}
            </span>
          ) : null}
        </div>
        {restoring.error ? <Refused error={restoring.error} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={restoring.isPending || why !== undefined}
            title={why}
          >
            {beside === "" ? `Restore into ${name}` : `Restore as ${beside}`}
          </button>
          <button type="button" className="button" onClick={onLeave}>
            Back
          </button>
        </p>
      </form>
    </Card>
  );
}
