import { Link } from "react-router";
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
          <Link className="button" to="/supply">
            Supply
          </Link>
          <Link className="button" to="/actions">
            All actions
          </Link>
          <Link className="button primary" to="/actions/transfer">
            Send OPEN
          </Link>
        </span>
      </div>
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
