import { Link } from "react-router";
import { useIncidents, useSources, useValidators } from "../../api/queries";
import type { SourceInfo } from "../../api/types";
import { Badge, Card, type Tone } from "../../design";
import { Table } from "../../design/Table";
import { count } from "../../lib/format";
import { useFilters } from "../../lib/urlState";
import { usePager } from "../../lib/paging";
import { Answer, Choice, Pages, ValidatorLink, When } from "../parts";

const KINDS = [
  "differing",
  "missing",
  "disputed",
  "uncovered",
  "equivocation",
  "copied",
  "gap",
  "checksum",
  "garbage",
  "disconnected",
  "refused",
  "crossed",
  "silence",
  "chunk_withdrawn",
  "attested_chunk_withdrawn",
  "window_not_attested",
];
const SITES = ["ledger", "collector", "duties"];
const TONES: Record<string, Tone> = {
  differing: "bad",
  disputed: "bad",
  uncovered: "hole",
  equivocation: "bad",
  copied: "bad",
  missing: "warn",
  checksum: "bad",
  attested_chunk_withdrawn: "bad",
  window_not_attested: "bad",
};

export function Incidents({ source }: { source?: string }) {
  const [read, writeFilters] = useFilters();
  const pager = usePager("older");
  // Another filter is another list: it begins with its newest.
  const write = (values: Record<string, string | null>) => writeFilters({ ...values, older: null });
  const filter = {
    kind: read("kind"),
    source: source ?? read("source"),
    validator: read("validator"),
    site: read("site"),
  };
  const incidents = useIncidents(filter, pager.cursor);
  const sources = useSources();
  const validators = useValidators();
  const filtered = [filter.kind, filter.validator, filter.site, source ? "" : filter.source].some(Boolean);
  return (
    <Card
      title="Incidents"
      actions={
        filtered ? (
          <button
            type="button"
            className="button small"
            onClick={() => write({ kind: null, source: null, validator: null, site: null })}
          >
            Clear filters
          </button>
        ) : null
      }
      flush
    >
      <div className="filters">
        <Choice name="Kind" value={filter.kind} options={KINDS} onChange={(kind) => write({ kind })} />
        {source ? null : (
          <Choice
            name="Source"
            value={filter.source}
            options={sources.data?.items.map((each) => each.id) ?? []}
            onChange={(chosen) => write({ source: chosen })}
          />
        )}
        <Choice
          name="Validator"
          value={filter.validator}
          options={
            validators.data?.items.map((each) => ({
              value: each.address,
              words: each.name || each.address,
            })) ?? []
          }
          onChange={(validator) => write({ validator })}
        />
        <Choice name="Site" value={filter.site} options={SITES} onChange={(site) => write({ site })} />
      </div>
      <Answer of={incidents} what="incidents">
        {(page) => (
          <>
            <Table
              label="Incidents"
              items={page.items}
              keyOf={(each) => each.id}
              empty={
                filtered
                  ? "No incident matches these filters."
                  : "No incident: everybody agrees, and no feed has broken."
              }
              tall
              columns={[
                {
                  head: "Age",
                  cell: ({ id, time }) => (
                    <Link to={`/incidents/${encodeURIComponent(id)}`} aria-label={`Incident ${id}`}>
                      <When at={time} />
                    </Link>
                  ),
                },
                {
                  head: "Kind",
                  cell: ({ kind }) => (
                    <Badge tone={TONES[kind] ?? "plain"}>{kind.replaceAll("_", " ")}</Badge>
                  ),
                },
                {
                  head: "Source",
                  cell: (each) => (
                    <>
                      {each.source ? <SourceLink id={each.source} known={sources.data?.items} /> : "–"}
                      {each.stream ? <span className="quiet below">{each.stream}</span> : null}
                    </>
                  ),
                },
                {
                  head: "Validator",
                  cell: (each) => (each.validator ? <ValidatorLink address={each.validator} /> : "–"),
                },
                { head: "Detail", cell: ({ detail }) => detail, tone: () => "wrap" },
                {
                  head: "Seen by",
                  cell: ({ height, site }) =>
                    typeof height !== "number" ? (
                      site
                    ) : (
                      <>
                        {site}, <Link to={`/blocks/${height}`}>block {count(height)}</Link>
                      </>
                    ),
                },
              ]}
            />
            <Pages of={pager} page={page} what="incidents" />
          </>
        )}
      </Answer>
    </Card>
  );
}

/** Evidence about consensus names no source of data. */
function SourceLink({ id, known }: { id: string; known: SourceInfo[] | undefined }) {
  return known?.some((each) => each.id === id) ? (
    <Link to={`/sources/${encodeURIComponent(id)}`}>{id}</Link>
  ) : (
    <>{id}</>
  );
}
