import { Link } from "react-router";
import { useStamps } from "../../api/explorer";
import { Card } from "../../design";
import { usePager } from "../../lib/paging";
import { wrongTopic } from "../../lib/search";
import { useSettled } from "../../lib/settled";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Pages } from "../parts";
import { NewStamp } from "./NewStamp";
import { StampTable } from "./StampTable";

const ADDRESS = /^0x[0-9a-fA-F]{40}$/;

export function StampsPage() {
  useTitle("Stamps");
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const [writtenTopic, writtenAccount] = [read("topic"), read("account")];
  const topicWrong = writtenTopic === "" ? null : wrongTopic(writtenTopic);
  const accountWrong = writtenAccount !== "" && !ADDRESS.test(writtenAccount);
  const topic = useSettled(topicWrong ? "" : writtenTopic, 300);
  const account = useSettled(accountWrong ? "" : writtenAccount, 300);
  const stamps = useStamps({ hash: "", topic, account }, pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Stamps</h1>
        <p className="quiet flat">
          A hash under a topic, with the account that gave it and the block that took it: proof that these
          bytes were known by then.
        </p>
      </div>
      <Card title="All stamps" flush>
        <div className="filters">
          <label className="field">
            <span>Topic</span>
            <input
              className="input"
              value={writtenTopic}
              placeholder="xnode.drill"
              spellCheck={false}
              autoComplete="off"
              aria-invalid={topicWrong !== null}
              title={topicWrong ?? undefined}
              onChange={(event) => write({ topic: event.target.value })}
            />
          </label>
          <label className="field grow">
            <span>Account</span>
            <input
              className="input mono"
              value={writtenAccount}
              placeholder="0x…"
              spellCheck={false}
              autoComplete="off"
              aria-invalid={accountWrong}
              title={accountWrong ? "An address is 0x and 40 hexadecimal digits" : undefined}
              onChange={(event) => write({ account: event.target.value.trim() })}
            />
          </label>
        </div>
        <Answer of={stamps} what="stamps">
          {(page) => (
            <>
              <StampTable
                items={page.items}
                label="Stamps"
                empty={
                  topic || account
                    ? "No stamp matches these filters."
                    : "Nothing has been stamped yet, or all of it has left the state: an archive knows older ones."
                }
              />
              <Pages of={pager} page={page} what="stamps" />
            </>
          )}
        </Answer>
      </Card>
      <NewStamp />
    </div>
  );
}
