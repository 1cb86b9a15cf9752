import { useAgreement, useChunks, useSources } from "../../api/queries";
import type { AgreementMatrix, AgreementRow, SourceInfo } from "../../api/types";
import { Badge, Card, Empty } from "../../design";
import {
  byValidator,
  describe,
  named,
  VOTE_MEANING,
  VOTE_SIGNS,
  WINDOW_MEANING,
  WINDOW_SIGNS,
  type Sign,
} from "../../lib/agreement";
import { count, duration } from "../../lib/format";
import { useRoving } from "../../lib/roving";
import { oneOf, useFilters } from "../../lib/urlState";
import { Link } from "react-router";
import { Answer, At, ChunkTable, Failure, ValidatorLink } from "../parts";

/** Windows of each source in the picture. */
const WINDOWS = 30;
/** Streams of one window: the contract's largest page holds more than any source has. */
const STREAMS = 500;
const VIEWS = ["source", "validator"] as const;

/** Which window is looked at: `kraken:123` in the address. */
function parseCell(text: string): { source: string; window: number } | null {
  const match = /^(.+):(\d+)$/.exec(text);
  return match ? { source: match[1] ?? "", window: Number(match[2]) } : null;
}

/** How far the validators agree: by source, or of one source by validator. With `only`, of that source alone. */
export function AgreementCard({ only }: { only?: string }) {
  const [read, write] = useFilters();
  const matrix = useAgreement(WINDOWS, only);
  const view = oneOf(read("by"), VIEWS, "source");
  const chosen = parseCell(read("window"));
  const choose = (source: string, window: number) =>
    write({
      window: chosen?.source === source && chosen.window === window ? null : `${source}:${window}`,
    });
  return (
    <Card title="Agreement" actions={<Legend view={view} />} flush>
      <Answer of={matrix} what="agreement">
        {(data) => {
          const source = only ?? (read("of") || data.sources[0]?.source || "");
          return data.sources.length === 0 ? (
            <Empty>No source is registered on this network.</Empty>
          ) : (
            <>
              <Views view={view} source={source} matrix={data} only={only} write={write} />
              <div className="scroll newest" tabIndex={0} role="region" aria-label="Agreement">
                {view === "source" ? (
                  <BySource matrix={data} chosen={chosen} onChoose={choose} />
                ) : (
                  <ByValidator matrix={data} source={source} chosen={chosen} onChoose={choose} />
                )}
              </div>
              {chosen && data.sources.some((each) => each.source === chosen.source) ? (
                <Chosen {...chosen} onClose={() => write({ window: null })} />
              ) : (
                <p className="quiet pad flat">
                  Choose a window to see its chunks and who attested them; arrow keys go from one to the next.
                </p>
              )}
            </>
          );
        }}
      </Answer>
    </Card>
  );
}

function Legend({ view }: { view: (typeof VIEWS)[number] }) {
  const signs: [Sign, string][] =
    view === "source"
      ? (["agreed", "partly", "disputed", "uncovered", "missing", "open"] as const).map((each) => [
          WINDOW_SIGNS[each],
          WINDOW_MEANING[each],
        ])
      : (["agreed", "differing", "abstained", "missing", "waiting", "not_assigned"] as const).map((each) => [
          VOTE_SIGNS[each],
          VOTE_MEANING[each],
        ]);
  return (
    <ul className="legend" aria-label="Legend">
      {signs.map(([{ sign, tone, words }, meaning]) => (
        <li key={words} title={meaning}>
          <span className={`cell ${tone}`} aria-hidden="true">
            {sign}
          </span>
          {words}
        </li>
      ))}
    </ul>
  );
}

function Views({
  view,
  source,
  matrix,
  only,
  write,
}: {
  view: (typeof VIEWS)[number];
  source: string;
  matrix: AgreementMatrix;
  only: string | undefined;
  write: (values: Record<string, string | null>) => void;
}) {
  return (
    <div className="row views">
      <div role="group" aria-label="Rows of the picture" className="row tight">
        {VIEWS.map((each) => (
          <button
            key={each}
            type="button"
            className="button small"
            aria-pressed={each === view}
            onClick={() => write({ by: each === "source" ? null : each })}
          >
            By {each}
          </button>
        ))}
      </div>
      {view === "validator" && !only ? (
        <label className="row tight">
          <span className="quiet">of</span>
          <select
            className="input small"
            aria-label="Source of the picture"
            value={source}
            onChange={(event) => write({ of: event.target.value })}
          >
            {matrix.sources.map((each) => (
              <option key={each.source}>{each.source}</option>
            ))}
          </select>
        </label>
      ) : null}
    </div>
  );
}

interface Choosing {
  chosen: { source: string; window: number } | null;
  onChoose: (source: string, window: number) => void;
}

function Head({ first }: { first: string }) {
  return (
    <thead>
      <tr>
        <th scope="col">{first}</th>
        <th scope="colgroup" colSpan={WINDOWS}>
          <span className="axis">
            <span>older windows</span>
            <span>newest</span>
          </span>
        </th>
      </tr>
    </thead>
  );
}

