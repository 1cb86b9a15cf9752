import { useStreamState } from "../../api/live";
import type { SourceInfo } from "../../api/types";
import { Badge, Card, Loading } from "../../design";
import { aligned, depth, spread, type Depth } from "../../lib/book";
import { age, count, decimal } from "../../lib/format";
import { useNow } from "../../lib/now";
import { ageOf, BOOK_STALE_MS } from "../../lib/staleness";
import { Failure } from "../parts";
import { useBook } from "./useBook";

/** Levels of each side. */
const LEVELS = 14;

export function BookCard({
  exchange,
  symbol,
  source,
}: {
  exchange: string;
  symbol: string;
  source: SourceInfo | undefined;
}) {
  const { book, heard, dropped, trouble, error } = useBook(exchange, symbol);
  const now = useNow();
  const state = useStreamState();
  // A book that has just come to this page is as old as its venue's silence.
  const silent = source?.stale ? (source.silent_ms ?? 0) : 0;
  const heardAge = ageOf(heard === null ? null : Math.min(heard, now - silent), now, BOOK_STALE_MS);
  const stale = source?.stale === true || state === "lost" || trouble !== null || heardAge?.stale === true;
  const [bids = [], asks = []] = book
    ? aligned([depth(book.bids, true, LEVELS), depth(book.asks, false, LEVELS)])
    : [];
  const best = { bid: bids[0], ask: asks[0] };
  const largest = Math.max(
    Number(bids.at(-1)?.total ?? 0),
    Number(asks.at(-1)?.total ?? 0),
    Number.MIN_VALUE,
  );
  const gap = best.bid && best.ask ? spread(best.bid.price, best.ask.price) : null;
  return (
    <Card
      title="Order book"
      actions={
        heardAge ? (
          <Badge tone={stale ? "bad" : "good"}>
            {stale ? "stale, " : ""}changed {age(heardAge.ms)}
          </Badge>
        ) : null
      }
      flush
    >
      {book === null ? (
        error ? (
          <Failure error={error} what="the order book" />
        ) : (
          <Loading what="the order book" />
        )
      ) : (
        <div className={stale ? "book old" : "book"} tabIndex={0} role="region" aria-label="Order book">
          <table className="ladder" aria-label="Order book">
            <thead>
              <tr>
                <th scope="col">Price</th>
                <th scope="col">Size</th>
                <th scope="col">Total</th>
              </tr>
            </thead>
            <tbody aria-label="Asks" className="asks">
              {[...asks].reverse().map((level) => (
                <Row key={level.price} level={level} side="ask" largest={largest} />
              ))}
            </tbody>
            <tbody>
              <tr className="spread">
                <td colSpan={3}>
                  {gap ? (
                    <>
                      Spread <strong>{decimal(gap.absolute)}</strong> ({gap.basisPoints.toFixed(2)} basis
                      points)
                    </>
                  ) : (
                    "One side is empty"
                  )}
                </td>
              </tr>
            </tbody>
            <tbody aria-label="Bids" className="bids">
              {bids.map((level) => (
                <Row key={level.price} level={level} side="bid" largest={largest} />
              ))}
            </tbody>
          </table>
          {trouble !== null ? (
            <p className="pad flat" role="status">
              Out of date: {trouble}. The book is shown as it stood, until it is in step again.
            </p>
          ) : null}
          {dropped > 0 ? (
            <p className="quiet pad flat">
              <span role="status">
                Messages were left out because this page read too slowly; the book started anew.
              </span>{" "}
              {count(dropped)} so far.
            </p>
          ) : null}
        </div>
      )}
    </Card>
  );
}

function Row({ level, side, largest }: { level: Depth; side: "bid" | "ask"; largest: number }) {
  const width = `${Math.min(100, (Number(level.total) / largest) * 100).toFixed(1)}%`;
  return (
    <tr
      style={{
        backgroundImage: `linear-gradient(to left, var(--${side}-bar) ${width}, transparent ${width})`,
      }}
    >
      <td className={side}>{decimal(level.price)}</td>
      <td>{decimal(level.size)}</td>
      <td>{decimal(level.total)}</td>
    </tr>
  );
}
