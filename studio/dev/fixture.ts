/**
 * A stand-in for a node, for work on pages without one: the contract's shapes with made-up numbers. Used by
 * `npm run dev:fixture` only; the end-to-end tests run against the real binary.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Plugin } from "vite";
import { WebSocketServer, type WebSocket } from "ws";
import type {
  BlockDetail,
  BlockSummary,
  Catalogue,
  ChunkInfo,
  IncidentInfo,
  Level,
  SourceInfo,
  Status,
} from "../src/api/types";

const hex = (seed: number, bytes: number) =>
  Array.from({ length: bytes }, (_, at) =>
    (((seed + 7) * (at + 11) * 31) % 256).toString(16).padStart(2, "0"),
  ).join("");
const VALIDATORS = ["alder", "birch", "cedar", "dogwood"].map((name, at) => ({
  name,
  address: `0x${hex(at + 1, 20)}`,
}));
const addresses = VALIDATORS.map((each) => each.address);
const SOURCES = ["binance", "coinbase", "kraken", "okx"];
const SYMBOLS = ["BTC.USDT", "ETH.USDT"];
const FEEDS = ["trades", "book", "ticker"];
const WINDOW_MS = 5_000;
const CLOSE_MS = 3_000;
const started = Date.now() - 300_000;
const origin = "simulated" as const;

const height = () => Math.floor((Date.now() - started) / 1_000);
const cid = (n: number) => `bafkrei${hex(n, 26).replace(/[0189]/g, "q")}`;

function block(at: number): BlockSummary {
  return {
    height: at,
    hash: hex(at, 32),
    time: new Date(started + at * 1_000).toISOString(),
    proposer: addresses[at % 4] ?? "",
    transactions: at % 5 === 0 ? 16 : 0,
    bytes: at % 5 === 0 ? 9_340 : 0,
    round: at % 37 === 0 ? 1 : 0,
    signatures: at % 9 === 0 ? 3 : 4,
  };
}

function chunk(source: string, window: number, symbol: string, feed: string): ChunkInfo {
  const at = SOURCES.indexOf(source);
  const differs = (window + at) % 11 === 0 && feed === "trades";
  const disputed = (window + at * 3) % 23 === 0;
  return {
    cid: disputed
      ? null
      : cid(window * 100 + at * 10 + FEEDS.indexOf(feed) + (symbol === "BTC.USDT" ? 0 : 5)),
    source,
    origin,
    window,
    window_start: new Date(window * WINDOW_MS).toISOString(),
    window_end: new Date((window + 1) * WINDOW_MS).toISOString(),
    stream: `${symbol}/${feed}`,
    status: disputed ? "disputed" : "accepted",
    events: disputed ? 0 : 120 + ((window * 7) % 60),
    bytes: disputed ? 0 : 4_200 + ((window * 131) % 900),
    height: Math.max(1, Math.floor(((window + 1) * WINDOW_MS + CLOSE_MS - started) / 1_000)),
    attesters: disputed ? [] : differs ? addresses.slice(0, 3) : addresses,
    differing: differs ? addresses.slice(3) : [],
    held: true,
  };
}

function chunks(parameters: URLSearchParams): ChunkInfo[] {
  const newest = Math.floor((Date.now() - CLOSE_MS) / WINDOW_MS) - 1;
  const all: ChunkInfo[] = [];
  for (let window = newest; window > newest - 25; window -= 1) {
    for (const source of SOURCES) {
      if (source === "okx" && window % 13 === 0) continue;
      for (const symbol of SYMBOLS) for (const feed of FEEDS) all.push(chunk(source, window, symbol, feed));
    }
  }
  const source = parameters.get("source");
  const stream = parameters.get("stream");
  return all
    .filter((each) => !source || each.source === source)
    .filter((each) => !stream || each.stream.includes(stream))
    .slice(0, Number(parameters.get("limit") ?? 50));
}

const incidents = (): IncidentInfo[] =>
  Array.from({ length: 14 }, (_, at) => ({
    id: String(at),
    time: new Date(Date.now() - at * 23_000).toISOString(),
    kind: ["differing", "missing", "gap", "checksum", "disputed"][at % 5] ?? "gap",
    source: SOURCES[at % 4] ?? null,
    window: 100 + at,
    stream: "BTC.USDT/trades",
    validator: at % 5 < 2 ? (addresses[3] ?? null) : null,
    detail:
      at % 5 === 2
        ? "sequence 1204 was expected, 1209 came; the book resynchronises"
        : "another CID than agreed",
    height: at % 5 === 2 || at % 5 === 3 ? null : height() - at,
    site: at % 5 === 2 || at % 5 === 3 ? "collector" : "ledger",
  }));

const price = (at: number) => 61_250 + Math.sin(at / 90_000) * 180 + Math.sin(at / 7_000) * 22;

const levels = (side: 1 | -1, count: number): Level[] =>
  Array.from({ length: count }, (_, at) => [
    (Math.round(price(Date.now()) * 2) / 2 + side * (at * 0.5 + 0.25)).toFixed(2),
    (0.1 + ((at * 37) % 19) / 10).toFixed(4),
  ]);

function status(): Status {
  return {
    version: "0.1.0",
    chain_id: 84202,
    network: "openmesh-local",
    origin,
    height: height(),
    block_hash: hex(height(), 32),
    state_root: hex(height() + 1, 32),
    time: block(height()).time,
    syncing: false,
    validators: 4,
    peers: 3,
    mempool_transactions: 2,
    events_per_second: 118.4,
    chunks_accepted: 1_422,
    chunks_disputed: 18,
    incidents: 14,
    node: { address: addresses[0] ?? "", name: "alder" },
  };
}

const sources = (): SourceInfo[] =>
  SOURCES.map((id, at) => ({
    id,
    exchange: id,
    kind: "market",
    origin,
    symbols: SYMBOLS,
    feeds: FEEDS,
    window_ms: WINDOW_MS,
    assigned: addresses,
    epoch: 3,
    last_window: 1,
    last_event_time: new Date(Date.now() - (id === "okx" ? 48_000 : 300)).toISOString(),
    silent_ms: id === "okx" ? 48_000 : 120,
    stale: id === "okx",
    events_per_second: 28.6 + at,
    incidents: at,
  }));

function blockDetail(at: number): BlockDetail {
  return {
    ...block(at),
    parent: hex(at - 1, 32),
    state_root: hex(at + 3, 32),
    transactions_root: hex(at + 4, 32),
    validators_hash: hex(9, 32),
    transaction_list: addresses.map((sender, n) => ({
      hash: hex(at + n, 32),
      height: at,
      class: "attestation",
      sender,
      action: "attest 6 chunks of kraken, window 351",
      fee: "0",
      ok: n !== 3,
      ...(n === 3 ? { error: "not assigned" } : {}),
    })),
    certificate: addresses.map((validator, n) => ({ validator, signature: hex(n, 64) })),
  };
}

const catalogue: Catalogue = {
  origin,
  tables: ["trades", "book", "ledger_chunks"].map((name) => ({
    name,
    description: `Agreed ${name} of every venue.`,
    columns: [
      { name: "exchange", type: "TEXT" },
      { name: "symbol", type: "TEXT" },
      { name: "ts_exchange", type: "TIMESTAMP" },
      { name: "price", type: "DECIMAL(38,18)" },
    ],
    example: `select * from ${name} limit 20`,
  })),
};

function candles(parameters: URLSearchParams) {
  const interval = parameters.get("interval") ?? "1m";
  const ms =
    { "1s": 1e3, "5s": 5e3, "15s": 15e3, "1m": 6e4, "5m": 3e5, "15m": 9e5, "1h": 36e5, "1d": 864e5 }[
      interval
    ] ?? 6e4;
  const now = Math.floor(Date.now() / ms) * ms;
  return Array.from({ length: 120 }, (_, at) => {
    const start = now - (119 - at) * ms;
    const [open, close] = [price(start), price(start + ms)];
    return {
      start: new Date(start).toISOString(),
      open: open.toFixed(2),
      high: (Math.max(open, close) + 6).toFixed(2),
      low: (Math.min(open, close) - 5).toFixed(2),
      close: close.toFixed(2),
      volume: "12.5",
      trades: 42,
    };
  });
}

function sql(body: string): { code: number; answer: unknown } {
  const query = (JSON.parse(body) as { sql: string }).sql;
  if (/wrong/.test(query)) {
    const error = { code: "unknown_table", message: "there is no table wrong", hint: "did you mean trades?" };
    return { code: 400, answer: { error } };
  }
  const rows = candles(new URLSearchParams()).map((each, at) => [
    each.start,
    SYMBOLS[at % 2] ?? "",
    each.close,
    String(at * 17),
  ]);
  const columns = [
    { name: "ts_exchange", type: "TIMESTAMP" },
    { name: "symbol", type: "TEXT" },
    { name: "price", type: "DECIMAL(38,18)" },
    { name: "trades", type: "BIGINT" },
  ];
  return { code: 200, answer: { query_id: "1", origin, columns, rows, truncated: false, elapsed_ms: 14 } };
}

function answer(url: URL): unknown {
  const top = height();
  const [, , what = "", ...rest] = url.pathname.split("/");
  const page = <T>(items: T[]) => ({ items, next: null });
  switch (what) {
    case "status":
      return status();
    case "blocks":
      return rest[0]
        ? blockDetail(Number(rest[0]))
        : page(
            Array.from({ length: Number(url.searchParams.get("limit") ?? 20) }, (_, at) => block(top - at)),
          );
    case "validators":
      return page(
        VALIDATORS.map((each, at) => ({
          ...each,
          public_key: hex(at, 32),
          power: 10,
          share: 0.25,
          proposed: 24 + at,
          signed_recent: at === 3 ? 61 : 100,
          recent: 100,
          last_signed_height: at === 3 ? height() - 40 : height(),
          attested: 812 - at * 50,
          differing: at === 3 ? 7 : 0,
          missing: at === 3 ? 3 : 0,
        })),
      );
    case "sources":
      return page(sources());
    case "chunks":
      return rest[0]
        ? (chunks(new URLSearchParams("limit=5000")).find((each) => each.cid === rest[0]) ?? null)
        : page(chunks(url.searchParams));
    case "incidents":
      return page(
        incidents().filter(
          (each) => !url.searchParams.get("kind") || each.kind === url.searchParams.get("kind"),
        ),
      );
    case "candles":
      return { origin, items: candles(url.searchParams) };
    case "trades":
      return { origin, items: [] };
    case "catalogue":
      return catalogue;
    default:
      return null;
  }
}

let signedIn: { address: string; expires: string } | null = null;

/** Takes every signature: only the shapes matter here. */
function signing(call: string, body: string, send: (code: number, body: unknown) => void): void {
  const expires = new Date(Date.now() + 3_600_000).toISOString();
  switch (call) {
    case "GET /v1/auth/nonce":
      return send(200, { nonce: hex(5, 16), expires });
    case "POST /v1/auth/sign-in":
      signedIn = {
        address: /0x[0-9a-fA-F]{40}/.exec((JSON.parse(body) as { message: string }).message)?.[0] ?? "",
        expires,
      };
      return send(200, { ...signedIn, token: "fixture" });
    case "DELETE /v1/auth/session":
      signedIn = null;
      return send(200, {});
    default:
      return signedIn
        ? send(200, signedIn)
        : send(401, { error: { code: "not_signed_in", message: "no session" } });
  }
}

