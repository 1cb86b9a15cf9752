import { useMutation } from "@tanstack/react-query";
import { useState, useSyncExternalStore } from "react";
import { Link } from "react-router";
import { isAddress } from "viem";
import { RequestError } from "../../api/client";
import { useAccount, useStatus, useTransaction } from "../../api/queries";
import { Card, Notice } from "../../design";
import { add, subtract, units } from "../../lib/decimals";
import { count, open } from "../../lib/format";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { accountOf, prepare, send, type Offer } from "../../shell/transfer";
import { currentWallets, refusal, subscribeWallets, type Wallet } from "../../shell/wallet";
import { AccountLink } from "../parts";

/** A wallet with the account that it shared. */
interface Payer {
  wallet: Wallet;
  address: string;
}

export function SendPage() {
  useTitle("Send OPEN");
  const [payer, setPayer] = useState<Payer | null>(null);
  return (
    <div className="stack narrow">
      <p className="flat">
        <Link to="/transactions">Transactions</Link>
      </p>
      <h1>Send OPEN</h1>
      <Card title="1. From">
        <From payer={payer} onPayer={setPayer} />
      </Card>
      <Card title="2. To and how much">
        {payer ? (
          <Form key={payer.address} payer={payer} />
        ) : (
          <p className="quiet flat">Choose a wallet first.</p>
        )}
      </Card>
    </div>
  );
}

function From({ payer, onPayer }: { payer: Payer | null; onPayer: (payer: Payer | null) => void }) {
  const wallets = useSyncExternalStore(subscribeWallets, currentWallets);
  const account = useAccount(payer?.address ?? "");
  const choosing = useMutation({
    mutationFn: async (wallet: Wallet) => ({ wallet, address: await accountOf(wallet) }),
    onSuccess: onPayer,
  });
  if (payer)
    return (
      <div className="row spread">
        <span>
          {payer.wallet.info.name}: <AccountLink address={payer.address} />
          {account.data ? <span className="quiet"> has {open(account.data.balance)}</span> : null}
        </span>
        <button type="button" className="button small" onClick={() => onPayer(null)}>
          Choose another
        </button>
      </div>
    );
  if (wallets.length === 0)
    return (
      <Notice title="No wallet found in this browser">
        Install a wallet that announces itself by EIP-6963 and reload, or send from a terminal: openmesh
        account send.
      </Notice>
    );
  return (
    <div className="stack">
      <p className="row flat">
        {wallets.map((wallet) => (
          <button
            key={wallet.info.uuid}
            type="button"
            className="button"
            disabled={choosing.isPending}
            onClick={() => choosing.mutate(wallet)}
          >
            Use {wallet.info.name}
          </button>
        ))}
      </p>
      {choosing.isError ? <Notice tone="bad" title={refusal(choosing.error)} /> : null}
    </div>
  );
}

/** What keeps a transfer from being offered; `null` where nothing does. */
export function obstacle(to: string, amount: string, balance: string | null): string | null {
  if (!isAddress(to, { strict: false })) return "The receiver is 0x and 40 hexadecimal digits.";
  // All lower or all upper case carries no checksum; mixed case does, and then it must hold.
  if (!isAddress(to) && !/^0x([0-9a-f]{40}|[0-9A-F]{40})$/.test(to))
    return "The receiver's upper and lower case letters do not fit (EIP-55): one of its digits is wrong.";
  const wanted = units(amount);
  if (wanted === null)
    return "The amount is a number of OPEN such as 12.5, with at most 18 digits behind the point.";
  if (BigInt(wanted) === 0n) return "The amount is zero.";
  if (balance !== null && BigInt(wanted) > BigInt(balance)) return `The account has only ${open(balance)}.`;
  return null;
}

function Form({ payer }: { payer: Payer }) {
  const [read] = useFilters();
  const [to, setTo] = useState(() => read("to"));
  const [amount, setAmount] = useState("");
  const status = useStatus();
  const account = useAccount(payer.address);
  const why = obstacle(to.trim(), amount, account.data?.balance ?? null);
  const offering = useMutation({
    mutationFn: () => {
      if (!status.data) throw new Error("The node has not answered yet.");
      return prepare(status.data, payer.address, to.trim(), units(amount) ?? "");
    },
  });
  const sending = useMutation({ mutationFn: (offer: Offer) => send(payer.wallet, offer) });
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
    <form
      className="stack"
      onSubmit={(event) => {
        event.preventDefault();
        if (!why) offering.mutate();
      }}
    >
      <label className="field">
        <span>Receiver</span>
        <input
          className="input mono"
          value={to}
          placeholder="0x…"
          autoComplete="off"
          spellCheck={false}
          onChange={(event) => setTo(event.target.value)}
        />
      </label>
      <label className="field">
        <span>Amount in OPEN</span>
        <input
          className="input"
          inputMode="decimal"
          value={amount}
          placeholder="0.0"
          autoComplete="off"
          onChange={(event) => setAmount(event.target.value)}
        />
      </label>
      {offering.error ? <Problem error={offering.error} /> : null}
      <p className="row flat">
        <button
          type="submit"
          className="button primary"
          disabled={why !== null || offering.isPending}
          aria-describedby="send-why"
        >
          {offering.isPending ? "Asking the node…" : "Review"}
        </button>
        <span id="send-why" className="quiet">
          {to === "" && amount === "" ? "" : why}
        </span>
      </p>
    </form>
  );
}

function Problem({ error }: { error: Error }) {
  return (
    <Notice tone="bad" title={refusal(error)}>
      {error instanceof RequestError ? error.hint : undefined}
    </Notice>
  );
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
  const total = add(offer.amount, offer.fee) ?? offer.amount;
  const left = balance === null ? null : subtract(balance, total);
  const short = left?.startsWith("-") ?? false;
  return (
    <div className="stack">
      <dl className="facts" aria-label="The transfer to be signed">
        <dt>To</dt>
        <dd>
          <AccountLink address={offer.to} whole />
        </dd>
        <dt>Amount</dt>
        <dd>{open(offer.amount)}</dd>
        <dt>Fee</dt>
        <dd>{open(offer.fee)}</dd>
        <dt>Together</dt>
        <dd>
          <strong>{open(total)}</strong>
        </dd>
        <dt>Nonce</dt>
        <dd>{offer.nonce}</dd>
      </dl>
      {short ? (
        <Notice tone="bad" title="The balance is not enough for amount and fee">
          The account has {open(balance ?? "0")}.
        </Notice>
      ) : null}
      {error ? <Problem error={error} /> : null}
      <p className="row flat">
        <button type="button" className="button primary" disabled={busy || short} onClick={onSign}>
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
  const link = <Link to={`/transactions/${hash}`}>Look at the transaction</Link>;
  return (
    <div className="stack">
      {transaction.error && !data ? <Problem error={transaction.error} /> : null}
      {typeof data?.height !== "number" ? (
        <Notice title="Sent: waiting for a block">{link}</Notice>
      ) : data.ok ? (
        <Notice title={`Done: committed in block ${count(data.height)}`}>{link}</Notice>
      ) : (
        <Notice
          tone="bad"
          title={`Refused in block ${count(data.height)}: ${data.error ?? "no reason given"}`}
        >
          {link}
        </Notice>
      )}
      <p className="flat">
        <button type="button" className="button" onClick={onAgain}>
          Send another
        </button>
      </p>
    </div>
  );
}
