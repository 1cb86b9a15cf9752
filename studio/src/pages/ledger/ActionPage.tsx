import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { Link, useParams } from "react-router";
import { RequestError } from "../../api/client";
import { useAccount, useActions, useStatus, useTransaction } from "../../api/queries";
import type { ActionInfo, FieldValue } from "../../api/types";
import { Card, Empty, Notice } from "../../design";
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
  fee: string;
}

function Form({ action, payer }: { action: ActionInfo; payer: Payer }) {
  const [read] = useFilters();
  const [written, setWritten] = useState(() =>
    Object.fromEntries(action.fields.map(({ name }) => [name, read(name)])),
  );
  const [fee, setFee] = useState(() => open(action.fee_min).replace(/[^0-9.]/g, ""));
  const status = useStatus();
  const account = useAccount(payer.address);
  const offering = useMutation({
    mutationFn: ({ values, fee }: Asked) => {
      if (!status.data) throw new Error("The node has not answered yet.");
      return prepare(status.data, payer.address, action, values, fee);
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
      fee={fee}
      busy={offering.isPending}
      error={offering.error}
      onWrite={(name, text) => {
        offering.reset();
        setWritten((before) => ({ ...before, [name]: text }));
      }}
      onFee={setFee}
      onAsk={(asked) => offering.mutate(asked)}
    />
  );
}

/** The name under which the fee is remembered as visited; no field of an action can have a space. */
const FEE = "the fee";

function Inputs({
  action,
  written,
  fee,
  busy,
  error,
  onWrite,
  onFee,
  onAsk,
}: {
  action: ActionInfo;
  written: Record<string, string>;
  fee: string;
  busy: boolean;
  error: Error | null;
  onWrite: (name: string, text: string) => void;
  onFee: (text: string) => void;
  onAsk: (asked: Asked) => void;
}) {
  const [visited, setVisited] = useState<ReadonlySet<string>>(new Set());
  const visit = (...names: string[]) => setVisited((before) => new Set([...before, ...names]));
  const { values, wrong } = readFields(action, written);
  const refused = error instanceof RequestError ? refusedField(action, error.message) : null;
  const offered = units(fee);
  const feeWrong =
    offered === null
      ? "A fee is a number of OPEN."
      : BigInt(offered) < BigInt(action.fee_min)
        ? `The least fee is ${open(action.fee_min)}.`
        : undefined;
  return (
    <form
      className="stack"
      aria-label={action.title}
      noValidate
      onSubmit={(event) => {
        event.preventDefault();
        visit(...action.fields.map(({ name }) => name), FEE);
        if (Object.keys(wrong).length === 0 && offered !== null && !feeWrong) onAsk({ values, fee: offered });
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
          name: FEE,
          type: "amount",
          label: "Fee",
          help: `At least ${open(action.fee_min)}. A higher one comes first when blocks are full.`,
          choices: [],
        }}
        written={fee}
        wrong={visited.has(FEE) ? feeWrong : undefined}
        onChange={onFee}
        onLeave={() => visit(FEE)}
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

/** A value of the message for people, where it is not its own best description. */
function Shown({ name, offer, value }: { name: string; offer: Offer; value: unknown }) {
  const at = membersSigned(offer).findIndex((each) => each.name === name);
  const field = offer.action.fields[at];
  const amount = name === "fee" || field?.type === "amount";
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
  const total = spent(offer.action, offer.values) + BigInt(offer.fee);
  const short = balance !== null && total > BigInt(balance);
  return (
    <div className="stack">
      <p className="flat">
        <code className="long">{offer.action.typed_data}</code>
      </p>
      <dl className="facts" aria-label="What will be signed">
        {membersSigned(offer).map(({ name, type, label, value }) => (
          <div className="fact" key={name}>
            <dt title={`${type} ${name}`}>{label ?? (name === "fee" ? "Fee" : "Nonce")}</dt>
            <dd>
              <Shown name={name} offer={offer} value={value} />
            </dd>
          </div>
        ))}
        <div className="fact">
          <dt>Leaves the account</dt>
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
        <Notice tone="bad" title="The balance is not enough for amount and fee">
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