function handle(request: IncomingMessage, response: ServerResponse, next: () => void): void {
  const url = new URL(request.url ?? "/", "http://localhost");
  if (!url.pathname.startsWith("/v1/")) return next();
  const send = (code: number, body: unknown) => {
    response.writeHead(code, { "content-type": "application/json", "openmesh-origin": origin });
    response.end(JSON.stringify(body));
  };
  if (url.pathname === "/v1/sql") {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => {
      const { code, answer } = sql(body);
      send(code, answer);
    });
    return;
  }
  if (url.pathname.startsWith("/v1/auth/")) {
    let body = "";
    request.on("data", (part: Buffer) => (body += part.toString()));
    request.on("end", () => signing(`${request.method} ${url.pathname}`, body, send));
    return;
  }
  const found = answer(url);
  if (found === null)
    send(404, { error: { code: "unknown_path", message: `${url.pathname} is not in the fixture` } });
  else send(200, found);
}

function serve(socket: WebSocket): void {
  const topics = new Map<string, { feed: string; exchange: string; symbol: string }>();
  const send = (message: unknown) => socket.send(JSON.stringify(message));
  const market = (topic: { exchange: string; symbol: string }) => ({
    exchange: topic.exchange,
    symbol: topic.symbol,
    origin,
    ts_exchange: String(Date.now() / 1_000),
    ts_capture: String(Date.now() / 1_000),
  });
  socket.on("message", (data: Buffer) => {
    const { op, ...topic } = JSON.parse(data.toString()) as {
      op: string;
      feed: string;
      exchange: string;
      symbol: string;
    };
    if (op === "unsubscribe") topics.delete(JSON.stringify(topic));
    if (op === "subscribe") topics.set(JSON.stringify(topic), topic);
  });
  let beat = 0;
  const timer = setInterval(() => {
    beat += 1;
    for (const topic of topics.values()) {
      if (topic.feed === "book")
        send({
          ...market(topic),
          type: "book_snapshot",
          bids: levels(-1, 25),
          asks: levels(1, 25),
          sequence: beat,
        });
      if (topic.feed === "trades")
        send({
          ...market(topic),
          type: "trade",
          side: beat % 3 === 0 ? "sell" : "buy",
          price: price(Date.now()).toFixed(2),
          size: (0.01 * (1 + (beat % 9))).toFixed(4),
          id: `${Date.now()}`,
        });
      if (topic.feed === "status" && beat % 3 === 0) send({ op: "status", status: status() });
      if (topic.feed === "blocks" && beat % 3 === 0) send({ op: "block", block: block(height()) });
    }
  }, 333);
  socket.on("close", () => clearInterval(timer));
}

export function fixture(): Plugin {
  return {
    name: "openmesh-fixture",
    configureServer(server) {
      server.middlewares.use(handle);
      const sockets = new WebSocketServer({ noServer: true });
      server.httpServer?.on("upgrade", (request, socket, head) => {
        if (request.url === "/v1/stream") sockets.handleUpgrade(request, socket, head, serve);
      });
    },
  };
}
