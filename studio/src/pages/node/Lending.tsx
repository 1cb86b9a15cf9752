import { useEffect, useId, useRef, useState, type ReactNode } from "react";
import type { Lending as LendingInfo, Loan } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { bringBack, endLoan, forgetLoan, giveLoan, useAct, useLoans } from "../../api/xnodeQueries";
import { Badge, Card, Copy, FieldNotes, Notice, Share } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import {
  formOf,
  guestPlace,
  lenderState,
  loansOf,
  NEW_LOAN,
  readLoan,
  roomOf,
  STANDING_WORDS,
  standingOf,
  type LoanFaults,
  type LoanForm,
} from "../../lib/lending";
import { binary } from "../../lib/quantity";
import { useFilters } from "../../lib/urlState";
import { Act, By, Command, Live, Refused, Sure } from "../apps/parts";
import { At, Choice, When } from "../parts";

/** Digits of a key that a list shows: enough to tell machines apart. */
const KEY_DIGITS = 12;
/** Days that are brought back where nobody names others. */
const BACK_DAYS = "3";
const BACK_DAYS_MAX = 366;
const STATE_WORDS = { good: "runs", warn: "runs", bad: "trouble", plain: "rests" } as const;

/** Room that this machine lends to the backups of others: who has how much of it, and the process that keeps it. */
export function Lending() {
  const lending = useLoans();
  return (
    <Live of={lending} what="loans">
      {(info) => <Room info={info} />}
    </Live>
  );
}

