import { Link } from "react-router";
import { useDeposits } from "../../api/explorer";
import type { DepositInfo } from "../../api/types";
import { Card, Hash } from "../../design";
import { Table } from "../../design/Table";
import { open } from "../../lib/format";
import { usePager } from "../../lib/paging";
import { useSettled } from "../../lib/settled";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { AccountLink, Answer, Pages } from "../parts";

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

/** All amounts that are held for records. */
export function DepositsPage() {
  useTitle("Deposits");
  const [read, writeFilters] = useFilters();
  const pager = usePager("after");
  const written = read("account");
  const isWrong = written !== "" && !ADDRESS.test(written);
  const account = useSettled(isWrong ? "" : written, 300);
  const deposits = useDeposits(account, pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Deposits</h1>
        <p className="quiet flat">
          An account that stores a record leaves an amount for its room, and has it back when the record
          leaves the state.
        </p>
      </div>
      <Card title="All deposits" flush>
        <div className="filters">
          <label className="field grow">
            <span>Account</span>
            <input
              className="input mono"
              value={written}
              placeholder="0x…"
              spellCheck={false}
              autoComplete="off"
              aria-invalid={isWrong}
              title={isWrong ? "An address is 0x and 40 hexadecimal digits" : undefined}
              onChange={(event) => writeFilters({ account: event.target.value.trim(), after: null })}
            />
          </label>
        </div>
        <Answer of={deposits} what="deposits">
          {(page) => (
            <>
              <DepositTable
                items={page.items}
                label="Deposits"
                empty={
                  page.next
                    ? "None among those that were looked through; further ones come with Further."
                    : account
                      ? "Nothing is held for this account."
                      : "Nothing is held."
                }
              />
              <Pages of={pager} page={page} what="deposits" order="key" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}

/** Deposits of an account, where there are some. */
export function AccountDeposits({ address }: { address: string }) {
  const pager = usePager("deposits");
  const deposits = useDeposits(address, pager.cursor);
  if (deposits.data?.items.length === 0 && !deposits.data.next && !pager.cursor) return null;
  return (
    <Card title="Its deposits" flush>
      <Answer of={deposits} what="deposits">
        {(page) => (
          <>
            <DepositTable items={page.items} label="Its deposits" account={false} empty="None." />
            <Pages of={pager} page={page} what="deposits" order="key" />
          </>
        )}
      </Answer>
    </Card>
  );
}

/** Deposits with links to their records. `account`: left out where all are of one. */
function DepositTable({
  items,
  label,
  empty,
  account = true,
}: {
  items: readonly DepositInfo[];
  label: string;
  empty: string;
  account?: boolean;
}) {
  return (
    <Table
      label={label}
      items={items}
      keyOf={({ key }) => key}
      empty={empty}
      columns={[
        { head: "For", cell: (deposit) => <Stored of={deposit} /> },
        account ? { head: "Account", cell: (deposit) => <AccountLink address={deposit.account} /> } : null,
        { head: "Amount", number: true, cell: ({ amount }) => open(amount) },
      ]}
    />
  );
}

function Stored({ of: { kind, source, hash, topic, key } }: { of: DepositInfo }) {
  if (kind === "source" && source)
    return (
      <>
        source <Link to={`/sources/${encodeURIComponent(source)}`}>{source}</Link>
      </>
    );
  if (kind === "stamp" && hash)
    return (
      <>
        stamp{" "}
        <Link to={`/stamps/${hash}`}>
          <Hash text={hash} />
        </Link>{" "}
        under {topic}
      </>
    );
  return <Hash text={key} />;
}
