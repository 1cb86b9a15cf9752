import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { RequestError } from "../../api/client";
import { useAccount, useActions, useStatus, useTransaction } from "../../api/queries";
import type { ActionInfo, FieldValue } from "../../api/types";
import { Card, Empty, Notice } from "../../design";
import { suggested, writable, wrongFees, type Fees } from "../../lib/fees";
import { readFields, refusedField, spent } from "../../lib/fields";
import { count, open } from "../../lib/format";
import { units } from "../../lib/decimals";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { membersSigned, prepare, send, type Offer } from "../../shell/action";
import { beOn, chainOf } from "../../shell/chain";
import { useChainAgain } from "../../shell/useChain";
import { refusal } from "../../shell/wallet";
import { Answer } from "../parts";
import { ActionInput } from "./ActionInput";
import { From, type Payer } from "./Payer";
import { Refusal } from "./TransactionTable";

/** The form of any action, made from its declaration alone: a new module of the ledger needs nothing here. */
export function ActionPage() {
  const { kind = "" } = useParams();
  const actions = useActions();
  const action = actions.data?.find((each) => each.kind === kind);
  useTitle(action?.title ?? "Action");
  return (
    <div className="stack narrow">
      <p className="flat">
        <Link to="/transactions">Transactions</Link> › <Link to="/actions">Actions</Link>
      </p>
      <Answer of={actions} what="the action">
        {() =>
          action ? (
            <Signing key={kind} action={action} />
          ) : (
            <Empty>The ledger of this network has no action {kind}.</Empty>
          )
        }
      </Answer>
    </div>
  );
}

const commandOf = ({ kind, fields }: ActionInfo) =>
  ["openmesh account do", kind, "--key FILE", ...fields.map(({ name }) => `${name}=…`)].join(" ");

function Signing({ action }: { action: ActionInfo }) {
  const [payer, setPayer] = useState<Payer | null>(null);
  return (
    <>
      <div className="heading">
        <h1>{action.title}</h1>
        <p className="flat">{action.summary}</p>
        {action.details ? <p className="quiet flat">{action.details}</p> : null}
      </div>
      <Card title="1. Who signs">
        <From payer={payer} command={commandOf(action)} onPayer={setPayer} />
      </Card>
      <Card title="2. Fill in, look, sign">
        {payer ? (
          <Form key={payer.address} action={action} payer={payer} />
        ) : (
          <p className="quiet flat">Choose a wallet first.</p>
        )}
      </Card>
    </>
  );
}

interface Asked {
  values: Record<string, FieldValue>;
  fees: Fees;
}

/** Highest fee and tip as a person writes them, in OPEN. */
const writtenFees = (action: ActionInfo): Fees => {
  const { maxFee, tip } = suggested(action);
  return { maxFee: writable(maxFee), tip: writable(tip) };
};

function Form({ action, payer }: { action: ActionInfo; payer: Payer }) {
  const [read] = useFilters();
  const [written, setWritten] = useState(() =>
    Object.fromEntries(action.fields.map(({ name }) => [name, read(name)])),
  );
  const [fees, setFees] = useState(() => writtenFees(action));
  const status = useStatus();
  const account = useAccount(payer.address);
  const offering = useMutation({
    mutationFn: ({ values, fees }: Asked) => {
      if (!status.data) throw new Error("The node has not answered yet.");
      return prepare(status.data, payer.address, action, values, fees);
    },
  });
  const again = useChainAgain();
  const sending = useMutation({
    mutationFn: async (offer: Offer) => {
      if (!status.data) throw new Error("The node has not answered yet.");
      await beOn(payer.wallet, chainOf(status.data, location.origin));
      return send(payer.wallet, offer);
    },
    onSettled: () => again(payer.wallet),
  });
  const begin = () => {
    sending.reset();
    offering.reset();
  };
  if (sending.data) return <Sent hash={sending.data} onAgain={begin} />;
  if (offering.data)
    return (
      <Review
        offer={offering.data}
        balance={account.data?.balance ?? null}
        busy={sending.isPending}
        error={sending.error}
        onSign={() => sending.mutate(offering.data)}
        onBack={begin}
      />
    );
  return (
    <Inputs
      action={action}
      written={written}
      fees={fees}
      busy={offering.isPending}
      error={offering.error}
      onWrite={(name, text) => {
        offering.reset();
        setWritten((before) => ({ ...before, [name]: text }));
      }}
      onFees={setFees}
      onAsk={(asked) => offering.mutate(asked)}
    />
  );
}

