import { useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";
import { Link, useParams } from "react-router";
import { stream } from "../../api/live";
import { candlesKey, tradesKey, useCandles, useChunks, useSources, useTrades } from "../../api/queries";
import type { CandleList, CandleView, Listing, TradeView } from "../../api/types";
import { Card, Empty, Notice } from "../../design";
import { digitsThatMatter, fractionDigits, padded } from "../../lib/decimals";
import { INTERVALS, secondsOf, withTrade, type Interval } from "../../lib/candles";
import { clock, count, decimal, instant } from "../../lib/format";
import { useNow } from "../../lib/now";
import { useTitle } from "../../lib/title";
import { after, type LiveTrade } from "../../lib/trades";
import { oneOf, useFilters } from "../../lib/urlState";
import { CandleChart } from "../Chart";
import { Answer, At, ChunkTable } from "../parts";
import { BookCard } from "./BookCard";
import { SourceState } from "./Sources";

/** Trades in the list. */
const TRADES_MAX = 40;
/** Trades remembered to find those that a list of the node has not counted yet. */
const RECENT_MAX = 2_000;
/** Trades are put into the lists this often, not one by one. */
const BATCH_MS = 250;

export function Instrument() {
  const { exchange = "", symbol = "" } = useParams();
  useTitle(`${symbol}, ${exchange}`);
  const [read, write] = useFilters();
  const interval = oneOf(read("interval"), INTERVALS, "1m");
  const sources = useSources();
  const source = sources.data?.items.find(
    (each) => each.kind === "market" && each.exchange === exchange && each.symbols.includes(symbol),
  );
  useLiveTrades(exchange, symbol, interval, source !== undefined);
  const unknown = sources.data && !source;
  return (
    <div className="stack">
      <p className="flat">
        <Link to="/data">Data</Link>
      </p>
      <div className="row">
        <h1>{symbol}</h1>
        {source ? (
          <Link to={`/sources/${encodeURIComponent(source.id)}`}>{exchange}</Link>
        ) : (
          <span className="quiet">{exchange}</span>
        )}
        {source ? <SourceState source={source} /> : null}
      </div>
      {unknown ? (
        <Notice title={`${symbol} of ${exchange} is not collected by this network`}>
          <Link to="/data">See what is.</Link>
        </Notice>
      ) : (
        <>
          <div className="instrument">
            <BookCard key={`${exchange} ${symbol}`} exchange={exchange} symbol={symbol} source={source} />
            <Candles
              exchange={exchange}
              symbol={symbol}
              interval={interval}
              onInterval={(next) => write({ interval: next })}
            />
            <Trades exchange={exchange} symbol={symbol} />
          </div>
          {source ? <Windows source={source.id} symbol={symbol} /> : null}
        </>
      )}
    </div>
  );
}

/** Puts the stream's trades into the lists of trades and candles. */
function useLiveTrades(exchange: string, symbol: string, interval: Interval, known: boolean): void {
  const client = useQueryClient();
  useEffect(() => {
    if (!known) return;
    let waiting: LiveTrade[] = [];
    let recent: LiveTrade[] = [];
    // The lists as they were left here: another one is the node's, which has counted some of the recent trades already.
    const left: { trades?: Listing<TradeView> | undefined; candles?: CandleList | undefined } = {};
    const stop = stream.subscribe({ feed: "trades", exchange, symbol }, (message) => {
      if ("op" in message || message.type !== "trade") return;
      const at = instant(message.ts_exchange ?? message.ts_capture) ?? Date.now();
      const { side, price, size, id } = message;
      waiting.push({ at, time: new Date(at).toISOString(), side, price, size, id: id ?? null });
    });
    const timer = setInterval(() => {
      const batch = waiting;
      waiting = [];
      recent = [...recent, ...batch].slice(-RECENT_MAX);
      const trades = tradesKey(exchange, symbol);
      client.setQueryData<Listing<TradeView>>(trades, (list) => {
        if (!list) return list;
        const fresh = list === left.trades || !list.items[0] ? batch : after(recent, list.items[0]);
        if (fresh.length === 0) return list;
        return { ...list, items: [...fresh.toReversed(), ...list.items].slice(0, TRADES_MAX) };
      });
      left.trades = client.getQueryData(trades);
      const candles = candlesKey(exchange, symbol, interval);
      client.setQueryData<CandleList>(candles, (list) => {
        if (!list) return list;
        const fresh = list === left.candles || !list.last_trade ? batch : after(recent, list.last_trade);
        if (fresh.length === 0) return list;
        const items = fresh.reduce((all, trade) => withTrade(all, trade, secondsOf(interval)), list.items);
        return { ...list, items };
      });
      left.candles = client.getQueryData(candles);
    }, BATCH_MS);
    return () => {
      stop();
      clearInterval(timer);
    };
  }, [client, exchange, symbol, interval, known]);
}

function Candles({
  exchange,
  symbol,
  interval,
  onInterval,
}: {
  exchange: string;
  symbol: string;
  interval: Interval;
  onInterval: (interval: Interval) => void;
}) {
  const candles = useCandles(exchange, symbol, interval);
  const items = candles.data?.items;
  const bars = useMemo(() => barsOf(items ?? []), [items]);
  const last = items?.at(-1);
  const digits = Math.max(...(items ?? []).slice(-20).map((each) => fractionDigits(each.close)), 0);
  return (
    <Card
      title="Price"
      actions={
        <div role="group" aria-label="Interval" className="row tight">
          {INTERVALS.map((each) => (
            <button
              key={each}
              type="button"
              className="button small"
              aria-pressed={each === interval}
              onClick={() => onInterval(each)}
            >
              {each}
            </button>
          ))}
        </div>
      }
      flush
    >
      <Answer of={candles} what="candles">
        {() =>
          bars.length === 0 || !last ? (
            <Empty>No trade yet. The first candle comes with the first trade.</Empty>
          ) : (
            <>
              <p className="row pad flat ohlc" aria-label="Last candle">
                <span>
                  <At at={last.start} />
                </span>
                {(["open", "high", "low", "close", "volume"] as const).map((each) => (
                  <span key={each}>
                    <abbr className="quiet" title={each}>
                      {each === "volume" ? "Vol" : each[0]?.toUpperCase()}
                    </abbr>{" "}
                    {decimal(padded(last[each], digitsThatMatter([last[each]])))}
                  </span>
                ))}
                <span>
                  <span className="quiet">trades</span> {count(last.trades)}
                </span>
              </p>
              <CandleChart
                key={`${exchange} ${symbol} ${interval}`}
                bars={bars}
                digits={digits}
                seconds={secondsOf(interval) < 60}
                label={`${bars.length} candles of ${symbol} at ${exchange}, ${interval} each; the last closes at ${last.close}`}
              />
            </>
          )
        }
      </Answer>
    </Card>
  );
}

function barsOf(items: CandleView[]) {
  const byTime = new Map(
    items.flatMap((each) => {
      const start = instant(each.start);
      if (start === null) return [];
      const time = Math.floor(start / 1_000);
      const bar = {
        time,
        open: Number(each.open),
        high: Number(each.high),
        low: Number(each.low),
        close: Number(each.close),
        volume: Number(each.volume),
      };
      return [[time, bar] as const];
    }),
  );
  return [...byTime.values()].sort((a, b) => a.time - b.time);
}

function Trades({ exchange, symbol }: { exchange: string; symbol: string }) {
  const trades = useTrades(exchange, symbol);
  const now = useNow();
  const shown = trades.data?.items ?? [];
  const digits = {
    price: digitsThatMatter(shown.map(({ price }) => price)),
    size: digitsThatMatter(shown.map(({ size }) => size)),
  };
  // Of another day than today the day is said once, above the times.
  const [day = ""] = /^\S+(?= )/.exec(clock(instant(shown[0]?.time) ?? now, now)) ?? [];
  return (
    <Card title="Trades" flush>
      <Answer of={trades} what="trades">
        {({ items }) =>
          items.length === 0 ? (
            <Empty>No trade heard yet.</Empty>
          ) : (
            <div className="scroll ladder-scroll" tabIndex={0} role="region" aria-label="Trades">
              <table className="ladder" aria-label="Trades">
                <thead>
                  <tr>
                    <th scope="col">Price</th>
                    <th scope="col">Size</th>
                    <th scope="col">{day || "Time"}</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map((each, at) => (
                    <tr key={each.id ?? `${each.time} ${at}`}>
                      <td className={each.side === "buy" ? "bid" : "ask"}>
                        <span aria-hidden="true">{each.side === "buy" ? "▲" : "▼"}</span>
                        <span className="visually-hidden">
                          {each.side === "buy" ? "bought at" : "sold at"}
                        </span>{" "}
                        {decimal(padded(each.price, digits.price))}
                      </td>
                      <td>{decimal(padded(each.size, digits.size))}</td>
                      <td>
                        <At at={each.time} without={day} />
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

function Windows({ source, symbol }: { source: string; symbol: string }) {
  const chunks = useChunks({ source, stream: `${symbol}/` }, 60);
  const label = `Recent windows of ${symbol}`;
  return (
    <Card title="Recent windows on the ledger" flush>
      <Answer of={chunks} what="windows">
        {({ items }) => (
          <ChunkTable
            chunks={items.filter((each) => each.stream.startsWith(`${symbol}/`)).slice(0, 30)}
            label={label}
            source={false}
          />
        )}
      </Answer>
    </Card>
  );
}
