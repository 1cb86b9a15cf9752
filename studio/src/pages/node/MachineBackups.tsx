import { useState } from "react";
import { Link } from "react-router";
import type { BackedApplication, BackupKeys, BackupRoom, BackupState, BackupTarget } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { setOwnerKey, useAct, useBackups } from "../../api/xnodeQueries";
import { Badge, Card, Copy, Notice, Share } from "../../design";
import { Table } from "../../design/Table";
import { binary } from "../../lib/quantity";
import { BACKUP_STATES, BackupJobs } from "../apps/Backups";
import { Command, Live, Refused } from "../apps/parts";
import { At, When } from "../parts";

/** Backups of the machine as a whole: whose key reads them, where they lie, and how they stand. */
export function MachineBackups() {
  const overview = useBackups();
  return (
    <Live of={overview} what="backups">
      {({ keys, targets, applications, jobs }) => (
        <>
          <OwnerKey keys={keys} />
          <KeysForLenders keys={keys} />
          <Card title="Places" flush>
            <Places all={targets} />
            <p className="quiet pad flat">
              They are named by <code>machine</code> in <Link to="/deploy?whole=1">the whole document</Link>.
            </p>
          </Card>
          <Card title="Applications" flush>
            <Backed all={applications} />
          </Card>
          <Card title="Now and lately" flush>
            <BackupJobs jobs={jobs} whose />
          </Card>
        </>
      )}
    </Live>
  );
}

/** Keys that whoever lends room to this machine has to know. */
function KeysForLenders({ keys: { guest = "", reading = null } }: { keys: BackupKeys }) {
  if (guest === "") return null;
  return (
    <Card title="Keys for whoever lends room">
      <div className="stack">
        <p className="flat">
          Another Xnode lends room for backups to this machine&apos;s key, under its Node,{" "}
          <Link to="/node/lending">Room for others</Link>:
        </p>
        <p className="flat">
          <code className="long">{guest}</code> <Copy text={guest} label="this machine's key as a guest" />
        </p>
        {reading === null ? (
          <>
            <p className="quiet flat">
              With the owner&apos;s reading key in the loan too, everything comes back onto any machine by the
              owner&apos;s key alone. It is not known here; this prints it where the owner&apos;s key is:
            </p>
            <Command text="openmesh xnode backup-key reading --identity ~/owner.key" />
          </>
        ) : (
          <>
            <p className="flat">
              and to the owner&apos;s reading key, by which everything comes back onto any machine with the
              owner&apos;s key alone:
            </p>
            <p className="flat">
              <code className="long">{reading}</code> <Copy text={reading} label="the owner's reading key" />
            </p>
          </>
        )}
      </div>
    </Card>
  );
}

