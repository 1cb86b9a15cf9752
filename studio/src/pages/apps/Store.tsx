import { Link } from "react-router";
import type { Catalogue, TemplateSummary } from "../../api/xnode";
import { useMay } from "../../api/xnodeAccess";
import { useCatalogues, useRefreshCatalogue, useTemplates } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Marked, Notice, type Tone } from "../../design";
import { templatesOf } from "../../lib/options";
import { binary } from "../../lib/quantity";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Choice, When } from "../parts";
import { Live } from "./parts";

/** Templates with a form each: what can be deployed without writing a line. */
export function Store() {
  useTitle("Store");
  const templates = useTemplates();
  const [read, write] = useFilters();
  const filter = { text: read("text"), category: read("category") };
  const categories = [...new Set(templates.data?.map(({ category }) => category))].sort();
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/apps">Apps</Link> › Store
      </p>
      <div className="heading">
        <h1>Store</h1>
        <p className="quiet flat">Each has a form, and a mark for what was tried of it.</p>
      </div>
      <Card title="Templates" flush>
        <div className="filters">
          <label className="field grow">
            <span>Search</span>
            <input
              className="input"
              type="search"
              placeholder="Database, web, redis…"
              value={filter.text}
              onChange={(event) => write({ text: event.target.value })}
            />
          </label>
          <Choice
            name="Category"
            value={filter.category}
            options={categories}
            onChange={(category) => write({ category })}
          />
        </div>
        <Live of={templates} what="templates">
          {(all) => <Shelf all={all} shown={templatesOf(all, filter)} />}
        </Live>
      </Card>
      <Catalogues />
    </div>
  );
}

const STATES: Record<Catalogue["state"], { tone: Tone; words: string; title: string }> = {
  current: { tone: "good", words: "current", title: "Its place gave a right index when it was asked last" },
  old: { tone: "warn", words: "old", title: "The copy is in use; its place did not give a right index" },
  expired: {
    tone: "bad",
    words: "ended",
    title: "Its index has ended: nothing new is made of its templates",
  },
  absent: { tone: "bad", words: "not here", title: "There is no copy of it on this machine" },
};

/** Catalogues of other publishers, where the machine's document names any: whose they are, and how old what is shown is. */
function Catalogues() {
  const { data: all = [] } = useCatalogues();
  const refreshing = useRefreshCatalogue();
  const may = useMay("operator");
  if (all.length === 0) return null;
  return (
    <Card title="Catalogues of other publishers">
      <ul className="stack flat" aria-label="Catalogues of other publishers">
        {all.map((each) => (
          <li key={each.name} className="stack">
            <span className="row">
              <strong>{each.name}</strong>
              <Badge tone={STATES[each.state].tone} title={STATES[each.state].title}>
                {STATES[each.state].words}
              </Badge>
              <button
                type="button"
                className="button"
                disabled={refreshing.isPending || may !== undefined}
                title={may ?? `Asks ${each.address}`}
                aria-label={`Fetch ${each.name} now`}
                onClick={() => refreshing.mutate(each.name)}
              >
                {refreshing.isPending && refreshing.variables === each.name ? "Fetching…" : "Fetch now"}
              </button>
            </span>
            <span className="quiet">
              {each.publisher ?? "unknown publisher"} · {each.templates.length} templates · seen{" "}
              <When at={each.checked} /> · key <code title={each.key}>{each.key.slice(0, 16)}…</code>
            </span>
            {each.failure ? (
              <Notice tone="warn" title="It could not be fetched">
                {each.failure.message}
              </Notice>
            ) : null}
            {each.problems.map((problem) => (
              <span key={problem} className="quiet">
                Left out: {problem}
              </span>
            ))}
          </li>
        ))}
      </ul>
    </Card>
  );
}

/** Address of a template's page. */
const pageOf = ({ name, catalogue }: TemplateSummary): string =>
  catalogue === undefined ? `/store/${name}` : `/store/${name}?catalogue=${encodeURIComponent(catalogue)}`;

/** Whose a template is, where it is no part of the program. */
export function Publisher({ of: { catalogue, publisher } }: { of: TemplateSummary }) {
  if (catalogue === undefined) return null;
  return (
    <Badge
      tone="warn"
      title={`Of the catalogue ${catalogue}: its publisher's key signed it, and it is no part of this program`}
    >
      by {publisher ?? catalogue}
    </Badge>
  );
}

function Shelf({ all, shown }: { all: TemplateSummary[]; shown: TemplateSummary[] }) {
  if (shown.length === 0)
    return (
      <Empty>
        {all.length > 0
          ? "No template matches these filters."
          : "This agent has no templates; a document can be pasted."}
      </Empty>
    );
  return (
    <ul className="store" aria-label="Templates">
      {shown.map((template) => (
        <li key={`${template.catalogue ?? ""}/${template.name}`}>
          <Link className="template" to={pageOf(template)}>
            <Icon svg={template.icon} />
            <strong>{template.title}</strong>
            <span>
              <Marked text={template.summary} />
            </span>
            <span className="row">
              <GradeBadge of={template} />
              <Publisher of={template} />
              <span className="quiet">
                {template.category} · {binary(template.memory_bytes)} memory · {binary(template.disk_bytes)}{" "}
                disk
              </span>
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}

/** A picture within the answer; as an image it can run nothing and fetch nothing. */
export function Icon({ svg }: { svg: string }) {
  return <img src={`data:image/svg+xml,${encodeURIComponent(svg)}`} alt="" width={40} height={40} />;
}

const MARKS: Record<TemplateSummary["mark"], { tone: Tone; words: string; title: string }> = {
  full: { tone: "good", words: "✓ tried in full", title: "Every check of this version passed" },
  part: {
    tone: "good",
    words: "✓ tried in part",
    title: "Every check that was tried passed; some were not tried",
  },
  failed: { tone: "bad", words: "✕ a check failed", title: "A check of this version failed" },
  none: { tone: "plain", words: "not graded", title: "This version has no record of a run" },
};

export function GradeBadge({ of: { mark, not_run_here: notRunHere } }: { of: TemplateSummary }) {
  const known: Record<string, (typeof MARKS)["none"] | undefined> = MARKS;
  const found = known[mark] ?? MARKS.none;
  // A run on record says more than what its authors did not do.
  if (notRunHere && found === MARKS.none)
    return (
      <Badge tone="warn" title="Those who wrote it never ran it">
        never run by us
      </Badge>
    );
  return (
    <Badge tone={found.tone} title={found.title}>
      {found.words}
    </Badge>
  );
}
