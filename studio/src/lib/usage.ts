/** Use of an application as pictures and figures. */
import type { UsagePoint } from "../api/xnode";
import { instant } from "./format";

/** Spans that can be looked at, in seconds. */
export const SPANS = { "1h": 3_600, "6h": 21_600, "1d": 86_400, "7d": 604_800, "30d": 2_592_000 } as const;
export type SpanWord = keyof typeof SPANS;
export const SPAN_WORDS = Object.keys(SPANS) as SpanWord[];

/** Size of a picture in its own units; it is stretched to its place. */
export const WIDTH = 1_000;
export const HEIGHT = 100;

export interface Sample {
  /** Milliseconds since 1970. */
  at: number;
  value: number;
}

/** One figure of the points. */
export const samplesOf = (points: readonly UsagePoint[], of: (point: UsagePoint) => number): Sample[] =>
  points.flatMap((point) => {
    const at = instant(point.at);
    return at === null ? [] : [{ at, value: of(point) }];
  });

export interface Plot {
  from: number;
  to: number;
  stepMs: number;
  /** Value at the upper edge. */
  top: number;
}

/**
 * A line through the samples. Where it was not looked at, or nothing ran, there is no line: a gap is a gap. Each sample
 * stands at the middle of its step; one alone is a short line.
 */
export function lineOf(samples: readonly Sample[], { from, to, stepMs, top }: Plot): string {
  const span = Math.max(1, to - from);
  const x = (at: number) => round(((at - from) / span) * WIDTH);
  const y = (value: number) =>
    round(HEIGHT - (top <= 0 ? 0 : Math.min(1, Math.max(0, value / top))) * HEIGHT);
  let path = "";
  let last: number | null = null;
  samples.forEach(({ at, value }, place) => {
    const middle = at + stepMs / 2;
    const isNext = last !== null && at - last <= stepMs * 1.5;
    const follows = samples[place + 1];
    const isAlone = !isNext && (follows === undefined || follows.at - at > stepMs * 1.5);
    if (isAlone) path += `M${x(at)} ${y(value)}L${x(at + stepMs)} ${y(value)}`;
    else path += `${isNext ? "L" : "M"}${x(middle)} ${y(value)}`;
    last = at;
  });
  return path;
}

const round = (value: number) => Math.round(value * 10) / 10;

/** The upper edge of a picture: the limit where there is one and it is not far away, else a little above the highest. */
export function topOf(highest: number, limit: number): number {
  if (limit > 0 && highest >= limit / 4) return Math.max(limit, highest);
  return highest <= 0 ? 1 : highest * 1.1;
}

export const highestOf = (samples: readonly Sample[]): number =>
  samples.reduce((most, { value }) => Math.max(most, value), 0);

/** The highest of the newest values. An instance that ended before the newest step has none: it is no more. */
export function newestOf(all: readonly (readonly Sample[])[], stepMs: number): number {
  const last = all.flatMap((samples) => samples.slice(-1));
  const newest = Math.max(...last.map(({ at }) => at));
  return highestOf(last.filter(({ at }) => newest - at <= stepMs));
}

/** Bits a second in words. */
export function bits(perSecond: number): string {
  if (perSecond < 1_000) return `${Math.round(perSecond)} bit/s`;
  if (perSecond < 1_000_000) return `${(perSecond / 1_000).toFixed(1)} kbit/s`;
  if (perSecond < 1_000_000_000) return `${(perSecond / 1_000_000).toFixed(1)} Mbit/s`;
  return `${(perSecond / 1_000_000_000).toFixed(2)} Gbit/s`;
}