function Room({ info }: { info: LendingInfo }) {
  const [chosen, setChosen] = useState<string | null>(null);
  const loan = info.loans.find(({ name }) => name === chosen) ?? null;
  return (
    <>
      <Lender info={info} />
      <Loans all={info.loans} onChange={setChosen} />
      <Give
        key={loan?.name ?? ""}
        loan={loan}
        taken={info.loans.map(({ name }) => name)}
        onDone={() => setChosen(null)}
      />
    </>
  );
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div className="fact">
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

function Lender({ info }: { info: LendingInfo }) {
  const state = lenderState(info);
  return (
    <Card title="The lender">
      <div className="stack">
        {info.troubles.map((trouble) => (
          <Notice key={trouble} tone="bad" title="The lender has a trouble">
            {trouble}
          </Notice>
        ))}
        <dl className="facts" aria-label="Facts of the lender">
          <Fact name="State">
            <Badge tone={state.tone}>{STATE_WORDS[state.tone]}</Badge> {state.words}
          </Fact>
          <Fact name="Key">
            <code className="long">{info.key}</code> <Copy text={info.key} label="the lender's key" />
          </Fact>
          {info.listens.length === 0 ? null : <Fact name="Listens at">{info.listens.join(", ")}</Fact>}
          {info.disk_free_bytes === null ? null : (
            <Fact name="Free disk">{binary(info.disk_free_bytes)}</Fact>
          )}
        </dl>
        <p className="quiet flat">
          A guest writes this below <code>machine</code>, <code>backups</code> of its document:
        </p>
        <Command text={guestPlace(info, location.hostname)} />
      </div>
    </Card>
  );
}

function Loans({ all, onChange }: { all: Loan[]; onChange: (name: string) => void }) {
  const [read, write] = useFilters();
  const filter = { text: read("text"), standing: read("standing") };
  const admin = useMay("admin");
  const owner = useMay("owner");
  const ending = useAct(endLoan);
  const bringing = useAct(bringBack);
  const forgetting = useAct(forgetLoan);
  const error = ending.error ?? bringing.error ?? forgetting.error;
  const busy = ending.isPending || bringing.isPending || forgetting.isPending;
  return (
    <Card title="Loans" flush>
      <div className="filters">
        <label className="field grow">
          <span>Search</span>
          <input
            className="input"
            type="search"
            value={filter.text}
            onChange={(event) => write({ text: event.target.value })}
          />
        </label>
        <Choice
          name="Standing"
          value={filter.standing}
          options={STANDING_WORDS}
          onChange={(standing) => write({ standing })}
        />
      </div>
      {error ? (
        <div className="told">
          <Refused error={error} />
        </div>
      ) : null}
      <Table
        label="Loans"
        items={loansOf(all, filter)}
        keyOf={({ name }) => name}
        empty={
          all.length === 0 ? "Nothing is lent. Room is lent to a key, below." : "No loan fits these filters."
        }
        columns={[
          { head: "Loan", tone: () => "wrap", cell: (loan) => <About loan={loan} /> },
          { head: "Standing", tone: () => "wrap", cell: (loan) => <Standing loan={loan} /> },
          { head: "Room", tone: () => "wrap", cell: (loan) => <Used loan={loan} /> },
          { head: "Withheld for", cell: ({ held_days: days }) => `${count(days)} days` },
          {
            head: "Until",
            cell: ({ until }) => (until === null ? <span className="quiet">no end</span> : <At at={until} />),
          },
          { head: "Seen", cell: ({ seen }) => <When at={seen} /> },
          {
            head: "",
            cell: (loan) => (
              <Acts
                loan={loan}
                busy={busy}
                admin={admin}
                owner={owner}
                onChange={() => onChange(loan.name)}
                onEnd={() => ending.mutate(loan.name)}
                onBack={(days) => bringing.mutate({ name: loan.name, days })}
                onForget={() => forgetting.mutate(loan.name)}
              />
            ),
          },
        ]}
      />
    </Card>
  );
}

function About({ loan: { name, keys, readers = [], by, at } }: { loan: Loan }) {
  const line = (words: string, key: string) => (
    <span key={key} className="below quiet">
      {words} <code title={key}>{key.slice(0, KEY_DIGITS)}…</code>
      <Copy text={key} label={`${words} ${key.slice(0, KEY_DIGITS)} of ${name}`} />
    </span>
  );
  return (
    <>
      {name}
      {keys.map((key) => line("key", key))}
      {readers.map((key) => line("read by", key))}
      <span className="below quiet">
        given by <By who={by} />, <When at={at} />
      </span>
    </>
  );
}

function Standing({ loan }: { loan: Loan }) {
  const { tone, words, title } = standingOf(loan.standing);
  return (
    <>
      <Badge tone={tone} title={title}>
        {words}
      </Badge>
      {loan.brings_back ? <span className="below">what was removed comes back</span> : null}
      {loan.trouble === null ? null : <span className="below wrong">{loan.trouble}</span>}
    </>
  );
}

function Used({ loan }: { loan: Loan }) {
  const { share, words } = roomOf(loan);
  return (
    <>
      <Share value={share} label={`Room of ${loan.name} that is used`} />
      <span className="below quiet">
        {words}; {count(loan.objects)} objects
      </span>
    </>
  );
}

function Acts({
  loan: { name, standing, brings_back: isBringing },
  busy,
  admin,
  owner,
  onChange,
  onEnd,
  onBack,
  onForget,
}: {
  loan: Loan;
  busy: boolean;
  /** Reason for which nobody below an admin may; and nobody below the owner. */
  admin: string | undefined;
  owner: string | undefined;
  onChange: () => void;
  onEnd: () => void;
  onBack: (days: number) => void;
  onForget: () => void;
}) {
  const [days, setDays] = useState(BACK_DAYS);
  const isDays = /^\d{1,3}$/.test(days) && Number(days) >= 1 && Number(days) <= BACK_DAYS_MAX;
  const gone = standing === "going" ? "Its objects are being removed" : undefined;
  const isLent = standing === "lent" || standing === "over";
  return (
    <>
      <span className="row">
        <Act
          words={isLent ? "Change" : "Lend again"}
          label={`${isLent ? "Change" : "Lend again"}: ${name}`}
          busy={busy}
          why={admin ?? gone}
          onAct={onChange}
        />
        {isLent ? (
          <Sure
            words="End"
            label={`End the loan ${name}`}
            asked="Its guest reads what it has, and stores and removes nothing."
            busy={busy}
            why={admin}
            onAct={onEnd}
          />
        ) : (
          <Sure
            words="Forget"
            label={`Forget the loan ${name}`}
            asked="All backups of its guest are lost for good."
            busy={busy}
            why={owner ?? gone}
            onAct={onForget}
          />
        )}
      </span>
      <span className="row">
        <label className="row">
          <span className="quiet">Days</span>
          <input
            className="input small"
            inputMode="numeric"
            size={3}
            value={days}
            aria-label={`Days of ${name} to bring back`}
            aria-invalid={!isDays}
            onChange={(event) => setDays(event.target.value)}
          />
        </label>
        <Sure
          words="Bring back"
          label={`Bring back what the guest of ${name} removed`}
          asked="As after its machine was stolen. Put another key in its place first."
          busy={busy}
          why={
            admin ??
            gone ??
            (isBringing
              ? "It is under way"
              : isDays
                ? undefined
                : `1 to ${BACK_DAYS_MAX} days of this machine's running can be meant`)
          }
          onAct={() => onBack(Number(days))}
        />
      </span>
    </>
  );
}

/** The fields of a loan, in their order. */
const FIELDS: readonly {
  name: keyof LoanForm;
  words: string;
  help: string;
  lines?: number;
  type?: string;
}[] = [
  { name: "name", words: "Name", help: "For people here; it is also the name of its folder." },
  {
    name: "keys",
    words: "The guest's keys",
    help: "One a line: `openmesh xnode backup-key show` prints it on the guest.",
    lines: 2,
  },
  {
    name: "readers",
    words: "The owner's reading keys",
    help: "May be left out. With the owner's key everything can be restored onto any machine then; it reads alone.",
    lines: 2,
  },
  {
    name: "room",
    words: "Room",
    help: "Such as 200GiB. What the guest removes takes its part of it until it is let go.",
  },
  {
    name: "until",
    words: "Until",
    help: "Nothing new is taken from this day on (UTC). Without it there is no end.",
    type: "date",
  },
  {
    name: "days",
    words: "Days for which removed objects are withheld",
    help: "So long a thief of the guest's machine cannot erase its backups.",
  },
];

function Give({ loan, taken, onDone }: { loan: Loan | null; taken: string[]; onDone: () => void }) {
  const id = useId();
  const [form, setForm] = useState<LoanForm>(() => (loan === null ? NEW_LOAN : formOf(loan)));
  const [given, setGiven] = useState<string | null>(null);
  const first = useRef<HTMLDivElement>(null);
  const may = useMay("admin");
  const giving = useAct(giveLoan);
  const isChange = loan !== null;
  // The form stands below the list: who works by keyboard or by ear goes on in it.
  useEffect(() => {
    if (isChange) first.current?.querySelector<HTMLElement>("textarea")?.focus();
  }, [isChange]);
  const read = readLoan(form, loan);
  const wrong: LoanFaults = "wrong" in read ? read.wrong : {};
  const fault = FIELDS.find(({ name }) => wrong[name] !== undefined);
  const isTaken = !isChange && taken.includes(form.name);
  const why =
    may ??
    (isTaken ? "A loan of this name is there: change that one" : undefined) ??
    (fault === undefined ? undefined : `${fault.words}: ${(wrong[fault.name] ?? "").replaceAll("`", "")}`);
  const set = (name: keyof LoanForm, value: string) => {
    giving.reset();
    setGiven(null);
    setForm((before) => ({ ...before, [name]: value }));
  };
  return (
    <Card title={isChange ? `Change the loan ${loan.name}` : "Lend room"}>
      <form
        className="stack narrow"
        aria-label={isChange ? `Change the loan ${loan.name}` : "Lend room"}
        onSubmit={(event) => {
          event.preventDefault();
          if (why !== undefined || "wrong" in read) return;
          const name = form.name;
          giving.mutate(
            { name, wish: read.wish },
            {
              onSuccess: () => {
                if (isChange) return onDone();
                setForm(NEW_LOAN);
                setGiven(name);
              },
            },
          );
        }}
      >
        <div ref={first} className="stack">
          {FIELDS.map(({ name, words, help, lines, type = "text" }) => {
            const said = form[name] === "" ? undefined : wrong[name];
            const taking =
              name === "name" && isTaken ? "A loan of this name is there: change that one." : said;
            const field = {
              id: `${id}-${name}`,
              className: "input mono",
              value: form[name],
              autoComplete: "off",
              spellCheck: false,
              "aria-invalid": taking !== undefined,
              "aria-describedby": `${id}-${name}-help ${id}-${name}-wrong`,
            };
            return (
              <div key={name} className="field">
                <label htmlFor={field.id}>{words}</label>
                {lines === undefined ? (
                  <input
                    {...field}
                    type={type}
                    disabled={name === "name" && isChange}
                    onChange={(event) => set(name, event.target.value)}
                  />
                ) : (
                  <textarea {...field} rows={lines} onChange={(event) => set(name, event.target.value)} />
                )}
                <FieldNotes id={field.id} help={help} wrong={taking} />
              </div>
            );
          })}
        </div>
        {giving.error ? <Refused error={giving.error} /> : null}
        {given === null ? null : (
          <Notice tone="good" title={`Room is lent as ${given}`}>
            The guest needs the line above in its document.
          </Notice>
        )}
        <p className="row flat">
          <button
            type="submit"
            className="button primary"
            disabled={giving.isPending || why !== undefined}
            title={why}
          >
            {isChange ? "Change it" : "Lend"}
          </button>
          {isChange ? (
            <button type="button" className="button" onClick={onDone}>
              Leave it as it is
            </button>
          ) : null}
        </p>
      </form>
    </Card>
  );
}
