/** The server cache: one place that knows paths and keys. The stream feeds it; fetching again is the safety net. */
import { useQuery, type QueryClient } from "@tanstack/react-query";
import { withChunk } from "../lib/agreement";
import { get, query } from "./client";
import { Stream } from "./stream";
import type {
  BlockDetail,
  BlockSummary,
  BookView,
  CandleView,
  Catalogue,
  ChunkInfo,
  IncidentInfo,
  Listing,
  Page,
  SourceInfo,
  Status,
  TradeView,
  ValidatorInfo,
} from "./types";

/** Items kept of each live list. */
const BLOCKS_MAX = 20;
const CHUNKS_MAX = 500;
const INCIDENTS_MAX = 100;

const part = encodeURIComponent;

export const useStatus = () =>
  useQuery({
    queryKey: ["status"],
    queryFn: ({ signal }) => get<Status>("/v1/status", signal),
    refetchInterval: 5_000,
  });

export const useBlocks = () =>
  useQuery({
    queryKey: ["blocks"],
    queryFn: ({ signal }) => get<Page<BlockSummary>>(`/v1/blocks?limit=${BLOCKS_MAX}`, signal),
    refetchInterval: 15_000,
  });

export const useBlocksOf = (proposer: string) =>
  useQuery({
    queryKey: ["blocks-of", proposer],
    queryFn: ({ signal }) => get<Page<BlockSummary>>(`/v1/blocks${query({ proposer, limit: 10 })}`, signal),
    refetchInterval: 5_000,
  });

export const useBlock = (height: string) =>
  useQuery({
    queryKey: ["block", height],
    queryFn: ({ signal }) => get<BlockDetail>(`/v1/blocks/${part(height)}`, signal),
    staleTime: Infinity,
  });

export const useValidators = () =>
  useQuery({
    queryKey: ["validators"],
    queryFn: ({ signal }) => get<Page<ValidatorInfo>>("/v1/validators", signal),
    refetchInterval: 3_000,
  });

export const useSources = () =>
  useQuery({
    queryKey: ["sources"],
    queryFn: ({ signal }) => get<Page<SourceInfo>>("/v1/sources", signal),
    refetchInterval: 3_000,
  });

export const useChunks = (filter: { source?: string; stream?: string; attester?: string }, limit: number) =>
  useQuery({
    queryKey: ["chunks", filter, limit],
    queryFn: ({ signal }) => get<Page<ChunkInfo>>(`/v1/chunks${query({ ...filter, limit })}`, signal),
    refetchInterval: 10_000,
  });

export const useChunk = (cid: string) =>
  useQuery({
    queryKey: ["chunk", cid],
    queryFn: ({ signal }) => get<ChunkInfo>(`/v1/chunks/${part(cid)}`, signal),
    refetchInterval: 15_000,
  });

export interface IncidentFilter {
  kind: string;
  source: string;
  validator: string;
  site: string;
}

export const useIncidents = (filter: IncidentFilter) =>
  useQuery({
    queryKey: ["incidents", filter],
    queryFn: ({ signal }) =>
      get<Page<IncidentInfo>>(`/v1/incidents${query({ ...filter, limit: 50 })}`, signal),
    refetchInterval: 10_000,
  });

export const bookQuery = (exchange: string, symbol: string) => ({
  queryKey: ["book", exchange, symbol],
  queryFn: ({ signal }: { signal: AbortSignal }) =>
    get<BookView>(`/v1/books/${part(exchange)}/${part(symbol)}?depth=50`, signal),
});

export const candlesKey = (exchange: string, symbol: string, interval: string) => [
  "candles",
  exchange,
  symbol,
  interval,
];
export const useCandles = (exchange: string, symbol: string, interval: string) =>
  useQuery({
    queryKey: candlesKey(exchange, symbol, interval),
    queryFn: ({ signal }) =>
      get<Listing<CandleView>>(
        `/v1/candles/${part(exchange)}/${part(symbol)}${query({ interval, limit: 300 })}`,
        signal,
      ),
    refetchInterval: 15_000,
  });

export const tradesKey = (exchange: string, symbol: string) => ["trades", exchange, symbol];
export const useTrades = (exchange: string, symbol: string) =>
  useQuery({
    queryKey: tradesKey(exchange, symbol),
    queryFn: ({ signal }) =>
      get<Listing<TradeView>>(`/v1/trades/${part(exchange)}/${part(symbol)}?limit=40`, signal),
    refetchInterval: 30_000,
  });

export const useCatalogue = () =>
  useQuery({
    queryKey: ["catalogue"],
    queryFn: ({ signal }) => get<Catalogue>("/v1/catalogue", signal),
    staleTime: 60_000,
  });

/** Blocks with one more in front, each height once. */
export function withBlock(blocks: BlockSummary[], block: BlockSummary): BlockSummary[] {
  return [block, ...blocks.filter((each) => each.height !== block.height)]
    .sort((a, b) => b.height - a.height)
    .slice(0, BLOCKS_MAX);
}

const matches = (filter: IncidentFilter, incident: IncidentInfo) =>
  (!filter.kind || filter.kind === incident.kind) &&
  (!filter.source || filter.source === incident.source) &&
  (!filter.site || filter.site === incident.site) &&
  (!filter.validator || filter.validator.toLowerCase() === incident.validator?.toLowerCase());

/** Puts the network's news into the cache. Returns how to stop. */
export function feed(client: QueryClient, stream: Stream): () => void {
  const stops = [
    stream.subscribe({ feed: "status" }, (message) => {
      if ("op" in message && message.op === "status") client.setQueryData(["status"], message.status);
    }),
    stream.subscribe({ feed: "blocks" }, (message) => {
      if (!("op" in message) || message.op !== "block") return;
      client.setQueryData<Page<BlockSummary>>(
        ["blocks"],
        (page) => page && { ...page, items: withBlock(page.items, message.block) },
      );
    }),
    stream.subscribe({ feed: "chunks" }, (message) => {
      if (!("op" in message) || message.op !== "chunk") return;
      const { chunk } = message;
      for (const [key, page] of client.getQueriesData<Page<ChunkInfo>>({ queryKey: ["chunks"] })) {
        const filter = key[1] as { source?: string; stream?: string; attester?: string };
        const wanted =
          page &&
          (!filter.source || filter.source === chunk.source) &&
          (!filter.stream || chunk.stream.includes(filter.stream)) &&
          (!filter.attester || chunk.attesters.includes(filter.attester));
        if (wanted) {
          const limit = typeof key[2] === "number" ? key[2] : CHUNKS_MAX;
          client.setQueryData(key, { ...page, items: withChunk(page.items, chunk, limit) });
        }
      }
    }),
    stream.subscribe({ feed: "incidents" }, (message) => {
      if (!("op" in message) || message.op !== "incident") return;
      const { incident } = message;
      for (const [key, page] of client.getQueriesData<Page<IncidentInfo>>({ queryKey: ["incidents"] })) {
        if (!page || !matches(key[1] as IncidentFilter, incident)) continue;
        const others = page.items.filter((each) => each.id !== incident.id);
        client.setQueryData(key, { ...page, items: [incident, ...others].slice(0, INCIDENTS_MAX) });
      }
    }),
    stream.watch((state) => {
      // What was missed while the connection was lost is fetched.
      if (state === "open") void client.invalidateQueries({ refetchType: "active" });
    }),
  ];
  return () => {
    for (const stop of stops) stop();
  };
}