function OwnerKey({ keys }: { keys: BackupKeys }) {
  const [written, setWritten] = useState("");
  const [reading, setReading] = useState("");
  const [isSure, setSure] = useState(false);
  const may = useMay("owner");
  const setting = useAct(setOwnerKey);
  const isKey = /^age1[02-9ac-hj-np-z]{58}$/.test(written.trim());
  const isReading = /^([0-9a-f]{64})?$/.test(reading.trim());
  // The key that is set may be told again, with the reading key beside it.
  const replaces = keys.owner !== null && keys.owner !== written.trim();
  const why =
    may ??
    (!isKey
      ? "The public half of an age key is needed: age1 and 58 letters and digits"
      : !isReading
        ? "A reading key has 64 hexadecimal digits in lower case"
        : replaces && !isSure
          ? "Agree first that the key is replaced"
          : undefined);
  return (
    <Card title="The owner's key">
      <form
        className="stack"
        aria-label="The owner's key"
        onSubmit={(event) => {
          event.preventDefault();
          if (why === undefined)
            setting.mutate(
              { key: written, reading, replace: replaces },
              {
                onSuccess: () => {
                  setWritten("");
                  setReading("");
                },
              },
            );
        }}
      >
        {keys.owner === null ? (
          <Notice tone="warn" title="Nobody but this machine can read its backups">
            Make a key away from it, keep the secret half safe, and set the public one here: then everything
            can be restored from nothing but that key.
          </Notice>
        ) : (
          <p className="flat">
            Backups are readable by <code className="long">{keys.owner}</code>{" "}
            <Copy text={keys.owner} label="the owner's key" />
          </p>
        )}
        {keys.owner === null ? null : (
          <p className="quiet flat">
            Another one takes its place so: make it away from this machine, keep the secret half safe, and set
            the public one here.
          </p>
        )}
        <Command text="openmesh xnode backup-key make ~/owner.key" />
        <label className="field">
          <span>Public half</span>
          <input
            className="input mono"
            value={written}
            placeholder="age1…"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={written.trim() !== "" && !isKey}
            onChange={(event) => setWritten(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Reading key, for Xnodes that lend room (may be left out)</span>
          <input
            className="input mono"
            value={reading}
            autoComplete="off"
            spellCheck={false}
            aria-invalid={!isReading}
            onChange={(event) => setReading(event.target.value)}
          />
        </label>
        {keys.owner === null ? null : (
          <label className="row">
            <input type="checkbox" checked={isSure} onChange={(event) => setSure(event.target.checked)} />
            New backups are for this key alone
          </label>
        )}
        {setting.error ? <Refused error={setting.error} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={setting.isPending || why !== undefined}
            title={why}
          >
            Set the key
          </button>
        </p>
      </form>
    </Card>
  );
}

function StateOf({ state, cause }: { state: BackupState; cause: string | null }) {
  return (
    <>
      <Badge tone={BACKUP_STATES[state].tone} title={BACKUP_STATES[state].words}>
        {state}
      </Badge>
      {cause === null ? null : <span className="below wrong">{cause}</span>}
    </>
  );
}

function Places({ all }: { all: BackupTarget[] }) {
  return (
    <Table
      label="Places for backups"
      items={all}
      keyOf={({ name }) => name}
      empty="The document names no place: machine, backups, a name, and a peer, a bucket or a folder."
      columns={[
        { head: "Name", cell: ({ name }) => name },
        { head: "Place", tone: () => "wrap", cell: ({ place }) => <span className="long">{place}</span> },
        {
          head: "State",
          tone: () => "wrap",
          cell: ({ state, cause }) => <StateOf state={state} cause={cause} />,
        },
        {
          head: "Repository",
          cell: ({ repository }) =>
            repository === null ? (
              <span className="quiet">before the first backup</span>
            ) : (
              <>
                <code title={repository}>{repository.slice(0, 12)}</code>
                <Copy text={repository} label="the repository's id" />
              </>
            ),
        },
        {
          head: "Room",
          tone: () => "wrap",
          cell: ({ name, room }) =>
            room ? <RoomLeft room={room} of={name} /> : <span className="quiet">–</span>,
        },
        { head: "Checked", cell: ({ tended }) => <When at={tended} /> },
      ]}
    />
  );
}

/** Room that another Xnode grants, as it was said with the last backup. */
function RoomLeft({
  room: { all_bytes: all, used_bytes: used, until },
  of,
}: {
  room: BackupRoom;
  of: string;
}) {
  return (
    <>
      <Share value={all === 0 ? 1 : Math.min(1, used / all)} label={`Room of ${of} that is used`} />
      <span className="below quiet">
        {binary(used)} of {binary(all)}
        {until === null ? null : (
          <>
            , until <At at={until} />
          </>
        )}
      </span>
    </>
  );
}

function Backed({ all }: { all: BackedApplication[] }) {
  return (
    <Table
      label="Backups by application"
      items={all}
      keyOf={({ name }) => name}
      empty="No application has backups."
      columns={[
        { head: "Application", cell: ({ name }) => <Link to={`/apps/${name}/backups`}>{name}</Link> },
        { head: "Place", cell: ({ target }) => target ?? <span className="quiet">none</span> },
        {
          head: "State",
          tone: () => "wrap",
          cell: ({ state, cause }) => <StateOf state={state} cause={cause} />,
        },
        { head: "Last", cell: ({ last }) => <When at={last?.at} /> },
        { head: "Next", cell: ({ next }) => <At at={next} /> },
        {
          head: "Last drill",
          cell: ({ drill }) =>
            drill === null ? (
              <span className="quiet">none</span>
            ) : (
              <>
                <Badge tone={drill.fault === null ? "good" : "bad"}>
                  {drill.fault === null ? "✓ proved" : "✕ fault"}
                </Badge>{" "}
                <When at={drill.at} />
              </>
            ),
        },
      ]}
    />
  );
}
