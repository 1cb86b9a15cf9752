import { Link } from "react-router";
import { PAGE_ITEMS, useChunks, useSources } from "../../api/queries";
import { Card } from "../../design";
import { CHUNK_STATUSES } from "../../lib/agreement";
import { usePager } from "../../lib/paging";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer, Choice, ChunkTable, Pages } from "../parts";

/** Chunks of all sources, as they are agreed on. */
export function ChunksPage() {
  useTitle("Chunks");
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const filter = { source: read("source"), status: read("status") };
  const sources = useSources();
  const chunks = useChunks(filter, PAGE_ITEMS, pager.cursor);
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <div className="heading">
        <h1>Chunks</h1>
        <p className="quiet flat">One stream in one window: what validators agree on, by its CID.</p>
      </div>
      <Card title="Newest chunks" flush>
        <div className="filters">
          <Choice
            name="Source"
            value={filter.source}
            options={sources.data?.items.map(({ id }) => id) ?? []}
            onChange={(source) => write({ source })}
          />
          <Choice
            name="Agreement"
            value={filter.status}
            options={CHUNK_STATUSES}
            onChange={(status) => write({ status })}
          />
        </div>
        <Answer of={chunks} what="chunks">
          {(page) => (
            <>
              <ChunkTable
                chunks={page.items}
                label="Chunks"
                empty={
                  filter.source || filter.status
                    ? "No chunk matches these filters. Of all sources only about the last hour is looked at."
                    : "No chunk yet. Each window is agreed on a few seconds after it ends."
                }
              />
              <Pages of={pager} page={page} what="chunks" />
            </>
          )}
        </Answer>
      </Card>
    </div>
  );
}