/** The names under which the fees are remembered as visited; no field of an action can have a space. */
const MAX_FEE = "the highest fee";
const TIP = "the tip";

function Inputs({
  action,
  written,
  fees,
  busy,
  error,
  onWrite,
  onFees,
  onAsk,
}: {
  action: ActionInfo;
  written: Record<string, string>;
  fees: Fees;
  busy: boolean;
  error: Error | null;
  onWrite: (name: string, text: string) => void;
  onFees: (fees: Fees) => void;
  onAsk: (asked: Asked) => void;
}) {
  const [visited, setVisited] = useState<ReadonlySet<string>>(new Set());
  const visit = (...names: string[]) => setVisited((before) => new Set([...before, ...names]));
  const { values, wrong } = readFields(action, written);
  const refused = error instanceof RequestError ? refusedField(action, error.message) : null;
  const [maxFee, tip] = [units(fees.maxFee), units(fees.tip)];
  const feesWrong = wrongFees(action, fees);
  return (
    <form
      className="stack"
      aria-label={action.title}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        visit(...action.fields.map(({ name }) => name), MAX_FEE, TIP);
        const right = Object.keys(wrong).length === 0 && Object.keys(feesWrong).length === 0;
        if (right && maxFee !== null && tip !== null) onAsk({ values, fees: { maxFee, tip } });
        else
          // The first field that is wrong is where a person goes on.
          requestAnimationFrame(() =>
            document.querySelector<HTMLElement>('main [aria-invalid="true"]')?.focus(),
          );
      }}
    >
      {action.fields.map((field) => (
        <ActionInput
          key={field.name}
          field={field}
          written={written[field.name] ?? ""}
          wrong={
            refused?.name === field.name
              ? refused.wrong
              : visited.has(field.name)
                ? wrong[field.name]
                : undefined
          }
          onChange={(text) => onWrite(field.name, text)}
          onLeave={() => (written[field.name] ? visit(field.name) : undefined)}
        />
      ))}
      <ActionInput
        field={{
          name: MAX_FEE,
          type: "amount",
          label: "Highest fee",
          help: `Base fee and tip together take at most this. The base fee of the next block is ${open(action.fee_min)}, which is burnt; what is not needed stays yours.`,
          choices: [],
        }}
        written={fees.maxFee}
        wrong={visited.has(MAX_FEE) ? feesWrong.maxFee : undefined}
        onChange={(text) => onFees({ ...fees, maxFee: text })}
        onLeave={() => visit(MAX_FEE)}
      />
      <ActionInput
        field={{
          name: TIP,
          type: "amount",
          label: "Tip",
          help: "Of it, at most this is the proposer's. A higher one comes first when blocks are full.",
          choices: [],
        }}
        written={fees.tip}
        wrong={visited.has(TIP) ? feesWrong.tip : undefined}
        onChange={(text) => onFees({ ...fees, tip: text })}
        onLeave={() => visit(TIP)}
      />
      {error && !refused ? <Problem error={error} /> : null}
      <p className="row flat">
        <button type="submit" className="button primary" disabled={busy}>
          {busy ? "Asking the node…" : "Review"}
        </button>
      </p>
    </form>
  );
}

