import type {
  EventInfo,
  Feed,
  MarketEvent,
  StampInfo,
  StreamMessage,
  Topic as SaidTopic,
  TransactionSummary,
} from "./types";

/**
 * What is subscribed to: a market feed (with exchange and symbol), `receipts` (of an account), `stamps` (of an account, under a topic),
 * `events` (of a kind, an account, a validator), or `blocks`, `chunks`, `incidents`, `status`.
 */
export interface Topic {
  feed: Feed;
  exchange?: string;
  symbol?: string;
  account?: string;
  validator?: string;
  kind?: string;
  stamp_topic?: string;
}

export type StreamState = "connecting" | "open" | "lost";

type Listener = (message: StreamMessage | MarketEvent) => void;

/** Why the node refuses a subscription. */
export interface StreamRefusal {
  topic: Topic;
  code: string;
  message: string;
  hint: string;
}

/** What to do about a subscription that the node has ended. */
const ENDED_HINT = "Load the page again when the source is collected again.";

const NO_REFUSALS: readonly StreamRefusal[] = [];

/** First and longest wait before connecting again, in milliseconds; a random part keeps clients from coming all at once. */
const WAIT_MS_MIN = 500;
const WAIT_MS_MAX = 15_000;
/** Nothing heard for this long means that the connection is dead although nobody said so. The node sends a status each second. */
const SILENCE_MS_MAX = 10_000;

const keyOf = (topic: Topic | SaidTopic) =>
  [
    topic.feed,
    topic.exchange ?? "",
    topic.symbol ?? "",
    topic.account?.toLowerCase() ?? "",
    topic.validator?.toLowerCase() ?? "",
    topic.kind ?? "",
    topic.stamp_topic ?? "",
  ].join("|");

/** The topic that a message belongs to. */
export function topicOf(message: StreamMessage | MarketEvent): string | null {
  if ("op" in message) {
    switch (message.op) {
      case "block":
        return keyOf({ feed: "blocks" });
      case "chunk":
        return keyOf({ feed: "chunks" });
      case "incident":
        return keyOf({ feed: "incidents" });
      case "status":
        return keyOf({ feed: "status" });
      case "upgrade":
        return keyOf({ feed: "upgrades" });
      case "dropped":
      case "ended":
        return keyOf(message.topic);
      default:
        return null;
    }
  }
  const feeds: Record<string, Feed> = {
    trade: "trades",
    book_snapshot: "book",
    book_delta: "book",
    ticker: "ticker",
  };
  const feed = feeds[message.type];
  return feed ? keyOf({ feed, exchange: message.exchange, symbol: message.symbol ?? "" }) : null;
}

/** True where a transaction is one of those that a topic is about. */
function isAbout({ sender, to }: TransactionSummary, topic: Topic): boolean {
  const account = topic.account?.toLowerCase();
  return (
    topic.feed === "receipts" && (!account || [sender, to].some((each) => each?.toLowerCase() === account))
  );
}

const isOneOf = (addresses: readonly string[], wanted: string | undefined) =>
  !wanted || addresses.some((each) => each.toLowerCase() === wanted.toLowerCase());

/** True where a stamp is one of those that a topic of the stream is about. */
const isStampOf = (stamp: StampInfo, topic: Topic) =>
  topic.feed === "stamps" &&
  isOneOf([stamp.account], topic.account) &&
  (!topic.stamp_topic || topic.stamp_topic === stamp.topic);

/** True where an event is one of those that a topic is about. Of an exchange the node alone knows the sources. */
const isEventOf = (event: EventInfo, topic: Topic) =>
  topic.feed === "events" &&
  !topic.exchange &&
  (!topic.kind || topic.kind === event.kind) &&
  isOneOf(event.accounts, topic.account) &&
  isOneOf(event.validators, topic.validator);

/** Whether a message about a whole source, or about what went wrong in it, concerns a topic. */
function concerns(message: StreamMessage | MarketEvent, topic: Topic): boolean {
  if ("op" in message) {
    if (message.op === "receipt") return isAbout(message.transaction, topic);
    if (message.op === "stamp") return isStampOf(message.stamp, topic);
    if (message.op === "event") return isEventOf(message.event, topic);
    return (message.op === "stale" || message.op === "fresh") && message.exchange === topic.exchange;
  }
  return (
    message.type === "incident" &&
    message.exchange === topic.exchange &&
    (message.symbol ?? topic.symbol) === topic.symbol &&
    (message.feed ?? topic.feed) === topic.feed
  );
}

/**
 * The one connection of a page. Topics are counted: the first listener subscribes, the last one's leaving unsubscribes.
 * After a loss everything is subscribed again, and a book starts anew with a snapshot.
 */
