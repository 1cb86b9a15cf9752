import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { stream } from "../../api/live";
import { bookQuery } from "../../api/queries";
import type { MarketEvent, StreamMessage } from "../../api/types";
import { applyBookEvent, bookOf, type Book } from "../../lib/book";

/** A venue sends hundreds of changes each second; the eye needs no more than this. */
const DRAW_MS = 200;
/** Without a snapshot from the stream for so long, the node is asked why. */
const SNAPSHOT_MS_MAX = 3_000;

export interface LiveBook {
  book: Book | null;
  /** When the last change arrived here. */
  heard: number | null;
  /** Messages that were left out because this page read too slowly. */
  dropped: number;
  /** Why nothing changes, until something does again. */
  trouble: string | null;
  /** Why there is none, in the node's words. */
  error: Error | null;
}

const NOTHING = {
  book: null as Book | null,
  heard: null as number | null,
  dropped: 0,
  trouble: null as string | null,
};

/** What a message says about why a book stands still; `null` where it says that it moves. */
function troubleOf(message: StreamMessage | MarketEvent): string | null {
  if ("op" in message) {
    if (message.op === "ended") return message.reason;
    return message.op === "stale" ? `${message.exchange} is silent` : null;
  }
  return message.type === "incident" ? `${message.kind}: ${message.detail}` : null;
}

/** The order book of an instrument, kept from the stream's snapshot and deltas. Give the component a key by instrument. */
export function useBook(exchange: string, symbol: string): LiveBook {
  const [shown, setShown] = useState(NOTHING);
  const [late, setLate] = useState(false);
  useEffect(() => {
    let current = NOTHING;
    let changed = false;
    const stop = stream.subscribe({ feed: "book", exchange, symbol }, (message) => {
      const trouble = troubleOf(message);
      if ("op" in message) {
        if (message.op === "dropped") current = { ...current, dropped: current.dropped + message.messages };
        else current = { ...current, trouble };
      } else if (trouble !== null) {
        current = { ...current, trouble };
      } else {
        current = { ...current, book: applyBookEvent(current.book, message), heard: Date.now(), trouble };
      }
      changed = true;
    });
    const drawing = setInterval(() => {
      if (!changed) return;
      changed = false;
      setShown(current);
    }, DRAW_MS);
    const waiting = setTimeout(() => setLate(true), SNAPSHOT_MS_MAX);
    return () => {
      stop();
      clearInterval(drawing);
      clearTimeout(waiting);
    };
  }, [exchange, symbol]);
  const missing = late && shown.book === null;
  const asked = useQuery({
    ...bookQuery(exchange, symbol),
    enabled: missing,
    refetchInterval: 5_000,
    retry: false,
  });
  const fallback = missing && asked.data ? bookOf(asked.data.bids, asked.data.asks) : null;
  return {
    book: shown.book ?? fallback,
    heard: shown.heard ?? (fallback && asked.data ? asked.dataUpdatedAt - asked.data.age_ms : null),
    dropped: shown.dropped,
    trouble: shown.trouble,
    error: missing ? asked.error : null,
  };
}
