/** What the explorer's pages ask for, beside the lists that the network's pages have. */
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { get, query } from "./client";
import { stream } from "./live";
import { PAGE_ITEMS } from "./queries";
import type {
  DepositInfo,
  EpochDetail,
  EpochInfo,
  EventInfo,
  IncidentInfo,
  Page,
  ParameterInfo,
  SearchHit,
  StampInfo,
  WindowInfo,
} from "./types";

const part = encodeURIComponent;
/** Items that a live page may grow to until it is fetched again. */
const ITEMS_MAX = PAGE_ITEMS * 4;

export interface StampFilter {
  hash: string;
  topic: string;
  account: string;
}

/** A list with a new item in front, each once by its name. */
export function inFront<T>(items: readonly T[], item: T, nameOf: (item: T) => string): T[] {
  return [item, ...items.filter((each) => nameOf(each) !== nameOf(item))].slice(0, ITEMS_MAX);
}

export const nameOfStamp = ({ height, number }: StampInfo) => `${height}-${number}`;

/** Stamps, newest first; of one hash by topic and account. The newest page is kept new by the stream. */
export function useStamps(filter: StampFilter, cursor: string) {
  const client = useQueryClient();
  const { hash, topic, account } = filter;
  const isNewest = cursor === "" && hash === "";
  useEffect(() => {
    if (!isNewest) return;
    const wanted = {
      feed: "stamps" as const,
      ...(topic ? { stamp_topic: topic } : {}),
      ...(account ? { account } : {}),
    };
    return stream.subscribe(wanted, (message) => {
      if (!("op" in message) || message.op !== "stamp") return;
      const { stamp } = message;
      client.setQueryData<Page<StampInfo>>(
        ["stamps", { hash, topic, account }, ""],
        (page) => page && { ...page, items: inFront(page.items, stamp, nameOfStamp) },
      );
    });
  }, [client, isNewest, hash, topic, account]);
  return useQuery({
    queryKey: ["stamps", { hash, topic, account }, cursor],
    queryFn: ({ signal }) =>
      get<Page<StampInfo>>(`/v1/stamps${query({ ...filter, cursor, limit: PAGE_ITEMS })}`, signal),
    refetchInterval: cursor ? false : 10_000,
    placeholderData: keepPreviousData,
  });
}

export interface EventFilter {
  kind: string;
  source: string;
  account: string;
  validator: string;
}

/** Events of the ledger, newest first. The newest page is kept new by the stream. */
export function useEvents(filter: EventFilter, cursor: string) {
  const client = useQueryClient();
  const { kind, source, account, validator } = filter;
  useEffect(() => {
    if (cursor !== "") return;
    const wanted = {
      feed: "events" as const,
      ...(kind ? { kind } : {}),
      ...(account ? { account } : {}),
      ...(validator ? { validator } : {}),
    };
    return stream.subscribe(wanted, (message) => {
      if (!("op" in message) || message.op !== "event") return;
      const { event } = message;
      // The stream knows exchanges, this list one source.
      if (source && event.source !== source) return;
      client.setQueryData<Page<EventInfo>>(
        ["events", { kind, source, account, validator }, ""],
        (page) => page && { ...page, items: inFront(page.items, event, ({ id }) => id) },
      );
    });
  }, [client, cursor, kind, source, account, validator]);
  return useQuery({
    queryKey: ["events", { kind, source, account, validator }, cursor],
    queryFn: ({ signal }) =>
      get<Page<EventInfo>>(`/v1/events${query({ ...filter, cursor, limit: PAGE_ITEMS })}`, signal),
    refetchInterval: cursor ? false : 15_000,
    placeholderData: keepPreviousData,
  });
}

/** Events of one block, which do not change. */
export const useBlockEvents = (height: string, cursor: string) =>
  useQuery({
    queryKey: ["block-events", height, cursor],
    queryFn: ({ signal }) =>
      get<Page<EventInfo>>(`/v1/events${query({ height, cursor, limit: PAGE_ITEMS })}`, signal),
    staleTime: Infinity,
    enabled: /^\d+$/.test(height),
    placeholderData: keepPreviousData,
  });

/** Deposits that are held, in the order of their records' keys. */
export const useDeposits = (account: string, cursor: string) =>
  useQuery({
    queryKey: ["deposits", account, cursor],
    queryFn: ({ signal }) =>
      get<Page<DepositInfo>>(`/v1/deposits${query({ account, cursor, limit: PAGE_ITEMS })}`, signal),
    refetchInterval: 10_000,
    placeholderData: keepPreviousData,
  });

export const useEpochs = (cursor: string) =>
  useQuery({
    queryKey: ["epochs", cursor],
    queryFn: ({ signal }) =>
      get<Page<EpochInfo>>(`/v1/epochs${query({ cursor, limit: PAGE_ITEMS })}`, signal),
    refetchInterval: cursor ? false : 5_000,
    placeholderData: keepPreviousData,
  });

export const useEpoch = (number: string) =>
  useQuery({
    queryKey: ["epoch", number],
    queryFn: ({ signal }) => get<EpochDetail>(`/v1/epochs/${part(number)}`, signal),
    refetchInterval: ({ state }) => (state.data?.root ? false : 5_000),
  });

export const useParameters = () =>
  useQuery({
    queryKey: ["parameters"],
    queryFn: ({ signal }) => get<ParameterInfo[]>("/v1/parameters", signal),
    refetchInterval: 30_000,
  });

export const useWindow = (source: string, window: string) =>
  useQuery({
    queryKey: ["window", source, window],
    queryFn: ({ signal }) => get<WindowInfo>(`/v1/sources/${part(source)}/windows/${part(window)}`, signal),
    refetchInterval: ({ state }) => (state.data?.closed ? false : 2_000),
  });

export const useIncident = (id: string) =>
  useQuery({
    queryKey: ["incident", id],
    queryFn: ({ signal }) => get<IncidentInfo>(`/v1/incidents/${part(id)}`, signal),
    staleTime: Infinity,
  });

/** What a text may mean. */
export const useSearch = (text: string) =>
  useQuery({
    queryKey: ["search", text],
    queryFn: ({ signal }) => get<SearchHit[]>(`/v1/search${query({ text })}`, signal),
    enabled: text !== "",
    staleTime: 10_000,
  });
