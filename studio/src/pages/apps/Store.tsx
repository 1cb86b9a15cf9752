import { Link } from "react-router";
import type { TemplateSummary } from "../../api/xnode";
import { useTemplates } from "../../api/xnodeQueries";
import { Badge, Card, Empty, Marked, type Tone } from "../../design";
import { templatesOf } from "../../lib/options";
import { binary } from "../../lib/quantity";
import { useTitle } from "../../lib/title";
import { useFilters } from "../../lib/urlState";
import { Choice } from "../parts";
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
    </div>
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
        <li key={template.name}>
          <Link className="template" to={`/store/${template.name}`}>
            <Icon svg={template.icon} />
            <strong>{template.title}</strong>
            <span>
              <Marked text={template.summary} />
            </span>
            <span className="row">
              <GradeBadge of={template} />
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