function BySource({ matrix, chosen, onChoose }: { matrix: AgreementMatrix } & Choosing) {
  const sources = useSources();
  const names = matrix.sources.flatMap((row) => row.windows.map((cell) => `${row.source}:${cell.window}`));
  const newest = matrix.sources.find((row) => row.windows.length > 0);
  const roving = useRoving(names, newest && `${newest.source}:${newest.windows.at(-1)?.window ?? ""}`);
  return (
    <table className="grid" aria-label="Agreement by source and window" onKeyDown={roving.onKeyDown}>
      <Head first="Source" />
      <tbody>
        {matrix.sources.map((row) => (
          <tr key={row.source}>
            <th scope="row">
              <Link to={`/sources/${encodeURIComponent(row.source)}`}>{row.source}</Link>{" "}
              <HowNew row={row} source={sources.data?.items.find((each) => each.id === row.source)} />
            </th>
            <Padding row={row} />
            {row.windows.map((cell) => (
              <Cell
                key={cell.window}
                name={`${row.source}:${cell.window}`}
                roving={roving}
                sign={WINDOW_SIGNS[cell.status]}
                label={describe(row.source, cell, row.kind)}
                pressed={chosen?.source === row.source && chosen.window === cell.window}
                onClick={() => onChoose(row.source, cell.window)}
              />
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** A venue is stale when it is silent; a chain is as new as the newest block that was agreed on. */
function HowNew({ row, source }: { row: AgreementRow; source: SourceInfo | undefined }) {
  if (row.kind === "chain")
    return (
      <span className="quiet">
        {typeof source?.last_window === "number" ? `block ${count(source.last_window)}` : "blocks"}
      </span>
    );
  return (
    <>
      <span className="quiet">{duration(row.window_ms)}</span>{" "}
      {source?.stale ? <Badge tone="warn">stale</Badge> : null}
    </>
  );
}

function ByValidator({
  matrix,
  source,
  chosen,
  onChoose,
}: { matrix: AgreementMatrix; source: string } & Choosing) {
  const row = matrix.sources.find((each) => each.source === source);
  const rows = byValidator(matrix, source);
  const names = rows.flatMap(({ address }) => row?.windows.map((cell) => `${address}:${cell.window}`) ?? []);
  const first = rows[0] && `${rows[0].address}:${row?.windows.at(-1)?.window ?? ""}`;
  const roving = useRoving(names, first);
  if (!row) return <Empty>There is no source {source}.</Empty>;
  if (rows.length === 0) return <Empty>No validator has attested a window of {source} yet.</Empty>;
  return (
    <table
      className="grid"
      aria-label={`Agreement by validator and window of ${source}`}
      onKeyDown={roving.onKeyDown}
    >
      <Head first="Validator" />
      <tbody>
        {rows.map(({ address, name, votes }) => (
          <tr key={address}>
            <th scope="row">
              <ValidatorLink address={address} />
            </th>
            <Padding row={row} />
            {votes.map((vote, at) => {
              const window = row.windows[at]?.window ?? 0;
              return (
                <Cell
                  key={window}
                  name={`${address}:${window}`}
                  roving={roving}
                  sign={VOTE_SIGNS[vote]}
                  label={`${name || address}, ${source}, ${named(row.kind, window)}: ${VOTE_SIGNS[vote].words.toLowerCase()}`}
                  pressed={chosen?.source === source && chosen.window === window}
                  onClick={() => onChoose(source, window)}
                />
              );
            })}
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** The newest windows stand at the right also where there are few. */
function Padding({ row }: { row: AgreementRow }) {
  const missing = WINDOWS - row.windows.length;
  return missing > 0 ? (
    <td colSpan={missing} className="quiet before">
      {row.windows.length === 0 ? "No window attested yet" : null}
    </td>
  ) : null;
}

function Cell({
  name,
  roving,
  sign,
  label,
  pressed,
  onClick,
}: {
  name: string;
  roving: ReturnType<typeof useRoving>;
  sign: Sign;
  label: string;
  pressed: boolean;
  onClick: () => void;
}) {
  return (
    <td>
      <button
        type="button"
        className={`cell ${sign.tone}`}
        aria-label={label}
        title={label}
        aria-pressed={pressed}
        data-cell={name}
        tabIndex={roving.tabIndex(name)}
        onFocus={() => roving.onFocus(name)}
        onClick={onClick}
      >
        {sign.sign}
      </button>
    </td>
  );
}

function Chosen({ source, window, onClose }: { source: string; window: number; onClose: () => void }) {
  const chunks = useChunks({ source, from: window, to: window }, STREAMS);
  const own = (chunks.data?.items ?? [])
    .filter((chunk) => chunk.window === window)
    .sort((a, b) => a.stream.localeCompare(b.stream));
  const sources = useSources();
  const kind = sources.data?.items.find((each) => each.id === source)?.kind ?? "market";
  const label = `Chunks of ${source}, ${named(kind, window)}`;
  return (
    <section className="chosen" aria-label={label}>
      <div className="row spread pad">
        <h3>
          {source}, {kind === "chain" ? "block" : "window"} {count(window)}{" "}
          {own[0]?.window_start ? (
            <span className="quiet">
              <At at={own[0].window_start} /> to <At at={own[0].window_end} />
            </span>
          ) : null}
        </h3>
        <span className="row tight">
          <Link className="button small" to={`/sources/${encodeURIComponent(source)}/windows/${window}`}>
            Its page
          </Link>
          <button type="button" className="button small" onClick={onClose}>
            Close
          </button>
        </span>
      </div>
      {chunks.error && !chunks.data ? (
        <Failure error={chunks.error} what="chunks" />
      ) : own.length === 0 ? (
        <Empty>
          {chunks.isPending || chunks.isPlaceholderData
            ? "Loading the window…"
            : `Nobody attested a chunk of this ${kind === "chain" ? "block" : "window"}.`}
        </Empty>
      ) : (
        <ChunkTable chunks={own} label={label} source={false} window={false} />
      )}
    </section>
  );
}