function Problem({ error }: { error: Error }) {
  return (
    <Notice tone="bad" title={refusal(error)}>
      {error instanceof RequestError ? (
        <>
          <code>{error.ledgerCode ?? error.code}</code>: {error.hint}
        </>
      ) : undefined}
    </Notice>
  );
}

/** Members of every message that are fees, with their names for people. */
const FEE_NAMES: Record<string, string> = { maxFee: "Highest fee", tip: "Tip" };

/** A value of the message for people, where it is not its own best description. */
function Shown({ name, offer, value }: { name: string; offer: Offer; value: unknown }) {
  const at = membersSigned(offer).findIndex((each) => each.name === name);
  const field = offer.action.fields[at];
  const amount = Object.hasOwn(FEE_NAMES, name) || field?.type === "amount";
  if (Array.isArray(value))
    return value.length === 0 ? <span className="quiet">empty list</span> : value.join(", ");
  if (amount) return open(String(value));
  return field?.type === "uint" && field.unit ? `${String(value)} ${field.unit}` : String(value);
}

function Review({
  offer,
  balance,
  busy,
  error,
  onSign,
  onBack,
}: {
  offer: Offer;
  balance: string | null;
  busy: boolean;
  error: Error | null;
  onSign: () => void;
  onBack: () => void;
}) {
  const deposit = BigInt(offer.action.deposit);
  const total = spent(offer.action, offer.values) + BigInt(offer.fees.maxFee) + deposit;
  const short = balance !== null && total > BigInt(balance);
  return (
    <div className="stack">
      <p className="flat">
        <code className="long">{offer.action.typed_data}</code>
      </p>
      <dl className="facts" aria-label="What will be signed">
        {membersSigned(offer).map(({ name, type, label, value }) => (
          <div className="fact" key={name}>
            <dt title={`${type} ${name}`}>{label ?? FEE_NAMES[name] ?? "Nonce"}</dt>
            <dd>
              <Shown name={name} offer={offer} value={value} />
            </dd>
          </div>
        ))}
        {deposit > 0n ? (
          <div className="fact">
            <dt>Deposit</dt>
            <dd>{open(offer.action.deposit)}, which comes back when the record goes</dd>
          </div>
        ) : null}
        <div className="fact">
          <dt>Leaves the account at most</dt>
          <dd>
            <strong>{open(total.toString())}</strong>
          </dd>
        </div>
      </dl>
      <details className="typed">
        <summary>The typed data (EIP-712), as the wallet gets it</summary>
        <pre tabIndex={0}>{JSON.stringify(offer.typed, null, 2)}</pre>
      </details>
      {short ? (
        <Notice tone="bad" title="The balance is not enough for amount, fee and deposit">
          The account has only {open(balance)}.
        </Notice>
      ) : null}
      {error ? <Problem error={error} /> : null}
      <p className="row flat">
        <button
          type="button"
          className="button primary"
          disabled={busy || short}
          title={short ? "The balance is not enough" : undefined}
          onClick={onSign}
        >
          {busy ? "Waiting for the wallet…" : "Sign and send"}
        </button>
        <button type="button" className="button" disabled={busy} onClick={onBack}>
          Back
        </button>
      </p>
    </div>
  );
}

function Sent({ hash, onAgain }: { hash: string; onAgain: () => void }) {
  const transaction = useTransaction(hash);
  const { data } = transaction;
  return (
    <div className="stack">
      {transaction.error && !data ? <Problem error={transaction.error} /> : null}
      {typeof data?.height !== "number" ? (
        <Notice title="Sent: waiting for a block" />
      ) : data.ok ? (
        <Notice title={`Done: committed in block ${count(data.height)}`} />
      ) : (
        <Refusal of={data} title={`Refused in block ${count(data.height)}`} />
      )}
      <p className="row flat">
        <Link className="button" to={`/transactions/${hash}`}>
          Look at the transaction
        </Link>
        <button type="button" className="button" onClick={onAgain}>
          Sign another
        </button>
      </p>
    </div>
  );
}
