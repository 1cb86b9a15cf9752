import { useState } from "react";
import type { AccessSession, ApiKey, Member, OwnRole, Role, Untaken } from "../../api/xnode";
import {
  endKey,
  endSession,
  endSessionsOf,
  governed,
  letIn,
  makeKey,
  putOut,
  useKeys,
  useMay,
  useMe,
  useMembers,
  useOwnRoles,
  useSessions,
} from "../../api/xnodeAccess";
import { useAct } from "../../api/xnodeQueries";
import { Badge, Card, Copy, Empty, Notice } from "../../design";
import { Table } from "../../design/Table";
import { count, duration, shortAddress } from "../../lib/format";
import { onlyFor, roleChoices, roleWords, type RoleChoice } from "../../lib/ownRoles";
import { Act, By, Live, Refused, Sure } from "../apps/parts";
import { When } from "../parts";
import { OwnRoles } from "./OwnRoles";

const ROLE_WORDS: Record<Role, string> = {
  viewer: "looks at everything that is no secret",
  operator: "runs applications: deploys, stops, looks inside, backs up",
  admin: "removes, holds secrets, lets operators and viewers in",
  owner: "does everything, and names other owners",
};

export function Access() {
  const members = useMembers();
  const sessions = useSessions();
  const mayKeys = useMay("admin");
  const keys = useKeys(mayKeys === undefined);
  return (
    <>
      <Card title="Members" flush>
        <Live of={members} what="members">
          {(all) => <Members all={all} />}
        </Live>
      </Card>
      <LetIn />
      <OwnRoles />
      <Card title="Sessions" flush>
        <Live of={sessions} what="sessions">
          {(all) => <Sessions all={all} />}
        </Live>
      </Card>
      <Card title="API keys" flush>
        {mayKeys === undefined ? (
          <Live of={keys} what="keys">
            {(all) => <Keys all={all} />}
          </Live>
        ) : (
          <Empty>{mayKeys}.</Empty>
        )}
      </Card>
      {mayKeys === undefined ? <NewKey /> : null}
    </>
  );
}

/** Roles of one's own, as far as whoever asks sees them. */
function useOwn(): readonly OwnRole[] {
  const isSeen = useMay("admin") === undefined;
  return useOwnRoles(isSeen).data ?? [];
}

function Told({ errors }: { errors: (Error | null)[] }) {
  const error = errors.find((each) => each !== null);
  return error ? (
    <div className="told">
      <Refused error={error} />
    </div>
  ) : null;
}

/** Says where a change of members does not count for applications yet. */
function AtTheDoor({ answers }: { answers: (Untaken | undefined)[] }) {
  const cause = answers.find((each) => each?.cause !== undefined)?.cause;
  return cause === undefined ? null : (
    <div className="told">
      <Notice tone="warn" title="The door has not taken this change yet">
        <span className="long">
          It lets people in to applications as before, and is told again each second: {cause}
        </span>
      </Notice>
    </div>
  );
}

const nameOf = ({ name, wallet }: Member) => name ?? wallet;

function Members({ all }: { all: Member[] }) {
  const { data: me } = useMe();
  const roles = governed(me?.role);
  const own = useOwn();
  const changing = useAct(letIn);
  const removing = useAct(putOut);
  const ending = useAct(endSessionsOf);
  const reason = (member: Member) =>
    roles.includes(member.role) ? undefined : `Your role does not govern the role ${member.role}`;
  return (
    <>
      <Told errors={[changing.error, removing.error, ending.error]} />
      <AtTheDoor answers={[changing.data, removing.data]} />
      <Table
        label="Members"
        items={all}
        keyOf={({ wallet }) => wallet}
        empty="Nobody is let in but root on the machine."
        columns={[
          {
            head: "Member",
            cell: ({ name, wallet }) => (
              <>
                {name} <code title={wallet}>{shortAddress(wallet)}</code>
                <Copy text={wallet} label={`wallet ${wallet}`} />
              </>
            ),
          },
          {
            head: "Role",
            cell: (member) => (
              <RoleSelect
                member={member}
                choices={roleChoices(roles.includes(member.role) ? roles : [], own, member)}
                why={reason(member)}
                busy={changing.isPending}
                onRole={(choice) =>
                  changing.mutate({
                    wallet: member.wallet,
                    role: choice.role,
                    only: onlyFor(choice, member),
                    name: null,
                  })
                }
              />
            ),
          },
          { head: "Since", cell: ({ since }) => <When at={since} /> },
          { head: "By", tone: () => "wrap slim", cell: ({ by }) => <By who={by} /> },
          { head: "Sessions", number: true, cell: ({ sessions }) => count(sessions) },
          {
            head: "",
            cell: (member) => (
              <span className="row">
                <Act
                  words="End sessions"
                  label={`End all sessions of ${nameOf(member)}`}
                  busy={ending.isPending}
                  why={
                    member.sessions === 0
                      ? "There is none"
                      : member.wallet.toLowerCase() === me?.who.toLowerCase()
                        ? undefined
                        : reason(member)
                  }
                  onAct={() => ending.mutate(member.wallet)}
                />
                <Sure
                  words="Remove"
                  label={`Remove ${nameOf(member)}`}
                  asked="Its sessions end at once."
                  busy={removing.isPending}
                  why={reason(member)}
                  onAct={() => removing.mutate(member.wallet)}
                />
              </span>
            ),
          },
        ]}
      />
    </>
  );
}

