import { useChunks, useSources } from "../../api/queries";
import type { SourceInfo } from "../../api/types";
import { Badge, Card, Empty, Loading } from "../../design";
import { recentWindows, type Agreement, type WindowAgreement } from "../../lib/agreement";
import { count, duration } from "../../lib/format";
import { useFilters } from "../../lib/urlState";
import { Answer, At, ChunkTable, Failure } from "../parts";

/** Windows of each source in the picture. */
const WINDOWS = 30;
/** Chunks fetched of each source: the contract's largest page. */
const CHUNKS = 500;

const WORDS: Record<Agreement, { sign: string; words: string }> = {
  accepted: { sign: "✓", words: "Accepted: a quorum agreed on every stream" },
  partly: { sign: "~", words: "Partly: a stream without quorum, or a validator that differs" },
  disputed: { sign: "✕", words: "Disputed: no stream has a quorum" },
  none: { sign: "·", words: "None: nobody attested the window" },
};

/** Which window is looked at: `kraken:123` in the address. */
function parseCell(text: string): { source: string; window: number } | null {
  const match = /^(.+):(\d+)$/.exec(text);
  return match ? { source: match[1] ?? "", window: Number(match[2]) } : null;
}

export function AgreementCard() {
  const sources = useSources();
  const [read, write] = useFilters();
  const chosen = parseCell(read("window"));
  return (
    <Card title="Agreement" actions={<Legend />} flush>
      <Answer of={sources} what="sources">
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No source is registered on this network.</Empty>
          ) : (
            <>
              <div
                className="scroll newest"
                tabIndex={0}
                role="region"
                aria-label="Agreement by source and window"
              >
                <table className="grid" aria-label="Agreement by source and window">
                  <thead>
                    <tr>
                      <th scope="col">Source</th>
                      <th scope="colgroup" colSpan={WINDOWS}>
                        <span className="axis">
                          <span>older windows</span>
                          <span>newest</span>
                        </span>
                      </th>
                    </tr>
                  </thead>
                  <tbody>
                    {items.map((source) => (
                      <Row
                        key={source.id}
                        source={source}
                        chosen={chosen?.source === source.id ? chosen.window : null}
                        onChoose={(window) =>
                          write({ window: window === null ? null : `${source.id}:${window}` })
                        }
                      />
                    ))}
                  </tbody>
                </table>
              </div>
              {chosen ? (
                <Chosen {...chosen} onClose={() => write({ window: null })} />
              ) : (
                <p className="quiet pad flat">Choose a window to see its chunks and who attested them.</p>
              )}
            </>
          )
        }
      </Answer>
    </Card>
  );
}

function Legend() {
  return (
    <ul className="legend" aria-label="Legend">
      {(Object.keys(WORDS) as Agreement[]).map((each) => (
        <li key={each} title={WORDS[each].words}>
          <span className={`cell ${each}`} aria-hidden="true">
            {WORDS[each].sign}
          </span>
          {each[0]?.toUpperCase()}
          {each.slice(1)}
        </li>
      ))}
    </ul>
  );
}

function describe(source: string, cell: WindowAgreement): string {
  const differing = cell.differing > 0 ? `, ${cell.differing} with differing data` : "";
  return `${source}, window ${cell.window}: ${cell.agreement}, ${cell.accepted} of ${cell.chunks.length} streams agreed${differing}`;
}

function Row({
  source,
  chosen,
  onChoose,
}: {
  source: SourceInfo;
  chosen: number | null;
  onChoose: (window: number | null) => void;
}) {
  const chunks = useChunks({ source: source.id }, CHUNKS);
  const windows = recentWindows(chunks.data?.items ?? [], WINDOWS);
  const padding = WINDOWS - windows.length;
  return (
    <tr>
      <th scope="row">
        {source.id}{" "}
        <span className="quiet">{source.kind === "chain" ? "blocks" : duration(source.window_ms)}</span>{" "}
        {source.stale ? <Badge tone="warn">stale</Badge> : null}
      </th>
      {padding > 0 ? (
        <td colSpan={padding} className="quiet before">
          {windows.length > 0 ? null : chunks.error ? (
            chunks.error.message
          ) : chunks.isPending ? (
            <Loading what="windows" />
          ) : (
            "No window agreed yet"
          )}
        </td>
      ) : null}
      {windows.map((cell) => (
        <td key={cell.window}>
          <button
            type="button"
            className={`cell ${cell.agreement}`}
            aria-label={describe(source.id, cell)}
            title={describe(source.id, cell)}
            aria-pressed={chosen === cell.window}
            onClick={() => onChoose(chosen === cell.window ? null : cell.window)}
          >
            {WORDS[cell.agreement].sign}
          </button>
        </td>
      ))}
    </tr>
  );
}

function Chosen({ source, window, onClose }: { source: string; window: number; onClose: () => void }) {
  const chunks = useChunks({ source }, CHUNKS);
  const own = (chunks.data?.items ?? [])
    .filter((chunk) => chunk.window === window)
    .sort((a, b) => a.stream.localeCompare(b.stream));
  return (
    <section className="chosen" aria-label={`Chunks of ${source}, window ${window}`}>
      <div className="row spread pad">
        <h3>
          {source}, window {count(window)}{" "}
          {own[0]?.window_start ? (
            <span className="quiet">
              <At at={own[0].window_start} /> to <At at={own[0].window_end} />
            </span>
          ) : null}
        </h3>
        <button type="button" className="button small" onClick={onClose}>
          Close
        </button>
      </div>
      {chunks.error && !chunks.data ? (
        <Failure error={chunks.error} what="chunks" />
      ) : own.length === 0 ? (
        <Empty>
          {chunks.isPending
            ? "Loading the window…"
            : "Nobody attested this window, or it is too old for this list: the table ledger_chunks has all."}
        </Empty>
      ) : (
        <ChunkTable chunks={own} label={`Chunks of ${source}, window ${window}`} source={false} />
      )}
    </section>
  );
}
