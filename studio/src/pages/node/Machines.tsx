import { useId, useState } from "react";
import type { Invitation, JoinInfo, MachineList, MadeInvitation } from "../../api/xnode";
import { useMay, useMe } from "../../api/xnodeAccess";
import {
  invite,
  leaveHost,
  removeMachine,
  revokeInvitation,
  useAct,
  useInvitations,
  useJoin,
  useMachines,
} from "../../api/xnodeQueries";
import { Badge, Card, Empty, FieldNotes, Notice, Share } from "../../design";
import { Table } from "../../design/Table";
import { count, duration } from "../../lib/format";
import {
  clockWords,
  LIVES,
  machineState,
  readInvitation,
  rowsOf,
  shareOf,
  USUAL_LIFE_MS,
  type MachineRow,
} from "../../lib/machines";
import { binary } from "../../lib/quantity";
import { By, Command, Live, Refused, StateBadge, Sure } from "../apps/parts";
import { When } from "../parts";
import { loadInWords } from "./Machine";

/** The machines of an owner: this one, those that have joined it by an invitation, and the one that it has joined itself. */
export function Machines() {
  const machines = useMachines();
  const { data: me } = useMe();
  return (
    <>
      <Host />
      <Card title="Machines" flush>
        <Live of={machines} what="machines">
          {(list) => <List list={list} />}
        </Live>
      </Card>
      <Invite />
      {me?.role === "owner" ? <Invitations /> : null}
    </>
  );
}

/** The Xnode that this machine has joined; nothing where it has joined none. */
function Host() {
  const { data: info } = useJoin();
  return info === undefined || info.state === "alone" ? null : <Joined info={info} />;
}

function Joined({ info }: { info: JoinInfo }) {
  const owner = useMay("owner");
  const leaving = useAct(leaveHost);
  const host = info.node ?? info.at ?? "another Xnode";
  const wrong = clockWords(info.clock_ms);
  const title =
    info.state === "joined"
      ? `This machine has joined ${host}`
      : info.state === "removed"
        ? `${host} has removed this machine from its list`
        : `This machine has asked ${host}, and is not in: give it the line once more`;
  return (
    <>
      <Notice
        tone={info.state === "joined" && info.trouble === null && wrong === null ? "plain" : "warn"}
        title={title}
        ticking={
          info.told === null ? null : (
            <>
              Its last report was heard <When at={info.told} />
            </>
          )
        }
      >
        {[info.at, info.trouble, wrong].filter((words) => words !== null).join("; ")}
      </Notice>
      {leaving.error ? <Refused error={leaving.error} /> : null}
      <Sure
        words={info.state === "joined" ? "Leave" : "Forget it"}
        label={`Leave ${host}`}
        asked="It reports nothing more there. Nothing that runs here stops, and its owner stays."
        busy={leaving.isPending}
        why={owner}
        onAct={() => leaving.mutate()}
      />
    </>
  );
}

function List({ list }: { list: MachineList }) {
  const owner = useMay("owner");
  const removing = useAct(removeMachine);
  return (
    <>
      {removing.error ? (
        <div className="told">
          <Refused error={removing.error} />
        </div>
      ) : null}
      <Table
        label="Machines"
        items={rowsOf(list.own, list.machines)}
        keyOf={({ id }) => id ?? ""}
        empty=""
        columns={[
          { head: "Machine", tone: () => "wrap", cell: (row) => <About row={row} /> },
          { head: "State", tone: () => "wrap", cell: (row) => <Standing row={row} /> },
          { head: "Applications", tone: () => "wrap", cell: (row) => <Applications row={row} /> },
          {
            head: "Memory",
            cell: ({ report: of }) => (
              <Used of="Memory" used={of?.memory_used_bytes} all={of?.memory_bytes} />
            ),
          },
          {
            head: "Disk",
            cell: ({ report: of }) => <Used of="Disk" used={of?.disk_used_bytes} all={of?.disk_bytes} />,
          },
          { head: "Load", cell: ({ report }) => <Load report={report} /> },
          {
            head: "",
            cell: ({ id, name }) =>
              id === null ? null : (
                <Sure
                  words="Remove"
                  label={`Remove ${name} from the list`}
                  asked="Its reports are refused. It stays its owner's, and nothing that runs there stops."
                  busy={removing.isPending}
                  why={owner}
                  onAct={() => removing.mutate(id)}
                />
              ),
          },
        ]}
      />
    </>
  );
}

function About({ row: { name, report, machine } }: { row: MachineRow }) {
  return (
    <>
      <strong>{name}</strong> {machine === null ? <Badge>this machine</Badge> : null}
      {report?.url && machine !== null ? (
        <a
          className="below"
          href={report.url}
          target="_blank"
          rel="noreferrer"
          aria-label={`Open Studio of ${name} in a new tab`}
        >
          its Studio
        </a>
      ) : null}
      {machine === null ? null : (
        <span className="below quiet">
          of <By who={machine.owner} />, joined <When at={machine.joined} />
        </span>
      )}
      {report ? <span className="below quiet">version {report.version}</span> : null}
    </>
  );
}

function Standing({ row: { state, report, machine } }: { row: MachineRow }) {
  const { tone, words, title } = machineState(state);
  const clock = clockWords(machine?.clock_ms ?? null);
  const alerts = report
    ? [
        report.critical > 0 ? `${count(report.critical)} critical` : "",
        report.warnings > 0 ? `${count(report.warnings)} to look at` : "",
      ].filter(Boolean)
    : [];
  return (
    <>
      <Badge tone={tone} title={title}>
        {words}
      </Badge>
      {machine?.heard ? (
        <span className="below quiet">
          heard <When at={machine.heard} /> from {machine.from}
        </span>
      ) : null}
      {alerts.length > 0 ? <span className="below wrong">{alerts.join(", ")}</span> : null}
      {clock === null ? null : <span className="below wrong">{clock}</span>}
    </>
  );
}

