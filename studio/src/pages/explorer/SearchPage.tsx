import { Link, Navigate, useLocation } from "react-router";
import { useSearch } from "../../api/explorer";
import { Badge, Card, Empty } from "../../design";
import { Table } from "../../design/Table";
import { KIND_WORDS, pageOf } from "../../lib/search";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Answer } from "../parts";

/** What a text may mean. Where it can mean one thing alone, that is shown at once to whoever came from the field. */
export function SearchPage() {
  useTitle("Search");
  const [read] = useFilters();
  const text = read("text").trim();
  const found = useSearch(text);
  const state = useLocation().state as { go?: boolean } | null;
  const only = found.data?.length === 1 ? found.data[0] : undefined;
  // Instead of this page in the history, so that the way back leads to where the search began.
  if (only && state?.go) return <Navigate to={pageOf(only)} replace />;
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/explorer">Explorer</Link>
      </p>
      <h1>Search</h1>
      {text === "" ? (
        <Empty>Write a height, a hash, an address, a CID or a name into the field at the top.</Empty>
      ) : (
        <Card title={`Found for ${text}`} flush>
          <Answer of={found} what="what there is">
            {(hits) => (
              <Table
                label="Found"
                items={hits}
                keyOf={({ kind, key }) => `${kind} ${key}`}
                empty="Nothing has this height, hash, address, CID or name, as far as this node knows."
                columns={[
                  { head: "Kind", cell: ({ kind }) => <Badge>{KIND_WORDS[kind]}</Badge> },
                  { head: "Name", cell: (hit) => <Link to={pageOf(hit)}>{hit.label}</Link> },
                  { head: "More", cell: ({ detail }) => detail, tone: () => "wrap" },
                ]}
              />
            )}
          </Answer>
        </Card>
      )}
    </div>
  );
}