export class Stream {
  #url: string;
  #open: (url: string) => WebSocket;
  #socket: WebSocket | null = null;
  #listeners = new Map<string, { topic: Topic; listeners: Set<Listener> }>();
  #watchers = new Set<(state: StreamState) => void>();
  #refusals = new Map<string, StreamRefusal>();
  #refused: readonly StreamRefusal[] = NO_REFUSALS;
  #refusalWatchers = new Set<() => void>();
  #state: StreamState = "connecting";
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #silence: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, open: (url: string) => WebSocket = (at) => new WebSocket(at)) {
    this.#url = url;
    this.#open = open;
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Calls back with each change of the connection's state. */
  watch(watcher: (state: StreamState) => void): () => void {
    this.#watchers.add(watcher);
    return () => this.#watchers.delete(watcher);
  }

  /** What the node refuses at the moment; the same list until it changes. */
  get refused(): readonly StreamRefusal[] {
    return this.#refused;
  }

  /** Calls back when a subscription is refused, or no longer is. */
  watchRefusals(watcher: () => void): () => void {
    this.#refusalWatchers.add(watcher);
    return () => this.#refusalWatchers.delete(watcher);
  }

  /** Begins to listen; the returned function ends it. */
  subscribe(topic: Topic, listener: Listener): () => void {
    const key = keyOf(topic);
    let entry = this.#listeners.get(key);
    if (!entry) {
      entry = { topic, listeners: new Set() };
      this.#listeners.set(key, entry);
      this.#send("subscribe", topic);
    } else if (topic.feed === "book") {
      // A book begins with a snapshot, which a second listener would otherwise have missed.
      this.#send("unsubscribe", topic);
      this.#send("subscribe", topic);
    }
    entry.listeners.add(listener);
    if (!this.#socket && this.#retry === undefined) this.#connect();
    return () => {
      entry.listeners.delete(listener);
      if (entry.listeners.size === 0 && this.#listeners.get(key) === entry) {
        this.#listeners.delete(key);
        // What was refused is no subscription that could be ended.
        if (!this.#refusals.has(key)) this.#send("unsubscribe", topic);
        this.#forgive(key);
      }
    };
  }

  /** Ends the connection for good. */
  close(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#listeners.clear();
    const socket = this.#socket;
    this.#socket = null;
    socket?.close();
  }

  /** The topic is the request's id too, so that an error finds the subscription it is about. */
  #send(op: "subscribe" | "unsubscribe", topic: Topic): void {
    if (this.#socket?.readyState === WebSocket.OPEN)
      this.#socket.send(JSON.stringify({ op, ...topic, id: keyOf(topic) }));
  }

  #refuse(key: string, refusal: StreamRefusal): void {
    this.#refusals.set(key, refusal);
    this.#tellRefusals();
  }

  #forgive(key: string): void {
    if (this.#refusals.delete(key)) this.#tellRefusals();
  }

  #tellRefusals(): void {
    this.#refused = [...this.#refusals.values()];
    for (const watcher of this.#refusalWatchers) watcher();
  }

  /** The node's answers to requests. */
  #answered(message: StreamMessage): void {
    if (message.op === "subscribed" && message.id) this.#forgive(message.id);
    if (message.op !== "error") return;
    const entry = this.#listeners.get(message.id ?? "");
    // An error about what nobody listens to any more concerns nobody.
    if (entry && message.id) {
      const { code, message: text, hint } = message;
      this.#refuse(message.id, { topic: entry.topic, code, message: text, hint });
    }
  }

  #connect(): void {
    this.#retry = undefined;
    const socket = this.#open(this.#url);
    this.#socket = socket;
    this.#listen();
    socket.onopen = () => {
      this.#attempts = 0;
      this.#refusals.clear();
      this.#tellRefusals();
      this.#become("open");
      for (const { topic } of this.#listeners.values()) this.#send("subscribe", topic);
    };
    socket.onmessage = (event: MessageEvent) => {
      this.#listen();
      let message: StreamMessage | MarketEvent;
      try {
        message = JSON.parse(String(event.data)) as StreamMessage | MarketEvent;
      } catch {
        return;
      }
      const key = topicOf(message);
      if (key !== null) {
        const entry = this.#listeners.get(key);
        for (const listener of entry?.listeners ?? []) listener(message);
        if (entry && "op" in message && message.op === "ended")
          this.#refuse(key, { topic: entry.topic, code: "ended", message: message.reason, hint: ENDED_HINT });
        return;
      }
      for (const { topic, listeners } of this.#listeners.values())
        if (concerns(message, topic)) for (const listener of listeners) listener(message);
      if ("op" in message) this.#answered(message);
    };
    socket.onclose = () => {
      if (this.#socket === socket) this.#lost();
    };
  }

  #listen(): void {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => {
      const socket = this.#socket;
      if (!socket) return;
      this.#lost();
      socket.close();
    }, SILENCE_MS_MAX);
  }

  #lost(): void {
    clearTimeout(this.#silence);
    this.#socket = null;
    this.#become("lost");
    if (this.#listeners.size === 0) return;
    const wait = Math.min(WAIT_MS_MAX, WAIT_MS_MIN * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#retry = setTimeout(() => this.#connect(), wait / 2 + Math.random() * (wait / 2));
  }

  #become(state: StreamState): void {
    if (state === this.#state) return;
    this.#state = state;
    for (const watcher of this.#watchers) watcher(state);
  }
}
