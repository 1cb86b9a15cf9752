import { Link } from "react-router";
import { useEvents } from "../../api/explorer";
import { useSources, useValidators } from "../../api/queries";
import { Card } from "../../design";
import { usePager } from "../../lib/paging";
import { useSettled } from "../../lib/settled";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, Pages } from "../parts";
import { EVENT_KINDS, EventTable } from "./EventTable";

/** Every event of the ledger as it happens, with filters that the stream knows too. */
export function EventsPage() {
  useTitle("Events");
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const written = read("account");
  const account = useSettled(/^0x[0-9a-fA-F]{40}$/.test(written) ? written : "", 300);
  const filter = { kind: read("kind"), source: read("source"), account, validator: read("validator") };
  const events = useEvents(filter, pager.cursor);
  const sources = useSources();
  const validators = useValidators();
  const isWrong = written !== "" && account === "" && !/^0x[0-9a-fA-F]{40}$/.test(written);
  const filtered = Object.values(filter).some(Boolean);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Events</h1>
        <p className="quiet flat">What each block did, one by one, as the network agreed on it.</p>
      </div>
      <Card
        title="Events of the ledger"
        actions={
          filtered ? (
            <button
              type="button"
              className="button small"
              onClick={() => write({ kind: null, source: null, account: null, validator: null })}
            >
              Clear filters
            </button>
          ) : null
        }
        flush
      >
        <div className="filters">
          <Choice
            name="Kind"
            value={filter.kind}
            options={EVENT_KINDS}
            onChange={(kind) => write({ kind })}
          />
          <Choice
            name="Source"
            value={filter.source}
            options={sources.data?.items.map(({ id }) => id) ?? []}
            onChange={(source) => write({ source })}
          />
          <Choice
            name="Validator"
            value={filter.validator}
            options={
              validators.data?.items.map(({ address, name }) => ({
                value: address,
                words: name || address,
              })) ?? []
            }
            onChange={(validator) => write({ validator })}
          />
          <label className="field grow">
            <span>Account</span>
            <input
              className="input mono"
              value={written}
              placeholder="0x…"
              spellCheck={false}
              autoComplete="off"
              aria-invalid={isWrong}
              onChange={(event) => write({ account: event.target.value.trim() })}
            />
          </label>
        </div>
        <Answer of={events} what="events">
          {(page) => (
            <>
              <EventTable
                items={page.items}
                label="Events of the ledger"
                empty={
                  page.next
                    ? "None in the blocks that were looked through; older ones come with Older."
                    : filtered
                      ? "No event matches these filters in the blocks that this node keeps."
                      : "No block has done anything yet."
                }
              />
              <Pages of={pager} page={page} what="events" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}
