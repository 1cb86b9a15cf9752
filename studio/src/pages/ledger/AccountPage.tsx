import { Link, useParams } from "react-router";
import { useAccount, useTransactions } from "../../api/queries";
import { Card, Copy, Figure, Figures } from "../../design";
import { count, open } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, Pages } from "../parts";
import { AccountDeposits } from "../explorer/DepositsPage";
import { AccountStamps } from "../explorer/StampPage";
import { CLASSES, OUTCOMES } from "./TransactionsPage";
import { TransactionTable } from "./TransactionTable";

export function AccountPage() {
  const { address = "" } = useParams();
  useTitle("Account");
  const account = useAccount(address);
  const pager = usePager("older");
  const [read, writeFilters] = useFilters();
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const filter = { class: read("class"), account: address, ok: read("ok") };
  const history = useTransactions(filter, pager.cursor);
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
      {account.error && !account.data ? null : <AccountStamps address={address} />}
      {account.error && !account.data ? null : <AccountDeposits address={address} />}
      {account.error && !account.data ? null : (
        <Card title="Its transactions" flush>
          <div className="filters">
            <Choice
              name="Class"
              value={filter.class}
              options={CLASSES}
              onChange={(value) => write({ class: value })}
            />
            <Choice name="Outcome" value={filter.ok} options={OUTCOMES} onChange={(ok) => write({ ok })} />
          </div>
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
                      : filter.class || filter.ok
                        ? "None of its transactions matches these filters."
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
