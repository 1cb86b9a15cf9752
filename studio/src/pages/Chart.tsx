/** Charts by lightweight-charts, with its attribution as its licence asks. What is drawn is also said in text around it. */
import {
  CandlestickSeries,
  ColorType,
  createChart,
  HistogramSeries,
  LineSeries,
  type CandlestickData,
  type HistogramData,
  type IChartApi,
  type ISeriesApi,
  type LineData,
  type Time,
  type UTCTimestamp,
} from "lightweight-charts";
import { useEffect, useRef } from "react";
import type { Bar, Picture } from "../lib/result";
import { useColors } from "../shell/theme";

const token = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** Told apart in both themes, also by those who see red and green alike. */
const LINES = {
  light: ["#0b6b58", "#1459c7", "#a34c00", "#7a2f96", "#5c5c00"],
  dark: ["#4fd1a8", "#8ab8ff", "#ffb27a", "#dba3f5", "#d6d36a"],
};

function newChart(element: HTMLElement, seconds: boolean): IChartApi {
  return createChart(element, {
    autoSize: true,
    layout: {
      background: { type: ColorType.Solid, color: token("--surface") },
      textColor: token("--quiet"),
      attributionLogo: true,
      fontFamily: getComputedStyle(document.documentElement).fontFamily,
      panes: { separatorColor: token("--line"), separatorHoverColor: token("--raised"), enableResize: false },
    },
    grid: { vertLines: { color: token("--raised") }, horzLines: { color: token("--raised") } },
    rightPriceScale: { borderColor: token("--line") },
    timeScale: {
      borderColor: token("--line"),
      timeVisible: true,
      secondsVisible: seconds,
      // Else the newest label is cut in two by the price axis.
      rightOffset: 4,
    },
    localization: { locale: "en-GB" },
  });
}

const priceFormat = (digits: number) => ({
  type: "price" as const,
  precision: digits,
  minMove: 10 ** -digits,
});

const candleOptions = (digits: number) => ({
  upColor: token("--bid"),
  downColor: token("--ask"),
  wickUpColor: token("--bid"),
  wickDownColor: token("--ask"),
  borderVisible: false,
  priceFormat: priceFormat(digits),
});

const asCandle = ({ time, open, high, low, close }: Bar): CandlestickData => ({
  time: time as UTCTimestamp,
  open,
  high,
  low,
  close,
});

const asVolume = ({ time, open, close, volume }: Traded): HistogramData => ({
  time: time as UTCTimestamp,
  value: volume,
  color: token(close < open ? "--ask-bar" : "--bid-bar"),
});

/** A candle with what was traded in it. */
export type Traded = Bar & { volume: number };

/** Candles over their volumes, that change while one looks: the view stays where the reader has put it. */
export function CandleChart({
  bars,
  digits,
  seconds,
  label,
}: {
  bars: Traded[];
  digits: number;
  seconds: boolean;
  label: string;
}) {
  const element = useRef<HTMLDivElement>(null);
  const series = useRef<{ candles: ISeriesApi<"Candlestick">; volumes: ISeriesApi<"Histogram"> } | null>(
    null,
  );
  const colors = useColors();
  const latest = useRef(bars);
  useEffect(() => {
    if (!element.current) return;
    const chart = newChart(element.current, seconds);
    const volumes = chart.addSeries(HistogramSeries, {
      priceScaleId: "volume",
      priceFormat: { type: "volume" },
      lastValueVisible: false,
      priceLineVisible: false,
    });
    chart.priceScale("volume").applyOptions({ scaleMargins: { top: 0.84, bottom: 0 } });
    const candles = chart.addSeries(CandlestickSeries, candleOptions(digits));
    candles.priceScale().applyOptions({ scaleMargins: { top: 0.06, bottom: 0.2 } });
    volumes.setData(latest.current.map(asVolume));
    candles.setData(latest.current.map(asCandle));
    series.current = { candles, volumes };
    return () => {
      series.current = null;
      chart.remove();
    };
  }, [colors, digits, seconds]);
  useEffect(() => {
    latest.current = bars;
    series.current?.candles.setData(bars.map(asCandle));
    series.current?.volumes.setData(bars.map(asVolume));
  }, [bars]);
  return <div ref={element} className="chart" role="img" aria-label={label} />;
}

/** Height of each of several pictures above one another. */
const PANE_PIXELS = 190;

/** A moment under the pointer, to the millisecond, in UTC as everywhere. */
const fineTime = (time: Time): string =>
  typeof time === "number"
    ? new Date(Math.floor(Math.round(time * 1e6) / 1e3))
        .toISOString()
        .replace("T", " ")
        .replace("Z", "")
        .replace(".000", "")
    : String(time);

/** A result's picture, drawn once. */
export function ResultChart({ picture, label }: { picture: Picture; label: string }) {
  const element = useRef<HTMLDivElement>(null);
  const colors = useColors();
  useEffect(() => {
    if (!element.current) return;
    const chart = newChart(element.current, true);
    chart.applyOptions({
      // A result's ten thousand points fit into one view: what is beyond its edge would be left out without a word.
      timeScale: { minBarSpacing: 0.01 },
      localization: { timeFormatter: fineTime },
    });
    if (picture.kind === "candles") {
      chart.addSeries(CandlestickSeries, candleOptions(picture.digits)).setData(picture.bars.map(asCandle));
    } else {
      picture.series.forEach((each, at) => {
        const color = LINES[colors][at % LINES[colors].length] ?? token("--accent");
        const line = chart.addSeries(
          LineSeries,
          { color, lineWidth: 2, title: each.name, priceFormat: priceFormat(each.digits) },
          each.pane,
        );
        line.setData(each.points.map((point): LineData => ({ ...point, time: point.time as UTCTimestamp })));
      });
    }
    chart.timeScale().fitContent();
    return () => chart.remove();
  }, [picture, colors]);
  const panes = picture.kind === "line" ? Math.max(...picture.series.map(({ pane }) => pane)) + 1 : 1;
  return (
    <div
      ref={element}
      className="chart"
      role="img"
      aria-label={label}
      style={panes > 1 ? { height: panes * PANE_PIXELS } : undefined}
    />
  );
}