function Applications({ row: { report } }: { row: MachineRow }) {
  if (report === null) return <span className="quiet">not known</span>;
  return (
    <>
      {count(report.running)} of {count(report.applications)} run
      {report.troubled.map(({ name, state }) => (
        <span key={name} className="below">
          {name} <StateBadge state={state} />
        </span>
      ))}
    </>
  );
}

function Used({
  of,
  used = 0,
  all = 0,
}: {
  of: string;
  used?: number | undefined;
  all?: number | undefined;
}) {
  const share = shareOf(used, all);
  if (share === null) return <span className="quiet">not known</span>;
  return (
    <>
      <Share value={share} label={`${of} that is used`} />
      <span className="below quiet">
        {binary(used)} of {binary(all)}
      </span>
    </>
  );
}

function Load({ report }: { report: MachineRow["report"] }) {
  if (report === null || report.processors === 0) return <span className="quiet">not known</span>;
  return (
    <>
      {loadInWords(report.load_milli)}
      <span className="below quiet">
        {count(report.processors)} {report.processors === 1 ? "processor" : "processors"}
      </span>
    </>
  );
}

/** The form of an invitation, and its line as long as this page is open: it is told once. */
function Invite() {
  const id = useId();
  const [lasts, setLasts] = useState(USUAL_LIFE_MS);
  const [at, setAt] = useState("");
  const [made, setMade] = useState<MadeInvitation | null>(null);
  const owner = useMay("owner");
  const inviting = useAct(invite);
  const read = readInvitation(lasts, at);
  const wrong = "wrong" in read ? read.wrong : undefined;
  const why = owner ?? wrong?.replaceAll("`", "");
  return (
    <Card title="Invite a machine">
      <form
        className="stack narrow"
        aria-label="Invite a machine"
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined || "wrong" in read) return;
          setMade(null);
          inviting.mutate(read.wish, { onSuccess: setMade });
        }}
      >
        <p className="quiet flat">
          One line, pasted on the other machine, makes it an Xnode of yours that is listed here. Install this
          program there first.
        </p>
        <label className="field">
          <span>Good for</span>
          <select className="input" value={lasts} onChange={(event) => setLasts(Number(event.target.value))}>
            {LIVES.map(({ ms, words }) => (
              <option key={ms} value={ms}>
                {words}
              </option>
            ))}
          </select>
        </label>
        <div className="field">
          <label htmlFor={`${id}-at`}>Address of this Xnode, as the other machine reaches it</label>
          <input
            id={`${id}-at`}
            className="input mono"
            value={at}
            placeholder="https://xnode.lan"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={wrong !== undefined}
            aria-describedby={`${id}-at-help ${id}-at-wrong`}
            onChange={(event) => setAt(event.target.value)}
          />
          <FieldNotes
            id={`${id}-at`}
            help="Without it the name under which this page is open, or this machine's first one. No DNS has to know it."
            wrong={wrong}
          />
        </div>
        {inviting.error ? <Refused error={inviting.error} /> : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={inviting.isPending || why !== undefined}
            title={why}
          >
            Make the line
          </button>
        </p>
      </form>
      {made === null ? null : <Made made={made} onDone={() => setMade(null)} />}
    </Card>
  );
}

function Made({ made, onDone }: { made: MadeInvitation; onDone: () => void }) {
  return (
    <div className="stack">
      <Notice tone={made.remark === null ? "good" : "warn"} title="Paste this on the other machine">
        It is shown once, and good for one machine and for {duration(made.entry.left_ms)}. Whoever has it can
        make a machine yours, and nothing else.
        {made.remark === null ? null : <span className="below">{made.remark}</span>}
      </Notice>
      <Command text={made.command} />
      <p className="row flat">
        <button type="button" className="button" onClick={onDone}>
          I have pasted it
        </button>
      </p>
    </div>
  );
}

const INVITATION_WORDS: Record<Invitation["state"], string> = {
  open: "open",
  used: "used",
  expired: "expired",
  revoked: "taken back",
};

function Invitations() {
  const invitations = useInvitations(true);
  return (
    <Card title="Invitations" flush>
      <Live of={invitations} what="invitations">
        {(all) => (all.length === 0 ? <Empty>No machine was invited yet.</Empty> : <Invited all={all} />)}
      </Live>
    </Card>
  );
}

function Invited({ all }: { all: Invitation[] }) {
  const revoking = useAct(revokeInvitation);
  return (
    <>
      {revoking.error ? (
        <div className="told">
          <Refused error={revoking.error} />
        </div>
      ) : null}
      <Table
        label="Invitations"
        items={all}
        keyOf={({ id }) => id}
        empty=""
        tall
        columns={[
          {
            head: "State",
            cell: ({ state, left_ms: left }) => (
              <Badge tone={state === "open" ? "good" : "plain"}>
                {state === "open" ? `open for ${duration(left)}` : INVITATION_WORDS[state]}
              </Badge>
            ),
          },
          { head: "Machine", cell: ({ machine }) => machine ?? <span className="quiet">none</span> },
          { head: "Owner", cell: ({ owner }) => <By who={owner} /> },
          { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
          { head: "Made", cell: ({ made }) => <When at={made} /> },
          {
            head: "",
            cell: ({ id, state }) => (
              <Sure
                words="Take back"
                label={`Take the invitation ${id} back`}
                asked="Nobody joins by it any more."
                busy={revoking.isPending}
                why={state === "open" ? undefined : "It is open no more"}
                onAct={() => revoking.mutate(id)}
              />
            ),
          },
        ]}
      />
    </>
  );
}
