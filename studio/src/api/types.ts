/** The contract's types (crate `api`). Decimals and integers above 2^53 are strings; times are RFC 3339. */

export type Origin = "live" | "simulated" | "replay";

export interface Page<T> {
  items: T[];
  next: string | null;
}

/** A list with the origin of what is in it. */
export interface Listing<T> {
  origin: Origin;
  items: T[];
}

export interface ApiError {
  code: string;
  message: string;
  hint?: string;
}

export interface Status {
  version: string;
  chain_id: number;
  network: string;
  origin: Origin;
  height: number;
  block_hash: string;
  state_root: string;
  time: string;
  syncing: boolean;
  validators: number;
  peers: number;
  mempool_transactions: number;
  events_per_second: number;
  chunks_accepted: number;
  chunks_disputed: number;
  incidents: number;
  node: { address: string; name: string };
}

export interface BlockSummary {
  height: number;
  hash: string;
  time: string;
  proposer: string;
  transactions: number;
  bytes: number;
  round: number;
  signatures: number;
}

export interface TransactionSummary {
  hash: string;
  height: number | null;
  class: string;
  sender: string;
  action: string;
  fee: string;
  ok: boolean;
  error?: string;
}

export interface BlockDetail extends BlockSummary {
  parent: string;
  state_root: string;
  transactions_root: string;
  validators_hash: string;
  transaction_list: TransactionSummary[];
  certificate: { validator: string; signature: string }[];
}

export interface ValidatorInfo {
  address: string;
  public_key: string;
  name: string;
  power: number;
  share: number;
  proposed: number;
  signed_recent: number;
  recent: number;
  last_signed_height: number | null;
  attested: number;
  differing: number;
  missing: number;
}

export interface IncidentInfo {
  id: string;
  time: string;
  kind: string;
  source: string | null;
  window: number | null;
  stream: string | null;
  validator: string | null;
  detail: string;
  height: number | null;
  site: "ledger" | "collector";
}

export interface SourceInfo {
  id: string;
  exchange: string;
  kind: "market" | "chain";
  origin: Origin;
  symbols: string[];
  feeds: string[];
  window_ms: number;
  assigned: string[];
  epoch: number;
  last_window: number | null;
  last_event_time: string | null;
  silent_ms: number | null;
  stale: boolean;
  events_per_second: number;
  incidents: number;
}

export interface ChunkInfo {
  cid: string | null;
  source: string;
  origin: Origin;
  window: number;
  window_start: string;
  window_end: string;
  stream: string;
  status: "accepted" | "disputed";
  events: number;
  bytes: number;
  height: number;
  attesters: string[];
  differing: string[];
  held: boolean;
}

/** Price and size. */
export type Level = [string, string];

export interface BookView {
  exchange: string;
  symbol: string;
  origin: Origin;
  ts_exchange: string | null;
  age_ms: number;
  stale: boolean;
  bids: Level[];
  asks: Level[];
}

export interface CandleView {
  start: string;
  open: string;
  high: string;
  low: string;
  close: string;
  volume: string;
  trades: number;
}

export interface TradeView {
  time: string;
  side: "buy" | "sell";
  price: string;
  size: string;
  id: string | null;
}

export interface SqlColumn {
  name: string;
  type: string;
  description?: string;
}

export type SqlValue = string | number | boolean | null | SqlValue[] | { [key: string]: SqlValue };

export interface SqlResponse {
  query_id: string;
  origin: Origin;
  columns: SqlColumn[];
  rows: SqlValue[][];
  truncated: boolean;
  elapsed_ms: number;
}

export interface TableInfo {
  name: string;
  description: string;
  columns: SqlColumn[];
  example: string;
}

export interface Catalogue {
  origin: Origin;
  tables: TableInfo[];
}

export interface SessionInfo {
  address: string;
  expires: string;
}

/** A market event as the stream sends it; times are decimal seconds in strings. */
export type MarketEvent = {
  exchange: string;
  symbol: string | null;
  ts_exchange: string | null;
  ts_capture: string;
  origin: Origin;
} & (
  | {
      type: "trade";
      side: "buy" | "sell";
      price: string;
      size: string;
      id: string | null;
      snapshot?: boolean;
    }
  | { type: "book_snapshot" | "book_delta"; bids: Level[]; asks: Level[]; sequence: number | null }
  | {
      type: "ticker";
      bid: string | null;
      bid_size: string | null;
      ask: string | null;
      ask_size: string | null;
      last: string | null;
    }
  | {
      type:
        "candle" | "funding" | "open_interest" | "liquidation" | "mark_price" | "index_price" | "incident";
    }
);

export type StreamMessage =
  | {
      op: "subscribed" | "unsubscribed";
      feed: string;
      exchange: string | null;
      symbol: string | null;
      id: string | null;
    }
  | { op: "error"; code: string; message: string; id: string | null }
  | { op: "pong"; id: string | null }
  | { op: "dropped"; messages: number }
  | { op: "block"; block: BlockSummary }
  | { op: "chunk"; chunk: ChunkInfo }
  | { op: "incident"; incident: IncidentInfo }
  | { op: "status"; status: Status };
