import { Link, useParams } from "react-router";
import { useAccount, useTransactions } from "../../api/queries";
import { Card, Copy, Figure, Figures } from "../../design";
import { count, open } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { Answer, Pages } from "../parts";
import { TransactionTable } from "./TransactionTable";

export function AccountPage() {
  const { address = "" } = useParams();
  useTitle("Account");
  const account = useAccount(address);
  const pager = usePager("older");
  const history = useTransactions({ class: "", account: address, ok: "" }, pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/transactions">Transactions</Link>
      </p>
      <div className="row spread">
        <h1>Account</h1>
        <Link className="button" to={`/actions/transfer?to=${address}`}>
          Send OPEN to it
        </Link>
      </div>
      <p className="flat">
        <code className="long">{account.data?.address ?? address}</code>{" "}
        <Copy text={address} label="address" />
      </p>
      <Answer of={account} what="the account">
        {(data) => (
          <Figures label="Figures of the account">
            <Figure name="Balance" value={open(data.balance)} />
            <Figure name="Transactions sent" value={count(data.nonce)} note="the next nonce" />
          </Figures>
        )}
      </Answer>
      {account.error && !account.data ? null : (
        <Card title="Its transactions" flush>
          <Answer of={history} what="transactions">
            {(page) => (
              <>
                <TransactionTable
                  items={page.items}
                  label="Its transactions"
                  account={address}
                  empty={
                    page.next
                      ? "None in the blocks that were looked through; older ones come with Older."
                      : "It has sent and received nothing."
                  }
                />
                <Pages of={pager} page={page} what="transactions" />
              </>
            )}
          </Answer>
        </Card>
      )}
    </div>
  );
}