function RoleSelect({
  member,
  choices,
  why,
  busy,
  onRole,
}: {
  member: Member;
  choices: readonly RoleChoice[];
  why: string | undefined;
  busy: boolean;
  onRole: (choice: RoleChoice) => void;
}) {
  const [present] = roleChoices([], [], member);
  return (
    <select
      className="input small"
      aria-label={`Role of ${nameOf(member)}`}
      value={present?.value ?? member.role}
      title={why ?? ROLE_WORDS[member.role]}
      disabled={busy || why !== undefined}
      onChange={(event) => {
        const choice = choices.find(({ value }) => value === event.target.value);
        if (choice) onRole(choice);
      }}
    >
      {choices.map(({ value, role, only }) => (
        <option key={value} value={value}>
          {roleWords(role, only)}
        </option>
      ))}
    </select>
  );
}

function LetIn() {
  const { data: me } = useMe();
  const { data: members } = useMembers();
  const roles = governed(me?.role);
  const [wallet, setWallet] = useState("");
  const [name, setName] = useState("");
  const [value, setValue] = useState("viewer");
  const letting = useAct(letIn);
  const choices = roleChoices(roles.length > 0 ? roles : ["viewer"], useOwn());
  const chosen = choices.find((each) => each.value === value) ?? choices[0];
  const isWallet = /^0x[0-9a-fA-F]{40}$/.test(wallet.trim());
  const why =
    roles.length === 0
      ? "Owners and admins let others in"
      : isWallet
        ? undefined
        : "An address of a wallet is needed: 0x and 40 hexadecimal digits";
  return (
    <Card title="Let somebody in">
      <form
        className="stack narrow"
        aria-label="Let somebody in"
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined || !chosen) return;
          const now = members?.find((each) => each.wallet.toLowerCase() === wallet.trim().toLowerCase());
          letting.mutate(
            {
              wallet: wallet.trim(),
              role: chosen.role,
              only: onlyFor(chosen, now),
              name: name.trim() || null,
            },
            {
              onSuccess: () => {
                setWallet("");
                setName("");
              },
            },
          );
        }}
      >
        <label className="field">
          <span>Wallet</span>
          <input
            className="input mono"
            value={wallet}
            placeholder="0x…"
            autoComplete="off"
            spellCheck={false}
            aria-invalid={wallet.trim() !== "" && !isWallet}
            onChange={(event) => setWallet(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Name, for people</span>
          <input
            className="input"
            value={name}
            autoComplete="off"
            maxLength={64}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Role</span>
          <select className="input" value={chosen?.value} onChange={(event) => setValue(event.target.value)}>
            {choices.map(({ value: each, role, only }) => (
              <option key={each} value={each}>
                {only === null ? `${role}: ${ROLE_WORDS[role]}` : roleWords(role, only)}
              </option>
            ))}
          </select>
        </label>
        {letting.error ? <Refused error={letting.error} /> : null}
        <AtTheDoor answers={[letting.data]} />
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={letting.isPending || why !== undefined}
            title={why}
          >
            Let in
          </button>
        </p>
      </form>
    </Card>
  );
}

