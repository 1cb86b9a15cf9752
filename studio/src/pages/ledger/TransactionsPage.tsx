import { Link, useNavigate } from "react-router";
import { useState } from "react";
import { useTransactions } from "../../api/queries";
import { Card } from "../../design";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, Pages } from "../parts";
import { TransactionTable } from "./TransactionTable";

/** Classes of transactions, as a filter offers them. */
export const CLASSES = [
  { value: "account", words: "Of accounts" },
  { value: "attestation", words: "Attestations" },
  { value: "upgrade", words: "Ballots about upgrades" },
  { value: "evidence", words: "Evidence" },
];
/** Outcomes of transactions, as a filter offers them. */
export const OUTCOMES = [
  { value: "true", words: "Done" },
  { value: "false", words: "Refused" },
];

/** Where a hash, a height or an address is looked at; `null` where it is none of them. */
export function placeOf(text: string): string | null {
  const wanted = text.trim();
  if (/^\d+$/.test(wanted.replaceAll(",", ""))) return `/blocks/${wanted.replaceAll(",", "")}`;
  if (/^(0x)?[0-9a-fA-F]{64}$/.test(wanted))
    return `/transactions/${wanted.replace(/^0x/, "").toLowerCase()}`;
  if (/^0x[0-9a-fA-F]{40}$/.test(wanted)) return `/accounts/${wanted}`;
  if (/^baf[a-z2-7]{56,}$/.test(wanted)) return `/chunks/${wanted}`;
  return null;
}

export function TransactionsPage() {
  useTitle("Transactions");
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const filter = { class: read("class"), account: "", ok: read("ok") };
  const transactions = useTransactions(filter, pager.cursor);
  return (
    <div className="stack">
      <div className="row spread">
        <div className="heading">
          <h1>Transactions</h1>
          <p className="quiet flat">What accounts and validators wrote into the ledger.</p>
        </div>
        <span className="row">
          <Link className="button" to="/actions">
            All actions
          </Link>
          <Link className="button primary" to="/actions/transfer">
            Send OPEN
          </Link>
        </span>
      </div>
      <Search />
      <Card title="Committed transactions" flush>
        <div className="filters">
          <Choice
            name="Class"
            value={filter.class}
            options={CLASSES}
            onChange={(value) => write({ class: value })}
          />
          <Choice name="Outcome" value={filter.ok} options={OUTCOMES} onChange={(ok) => write({ ok })} />
        </div>
        <Answer of={transactions} what="transactions">
          {(page) => (
            <>
              <TransactionTable
                items={page.items}
                label="Transactions"
                empty={page.next ? "None in the blocks that were looked through." : "No such transaction."}
              />
              <Pages of={pager} page={page} what="transactions" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}

function Search() {
  const navigate = useNavigate();
  const [text, setText] = useState("");
  const [unknown, setUnknown] = useState(false);
  return (
    <form
      className="row end"
      role="search"
      onSubmit={(event) => {
        event.preventDefault();
        const place = placeOf(text);
        setUnknown(place === null);
        if (place) void navigate(place);
      }}
    >
      <label className="field grow">
        <span>Find a transaction, account, block or chunk</span>
        <input
          className="input"
          value={text}
          placeholder="Hash, 0x address, height or CID"
          aria-invalid={unknown}
          aria-describedby={unknown ? "find-unknown" : undefined}
          onChange={(event) => {
            setText(event.target.value);
            setUnknown(false);
          }}
        />
      </label>
      <button
        type="submit"
        className="button"
        disabled={text.trim() === ""}
        title={text.trim() === "" ? "Write what to find" : undefined}
      >
        Find
      </button>
      {unknown ? (
        <span id="find-unknown" role="alert" className="wrong">
          That is no hash, address, height or CID.
        </span>
      ) : null}
    </form>
  );
}
