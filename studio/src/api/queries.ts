/** The server cache: one place that knows paths and keys. The stream feeds it; fetching again is the safety net. */
import { keepPreviousData, useQuery, useQueryClient, type QueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { withChunk } from "../lib/agreement";
import { heights } from "../lib/heights";
import { get, query, RequestError } from "./client";
import { stream } from "./live";
import type { Stream } from "./stream";
import type {
  AccountInfo,
  ActionInfo,
  AgreementMatrix,
  BlockDetail,
  BlockSummary,
  BookView,
  CandleList,
  Catalogue,
  ChunkInfo,
  IncidentInfo,
  Listing,
  Page,
  SourceInfo,
  Status,
  SupplyInfo,
  TradeView,
  TransactionDetail,
  TransactionSummary,
  UpgradeInfo,
  ValidatorInfo,
} from "./types";

/** Items of a page of a list, and of the short live lists. */
export const PAGE_ITEMS = 25;
const BLOCKS_MAX = 20;
/** A live page may grow by this factor until it is fetched again: what is pushed out would stand on no page. */
const GROWTH = 4;

/** A transaction that waits is asked for again after so long, should the stream not tell of it. */
const WAITING_MS = 10_000;

const part = encodeURIComponent;

/** What answers here is no node of a network, but an Xnode alone: a node tells its status to everybody. */
export const hasNoNetwork = (error: unknown): boolean =>
  error instanceof RequestError && ([401, 403, 404].includes(error.status) || error.code === "not_json");

export const useStatus = () =>
  useQuery({
    queryKey: ["status"],
    queryFn: async ({ signal }) => {
      const status = await get<Status>("/v1/status", signal);
      heights.heard(status.height, Date.now());
      return status;
    },
    refetchInterval: ({ state }) => (hasNoNetwork(state.error) ? 60_000 : 5_000),
    retry: (failures, error) => failures < 3 && !hasNoNetwork(error),
  });

/** The newest blocks, which the stream keeps new. */
export const useBlocks = () =>
  useQuery({
    queryKey: ["blocks"],
    queryFn: ({ signal }) => get<Page<BlockSummary>>(`/v1/blocks?limit=${BLOCKS_MAX}`, signal),
    refetchInterval: 15_000,
  });

export interface BlockFilter {
  proposer: string;
  transactions: string;
}

export const useBlockPage = (filter: BlockFilter, cursor: string, limit = PAGE_ITEMS) =>
  useQuery({
    queryKey: ["block-page", filter, cursor, limit],
    queryFn: ({ signal }) =>
      get<Page<BlockSummary>>(`/v1/blocks${query({ ...filter, cursor, limit })}`, signal),
    refetchInterval: cursor ? false : 3_000,
    placeholderData: keepPreviousData,
  });

export const useBlock = (height: string) =>
  useQuery({
    queryKey: ["block", height],
    queryFn: ({ signal }) => get<BlockDetail>(`/v1/blocks/${part(height)}`, signal),
    staleTime: Infinity,
  });

export interface TransactionFilter {
  class: string;
  account: string;
  ok: string;
}

export const useTransactions = (filter: TransactionFilter, cursor: string) =>
  useQuery({
    queryKey: ["transactions", filter, cursor],
    queryFn: ({ signal }) =>
      get<Page<TransactionSummary>>(
        `/v1/transactions${query({ ...filter, cursor, limit: PAGE_ITEMS })}`,
        signal,
      ),
    refetchInterval: cursor ? false : 3_000,
    placeholderData: keepPreviousData,
  });

/** A transaction. While it waits for a block the stream tells of its receipt; asking again finds out that it was dropped. */
export function useTransaction(hash: string) {
  const client = useQueryClient();
  const transaction = useQuery({
    queryKey: ["transaction", hash],
    queryFn: ({ signal }) => get<TransactionDetail>(`/v1/transactions/${part(hash)}`, signal),
    refetchInterval: ({ state }) => (typeof state.data?.height === "number" ? false : WAITING_MS),
    enabled: hash !== "",
  });
  const { data } = transaction;
  const sender = data && typeof data.height !== "number" ? data.sender : null;
  useEffect(() => {
    if (sender === null) return;
    const stop = stream.subscribe({ feed: "receipts", account: sender }, (message) => {
      if (!("op" in message) || message.op !== "receipt" || message.transaction.hash !== hash) return;
      const { transaction } = message;
      client.setQueryData<TransactionDetail>(
        ["transaction", hash],
        (before) => before && { ...before, ...transaction },
      );
    });
    // It may have come into a block before the subscription began.
    void client.invalidateQueries({ queryKey: ["transaction", hash] });
    return stop;
  }, [client, hash, sender]);
  return transaction;
}

export const useAccount = (address: string) =>
  useQuery({
    queryKey: ["account", address.toLowerCase()],
    queryFn: ({ signal }) => get<AccountInfo>(`/v1/accounts/${part(address)}`, signal),
    refetchInterval: 3_000,
    enabled: address !== "",
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

export const useSource = (id: string) =>
  useQuery({
    queryKey: ["source", id],
    queryFn: ({ signal }) => get<SourceInfo>(`/v1/sources/${part(id)}`, signal),
    refetchInterval: 3_000,
  });

/** The last windows of all sources, or those of one before a window. */
export const useAgreement = (windows: number, source = "", before = "") =>
  useQuery({
    queryKey: ["agreement", windows, source, before],
    queryFn: ({ signal }) =>
      get<AgreementMatrix>(`/v1/agreement${query({ windows, source, before })}`, signal),
    refetchInterval: before ? 15_000 : 2_000,
    placeholderData: keepPreviousData,
  });

export interface ChunkFilter {
  source?: string;
  stream?: string;
  attester?: string;
  status?: string;
  from?: number;
  to?: number;
}

export const useChunks = (filter: ChunkFilter, limit: number, cursor = "") =>
  useQuery({
    queryKey: ["chunks", filter, limit, cursor],
    queryFn: ({ signal }) => get<Page<ChunkInfo>>(`/v1/chunks${query({ ...filter, limit, cursor })}`, signal),
    refetchInterval: cursor ? false : 10_000,
    placeholderData: keepPreviousData,
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

export const useIncidents = (filter: IncidentFilter, cursor: string) =>
  useQuery({
    queryKey: ["incidents", filter, cursor],
    queryFn: ({ signal }) =>
      get<Page<IncidentInfo>>(`/v1/incidents${query({ ...filter, cursor, limit: PAGE_ITEMS })}`, signal),
    refetchInterval: cursor ? false : 10_000,
    placeholderData: keepPreviousData,
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
      get<CandleList>(
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

/** The rules in force and the plans; the stream tells when something happens to one. */
export const useUpgrades = () =>
  useQuery({
    queryKey: ["upgrades"],
    queryFn: ({ signal }) => get<UpgradeInfo>("/v1/upgrade", signal),
    refetchInterval: 15_000,
  });

/** The actions that the ledger declares, from which their forms are made. */
export const useActions = () =>
  useQuery({
    queryKey: ["actions"],
    queryFn: ({ signal }) => get<ActionInfo[]>("/v1/actions", signal),
    staleTime: 60_000,
  });

/** The whole supply by its places, with every pool. */
export const useSupply = () =>
  useQuery({
    queryKey: ["supply"],
    queryFn: ({ signal }) => get<SupplyInfo>("/v1/supply", signal),
    refetchInterval: 10_000,
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

const wantsChunk = (filter: ChunkFilter, chunk: ChunkInfo) =>
  (!filter.source || filter.source === chunk.source) &&
  (!filter.stream || chunk.stream.includes(filter.stream)) &&
  (!filter.status || filter.status === chunk.status) &&
  (filter.from === undefined || chunk.window >= filter.from) &&
  (filter.to === undefined || chunk.window <= filter.to) &&
  (!filter.attester || chunk.attesters.some((each) => each.toLowerCase() === filter.attester?.toLowerCase()));

/** Puts the network's news into the cache. Returns how to stop. */
export function feed(client: QueryClient, stream: Stream): () => void {
  const stops = [
    stream.subscribe({ feed: "status" }, (message) => {
      if (!("op" in message) || message.op !== "status") return;
      heights.heard(message.status.height, Date.now());
      client.setQueryData(["status"], message.status);
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
        // What is behind a cursor is past, and stays as it was.
        if (!page || key[3] !== "" || typeof key[2] !== "number") continue;
        if (wantsChunk(key[1] as ChunkFilter, chunk))
          client.setQueryData(key, { ...page, items: withChunk(page.items, chunk, key[2] * GROWTH) });
      }
    }),
    stream.subscribe({ feed: "incidents" }, (message) => {
      if (!("op" in message) || message.op !== "incident") return;
      const { incident } = message;
      for (const [key, page] of client.getQueriesData<Page<IncidentInfo>>({ queryKey: ["incidents"] })) {
        if (!page || key[2] !== "" || !matches(key[1] as IncidentFilter, incident)) continue;
        const others = page.items.filter((each) => each.id !== incident.id);
        client.setQueryData(key, { ...page, items: [incident, ...others].slice(0, PAGE_ITEMS * GROWTH) });
      }
    }),
    stream.subscribe({ feed: "upgrades" }, (message) => {
      if (!("op" in message) || message.op !== "upgrade") return;
      void client.invalidateQueries({ queryKey: ["upgrades"] });
      if (message.news.kind !== "upgraded") return;
      // Other rules may have other actions and parameters.
      for (const name of ["actions", "parameters"]) void client.invalidateQueries({ queryKey: [name] });
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
