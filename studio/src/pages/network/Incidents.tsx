import { Link } from "react-router";
import { useIncidents, useSources, useValidators } from "../../api/queries";
import { Badge, Card, Empty, type Tone } from "../../design";
import { useFilters } from "../../lib/urlState";
import { Answer, ValidatorLink, When } from "../parts";

const KINDS = [
  "differing",
  "missing",
  "disputed",
  "gap",
  "checksum",
  "garbage",
  "disconnected",
  "refused",
  "crossed",
  "silence",
];
const SITES = ["ledger", "collector"];
const TONES: Record<string, Tone> = { differing: "bad", disputed: "bad", missing: "warn", checksum: "bad" };

export function Incidents() {
  const [read, write] = useFilters();
  const filter = {
    kind: read("kind"),
    source: read("source"),
    validator: read("validator"),
    site: read("site"),
  };
  const incidents = useIncidents(filter);
  const sources = useSources();
  const validators = useValidators();
  const filtered = Object.values(filter).some((each) => each !== "");
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
        <Choice
          name="Source"
          value={filter.source}
          options={sources.data?.items.map((each) => each.id) ?? []}
          onChange={(source) => write({ source })}
        />
        <label className="field">
          <span>Validator</span>
          <select
            className="input"
            value={filter.validator}
            onChange={(event) => write({ validator: event.target.value })}
          >
            <option value="">All</option>
            {validators.data?.items.map((each) => (
              <option key={each.address} value={each.address}>
                {each.name || each.address}
              </option>
            ))}
          </select>
        </label>
        <Choice name="Site" value={filter.site} options={SITES} onChange={(site) => write({ site })} />
      </div>
      <Answer of={incidents} what="incidents">
        {({ items }) =>
          items.length === 0 ? (
            <Empty>
              {filtered
                ? "No incident matches these filters."
                : "No incident: everybody agrees, and no feed has broken."}
            </Empty>
          ) : (
            <div className="scroll tall" tabIndex={0} role="region" aria-label="Incidents">
              <table className="table" aria-label="Incidents">
                <thead>
                  <tr>
                    <th scope="col">Age</th>
                    <th scope="col">Kind</th>
                    <th scope="col">Source</th>
                    <th scope="col">Validator</th>
                    <th scope="col">Detail</th>
                    <th scope="col">Seen by</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((each) => (
                    <tr key={each.id}>
                      <td>
                        <When at={each.time} />
                      </td>
                      <td>
                        <Badge tone={TONES[each.kind] ?? "plain"}>{each.kind.replaceAll("_", " ")}</Badge>
                      </td>
                      <td>
                        {each.source ?? "–"}
                        {each.stream ? <span className="quiet"> {each.stream}</span> : null}
                      </td>
                      <td>{each.validator ? <ValidatorLink address={each.validator} /> : "–"}</td>
                      <td className="wrap">{each.detail}</td>
                      <td>
                        {each.height === null ? (
                          each.site
                        ) : (
                          <>
                            {each.site}, <Link to={`/blocks/${each.height}`}>block {each.height}</Link>
                          </>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
            </div>
          )
        }
      </Answer>
    </Card>
  );
}

function Choice({
  name,
  value,
  options,
  onChange,
}: {
  name: string;
  value: string;
  options: string[];
  onChange: (value: string) => void;
}) {
  return (
    <label className="field">
      <span>{name}</span>
      <select className="input" value={value} onChange={(event) => onChange(event.target.value)}>
        <option value="">All</option>
        {options.map((each) => (
          <option key={each} value={each}>
            {each}
          </option>
        ))}
      </select>
    </label>
  );
}