function Sessions({ all }: { all: AccessSession[] }) {
  const ending = useAct(endSession);
  return (
    <>
      <Told errors={[ending.error]} />
      <Table
        label="Sessions"
        items={all}
        keyOf={({ id }) => id}
        empty="Nobody is signed in with a wallet."
        columns={[
          {
            head: "Wallet",
            cell: ({ wallet, current }) => (
              <>
                <code title={wallet}>{`${wallet.slice(0, 6)}…${wallet.slice(-4)}`}</code>{" "}
                {current ? <Badge tone="good">this one</Badge> : null}
              </>
            ),
          },
          { head: "Role", cell: ({ role }) => role },
          { head: "From", tone: () => "wrap", cell: ({ from }) => from },
          { head: "Signed in", cell: ({ made }) => <When at={made} /> },
          { head: "Used", cell: ({ used }) => <When at={used} /> },
          { head: "Ends in", cell: ({ left_ms: ms }) => duration(ms) },
          { head: "Open", number: true, cell: ({ open }) => count(open) },
          {
            head: "",
            cell: ({ id, current }) => (
              <Act
                words="End"
                label={current ? "End this session" : `End session ${id}`}
                busy={ending.isPending}
                why={undefined}
                onAct={() => ending.mutate(id)}
              />
            ),
          },
        ]}
      />
    </>
  );
}

function Keys({ all }: { all: ApiKey[] }) {
  const ending = useAct(endKey);
  return (
    <>
      <Told errors={[ending.error]} />
      <Table
        label="API keys"
        items={all}
        keyOf={({ id }) => id}
        empty="There is none. Programs sign in with one."
        columns={[
          { head: "Name", cell: ({ name }) => name },
          { head: "Role", cell: ({ role, only }) => roleWords(role, only) },
          { head: "Made", cell: ({ made }) => <When at={made} /> },
          {
            head: "Ends in",
            cell: ({ left_ms: ms }) =>
              ms === null ? (
                <span className="quiet">no end</span>
              ) : ms === 0 ? (
                <Badge tone="warn">over</Badge>
              ) : (
                duration(ms)
              ),
          },
          {
            head: "Used",
            cell: ({ used }) => (used === null ? <span className="quiet">never</span> : <When at={used} />),
          },
          {
            head: "",
            cell: ({ id, name }) => (
              <Sure
                words="Revoke"
                label={`Revoke the key ${name}`}
                asked="Programs that have it are refused at once."
                busy={ending.isPending}
                why={undefined}
                onAct={() => ending.mutate(id)}
              />
            ),
          },
        ]}
      />
    </>
  );
}

const DAY_MS = 86_400_000;
const LIVES = [
  { words: "30 days", ms: 30 * DAY_MS },
  { words: "a year", ms: 365 * DAY_MS },
  { words: "no end", ms: null },
] as const;

function NewKey() {
  const { data: me } = useMe();
  const [name, setName] = useState("");
  const [value, setValue] = useState("viewer");
  const [life, setLife] = useState("0");
  const making = useAct(makeKey);
  const roles: Role[] = (["viewer", "operator", "admin", "owner"] as const).slice(
    0,
    me ? ["viewer", "operator", "admin", "owner"].indexOf(me.role) + 1 : 4,
  );
  const choices = roleChoices(roles, useOwn());
  const chosen = choices.find((each) => each.value === value) ?? choices[0];
  const why = name.trim() === "" ? "It needs a name" : undefined;
  return (
    <Card title="Make an API key">
      <form
        className="stack narrow"
        aria-label="Make an API key"
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined || !chosen) return;
          const { role, only } = chosen;
          making.mutate({
            name: name.trim(),
            role,
            ...(only === null ? {} : { only }),
            lasts_ms: LIVES[Number(life)]?.ms ?? null,
          });
        }}
      >
        <label className="field">
          <span>Name</span>
          <input
            className="input"
            value={name}
            autoComplete="off"
            maxLength={64}
            onChange={(event) => setName(event.target.value)}
          />
        </label>
        <label className="field">
          <span>Role</span>
          <select className="input" value={chosen?.value} onChange={(event) => setValue(event.target.value)}>
            {choices.map(({ value: each, role, only }) => (
              <option key={each} value={each}>
                {roleWords(role, only)}
              </option>
            ))}
          </select>
        </label>
        <label className="field">
          <span>It lasts</span>
          <select className="input" value={life} onChange={(event) => setLife(event.target.value)}>
            {LIVES.map(({ words }, at) => (
              <option key={words} value={at}>
                {words}
              </option>
            ))}
          </select>
        </label>
        {making.error ? <Refused error={making.error} /> : null}
        {making.data ? (
          <Notice tone="good" title="The key is told this once">
            <span className="command">
              <code>{making.data.key}</code>
              <Copy text={making.data.key} label="the key" />
            </span>
          </Notice>
        ) : null}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={making.isPending || why !== undefined}
            title={why}
          >
            Make the key
          </button>
        </p>
      </form>
    </Card>
  );
}
