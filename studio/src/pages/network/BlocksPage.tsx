import { Link } from "react-router";
import { useBlockPage, useValidators } from "../../api/queries";
import { Card } from "../../design";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, Pages } from "../parts";
import { BlockTable } from "./BlockTable";

const CONTENTS = [
  { value: "true", words: "With transactions" },
  { value: "false", words: "Empty" },
];

export function BlocksPage() {
  useTitle("Blocks");
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const filter = { proposer: read("proposer"), transactions: read("transactions") };
  const blocks = useBlockPage(filter, pager.cursor);
  const validators = useValidators();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <h1>Blocks</h1>
      <Card title="All blocks" flush>
        <div className="filters">
          <Choice
            name="Proposer"
            value={filter.proposer}
            options={
              validators.data?.items.map((each) => ({
                value: each.address,
                words: each.name || each.address,
              })) ?? []
            }
            onChange={(proposer) => write({ proposer })}
          />
          <Choice
            name="Content"
            value={filter.transactions}
            options={CONTENTS}
            onChange={(transactions) => write({ transactions })}
          />
        </div>
        <Answer of={blocks} what="blocks">
          {(page) => (
            <>
              <BlockTable
                items={page.items}
                label="All blocks"
                empty={page.next ? "None in the part that was looked through." : "No such block."}
              />
              <Pages of={pager} page={page} what="blocks" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}
