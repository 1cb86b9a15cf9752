import type { Application, Usage as UsageInfo, UsagePoint } from "../../api/xnode";
import { useUsage } from "../../api/xnodeQueries";
import { Card, Empty, Notice } from "../../design";
import { conditionWords } from "../../lib/applications";
import { clock, count, duration, instant } from "../../lib/format";
import { useNow } from "../../lib/now";
import { binary } from "../../lib/quantity";
import { oneOf, useFilters } from "../../lib/urlState";
import {
  bits,
  HEIGHT,
  highestOf,
  lineOf,
  newestOf,
  samplesOf,
  SPAN_WORDS,
  SPANS,
  topOf,
  WIDTH,
} from "../../lib/usage";
import { Live } from "./parts";

interface Figure {
  name: string;
  of: (point: UsagePoint) => number;
  /** What it is held against; 0 without one. */
  limit?: (point: UsagePoint) => number;
  words: (value: number) => string;
}

const percent = (permille: number) => `${(permille / 10).toFixed(1)} %`;

const FIGURES: readonly Figure[] = [
  {
    name: "Processors",
    of: (point) => point.processors_milli,
    words: (milli) => `${(milli / 1_000).toFixed(2)} of one`,
  },
  {
    name: "Memory",
    of: (point) => point.memory_bytes,
    limit: (point) => point.memory_limit_bytes,
    words: binary,
  },
  { name: "Disk", of: (point) => point.disk_used_bytes, limit: (point) => point.disk_bytes, words: binary },
  { name: "Received", of: (point) => point.received_bits, words: bits },
  { name: "Sent", of: (point) => point.sent_bits, words: bits },
  { name: "Processes", of: (point) => point.processes, words: count },
  { name: "Held back by its limit of processors", of: (point) => point.throttled_permille, words: percent },
  { name: "Waited for a processor", of: (point) => point.pressure_cpu_permille, words: percent },
  { name: "Waited for memory", of: (point) => point.pressure_memory_permille, words: percent },
  { name: "Waited for a disk", of: (point) => point.pressure_io_permille, words: percent },
];

export function Usage({ application: { name } }: { application: Application }) {
  const [read, write] = useFilters();
  const span = oneOf(read("span"), SPAN_WORDS, "1h");
  const usage = useUsage(name, SPANS[span]);
  return (
    <>
      <div className="row" role="group" aria-label="Span">
        {SPAN_WORDS.map((word) => (
          <button
            key={word}
            type="button"
            className="button small"
            aria-pressed={word === span}
            onClick={() => write({ span: word === "1h" ? null : word })}
          >
            {word}
          </button>
        ))}
      </div>
      <Live of={usage} what="the use">
        {(info) => <Pictures info={info} name={name} />}
      </Live>
    </>
  );
}

function Pictures({ info, name }: { info: UsageInfo; name: string }) {
  const now = useNow();
  const from = instant(info.from) ?? 0;
  const to = instant(info.to) ?? 0;
  const kills = info.instances
    .flatMap(({ points }) => points)
    .reduce((sum, point) => sum + point.oom_kills, 0);
  const hasPoints = info.instances.some(({ points }) => points.length > 0);
  return (
    <>
      {info.conditions.map(({ kind, index, text }) => (
        <Notice key={`${kind} ${index}`} tone="warn" title={`Instance ${index} is ${conditionWords(kind)}`}>
          {text}
        </Notice>
      ))}
      {kills > 0 ? (
        <Notice
          tone="warn"
          title={`${count(kills)} ${kills === 1 ? "process was" : "processes were"} killed for want of memory`}
        >
          Within the span that is shown.
        </Notice>
      ) : null}
      {hasPoints ? (
        <>
          <div className="sparks">
            {FIGURES.map((figure) => (
              <Picture key={figure.name} figure={figure} info={info} from={from} to={to} application={name} />
            ))}
          </div>
          <p className="quiet flat">
            From {clock(from, now)} to {clock(to, now)}, a point for each {duration(info.step_s * 1_000)}.
            Where there is no line, nothing ran or nobody looked.
            {info.instances.length > 1
              ? " Each instance has its line, and the figures are those of the highest one."
              : ""}
          </p>
        </>
      ) : (
        <Empty>
          Nothing of it was measured in this span. The first figures come some seconds after its start.
        </Empty>
      )}
    </>
  );
}

function Picture({
  figure,
  info,
  from,
  to,
  application,
}: {
  figure: Figure;
  info: UsageInfo;
  from: number;
  to: number;
  application: string;
}) {
  const series = info.instances.map(({ index, points }) => ({
    index,
    samples: samplesOf(points, figure.of),
    points,
  }));
  const highest = Math.max(...series.map(({ samples }) => highestOf(samples)), 0);
  const stepMs = info.step_s * 1_000;
  const last = newestOf(
    series.map(({ samples }) => samples),
    stepMs,
  );
  const { limit: limitOf } = figure;
  const limit = limitOf
    ? Math.max(
        ...series.map(({ points }) => {
          const newest = points.at(-1);
          return newest ? limitOf(newest) : 0;
        }),
        0,
      )
    : 0;
  const plot = { from, to, stepMs, top: topOf(highest, limit) };
  const said = `${figure.words(last)} now, at most ${figure.words(highest)}${limit > 0 ? `, limit ${figure.words(limit)}` : ""}`;
  return (
    <Card title={figure.name}>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${figure.name} of ${application}: ${said}`}
      >
        <line x1={0} x2={WIDTH} y1={HEIGHT} y2={HEIGHT} />
        {limit > 0 && limit <= plot.top ? (
          <line x1={0} x2={WIDTH} y1={HEIGHT * (1 - limit / plot.top)} y2={HEIGHT * (1 - limit / plot.top)} />
        ) : null}
        {series.map(({ index, samples }) => (
          <path key={index} d={lineOf(samples, plot)} />
        ))}
      </svg>
      <p className="quiet flat">{said}</p>
    </Card>
  );
}
