import { Link } from "react-router";
import { useTransactions } from "../../api/queries";
import { Card } from "../../design";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { Answer, Pages } from "../parts";
import { TransactionTable } from "../ledger/TransactionTable";

/** Evidence that was committed: each is a transaction that names a validator. */
export function EvidencePage() {
  useTitle("Evidence");
  const pager = usePager("older");
  const evidence = useTransactions({ class: "evidence", account: "", ok: "" }, pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Evidence</h1>
        <p className="quiet flat">
          Two messages of consensus that one validator must not both have signed. Whoever saw them may show
          them.
        </p>
      </div>
      <Card title="Evidence on the ledger" flush>
        <Answer of={evidence} what="evidence">
          {(page) => (
            <>
              <TransactionTable
                items={page.items}
                label="Evidence"
                empty={
                  page.next
                    ? "None in the blocks that were looked through; older ones come with Older."
                    : "None: no validator was shown to have signed two messages for one step."
                }
              />
              <Pages of={pager} page={page} what="evidence" />
            </>
          )}
        </Answer>
      </Card>
      <p className="flat">
        <Link to="/incidents?kind=equivocation">Incidents of this kind</Link>
      </p>
    </div>
  );
}
