import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Stream, type Topic } from "./stream";

/** A socket that the test opens, feeds and breaks. */
class FakeSocket {
  static all: FakeSocket[] = [];
  readyState: number = WebSocket.CONNECTING;
  sent: { op: string; feed: string; symbol?: string; id?: string }[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  constructor() {
    FakeSocket.all.push(this);
  }
  send(text: string) {
    this.sent.push(JSON.parse(text) as { op: string; feed: string });
  }
  close() {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }
  accept() {
    this.readyState = WebSocket.OPEN;
    this.onopen?.();
  }
  say(message: unknown) {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
}

const socket = (at: number): FakeSocket => {
  const found = FakeSocket.all[at];
  if (!found) throw new Error(`no connection ${at}`);
  return found;
};
const make = () => new Stream("ws://node/v1/stream", () => new FakeSocket() as unknown as WebSocket);
const book: Topic = { feed: "book", exchange: "kraken", symbol: "BTC.USD" };

beforeEach(() => {
  FakeSocket.all = [];
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe("stream", () => {
  it("subscribes on opening, and only once for two listeners", () => {
    const stream = make();
    const heard: string[] = [];
    stream.subscribe({ feed: "status" }, () => heard.push("a"));
    stream.subscribe({ feed: "status" }, () => heard.push("b"));
    socket(0).accept();
    expect(socket(0).sent).toEqual([{ op: "subscribe", feed: "status", id: expect.any(String) }]);
    socket(0).say({ op: "status", status: {} });
    expect(heard).toEqual(["a", "b"]);
  });

  it("sends stamps and events of the ledger to whom they belong, by each filter", () => {
    const stream = make();
    const heard: string[] = [];
    const account = "0x1111111111111111111111111111111111111111";
    const listen = (name: string, topic: Topic) => stream.subscribe(topic, () => heard.push(name));
    listen("all stamps", { feed: "stamps" });
    listen("drills", { feed: "stamps", stamp_topic: "xnode.drill" });
    listen("others", { feed: "stamps", account: "0x2222222222222222222222222222222222222222" });
    listen("transfers", { feed: "events", kind: "transferred" });
    listen("of the account", { feed: "events", account });
    socket(0).accept();
    expect(socket(0).sent.map(({ id }) => id)).toHaveLength(5);
    expect(new Set(socket(0).sent.map(({ id }) => id)).size).toBe(5);
    socket(0).say({ op: "stamp", stamp: { topic: "xnode.drill", account } });
    expect(heard.splice(0)).toEqual(["all stamps", "drills"]);
    socket(0).say({
      op: "event",
      event: { kind: "stamped", accounts: [account.toUpperCase()], validators: [] },
    });
    expect(heard.splice(0)).toEqual(["of the account"]);
    socket(0).say({ op: "event", event: { kind: "transferred", accounts: [], validators: [] } });
    expect(heard.splice(0)).toEqual(["transfers"]);
  });

  it("sends events only to whom they belong", () => {
    const stream = make();
    const listener = vi.fn();
    stream.subscribe(book, listener);
    socket(0).accept();
    const event = { type: "book_delta", exchange: "kraken", symbol: "ETH.USD", bids: [], asks: [] };
    socket(0).say(event);
    expect(listener).not.toHaveBeenCalled();
    socket(0).say({ ...event, symbol: "BTC.USD" });
    expect(listener).toHaveBeenCalledOnce();
  });

  it("tells every topic of a source that it went silent, and each topic what went wrong with it", () => {
    const stream = make();
    const heard: string[] = [];
    stream.subscribe(book, () => heard.push("book"));
    stream.subscribe({ ...book, feed: "trades" }, () => heard.push("trades"));
    stream.subscribe({ ...book, symbol: "ETH.USD" }, () => heard.push("other symbol"));
    stream.subscribe({ ...book, exchange: "okx" }, () => heard.push("other exchange"));
    stream.subscribe({ feed: "blocks" }, () => heard.push("blocks"));
    socket(0).accept();
    const told = (message: unknown) => {
      heard.length = 0;
      socket(0).say(message);
      return [...heard];
    };
    const gap = { type: "incident", exchange: "kraken", symbol: "BTC.USD", feed: "book", kind: "gap" };
    expect(told({ op: "stale", exchange: "kraken", silent_ms: 16_000 })).toEqual([
      "book",
      "trades",
      "other symbol",
    ]);
    expect(told({ op: "fresh", exchange: "kraken" })).toEqual(["book", "trades", "other symbol"]);
    expect(told(gap)).toEqual(["book"]);
    expect(told({ ...gap, feed: null })).toEqual(["book", "trades"]);
    expect(told({ ...gap, feed: null, symbol: null })).toEqual(["book", "trades", "other symbol"]);
  });

  it("says that it is lost, connects again and subscribes to everything again", () => {
    const stream = make();
    const states: string[] = [];
    stream.watch((state) => states.push(state));
    stream.subscribe({ feed: "blocks" }, () => undefined);
    stream.subscribe(book, () => undefined);
    socket(0).accept();
    socket(0).close();
    expect(states).toEqual(["open", "lost"]);
    vi.advanceTimersByTime(500);
    socket(1).accept();
    expect(states).toEqual(["open", "lost", "open"]);
    expect(socket(1).sent).toEqual([
      { op: "subscribe", feed: "blocks", id: expect.any(String) },
      { op: "subscribe", ...book, id: expect.any(String) },
    ]);
  });

  it("waits longer after each failure, up to a limit", () => {
    const stream = make();
    stream.subscribe({ feed: "status" }, () => undefined);
    vi.spyOn(Math, "random").mockReturnValue(1);
    const waits = [500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000];
    waits.forEach((wait, at) => {
      socket(at).close();
      vi.advanceTimersByTime(wait - 1);
      expect(FakeSocket.all).toHaveLength(at + 1);
      vi.advanceTimersByTime(1);
      expect(FakeSocket.all).toHaveLength(at + 2);
    });
  });

  it("takes silence for a loss", () => {
    const stream = make();
    stream.subscribe({ feed: "status" }, () => undefined);
    socket(0).accept();
    vi.advanceTimersByTime(9_000);
    socket(0).say({ op: "pong", id: null });
    vi.advanceTimersByTime(9_000);
    expect(stream.state).toBe("open");
    vi.advanceTimersByTime(1_000);
    expect(stream.state).toBe("lost");
  });

  it("tells those about dropped messages who missed them", () => {
    const stream = make();
    const first = vi.fn();
    const second = vi.fn();
    stream.subscribe({ feed: "status" }, first);
    stream.subscribe(book, second);
    socket(0).accept();
    const dropped = { op: "dropped", topic: book, messages: 7 };
    socket(0).say(dropped);
    expect(first).not.toHaveBeenCalled();
    expect(second).toHaveBeenCalledWith(dropped);
  });

  it("says that a subscription has ended by itself", () => {
    const stream = make();
    const listener = vi.fn();
    stream.subscribe(book, listener);
    socket(0).accept();
    socket(0).say({ op: "ended", topic: book, reason: "not collected any more" });
    expect(listener).toHaveBeenCalledOnce();
    expect(stream.refused).toMatchObject([{ topic: book, code: "ended", message: "not collected any more" }]);
  });

  it("tells of the receipts of an account whom it concerns, as sender or receiver", () => {
    const stream = make();
    const heard: string[] = [];
    stream.subscribe({ feed: "receipts", account: "0xAA" }, () => heard.push("a"));
    stream.subscribe({ feed: "receipts", account: "0xbb" }, () => heard.push("b"));
    stream.subscribe({ feed: "receipts" }, () => heard.push("all"));
    stream.subscribe({ feed: "blocks" }, () => heard.push("blocks"));
    socket(0).accept();
    socket(0).say({ op: "receipt", transaction: { sender: "0xaa", to: "0xCC" } });
    expect(heard).toEqual(["a", "all"]);
    socket(0).say({ op: "receipt", transaction: { sender: "0xcc", to: "0xBB" } });
    expect(heard).toEqual(["a", "all", "b", "all"]);
  });

  it("keeps what the node refuses until it is accepted or nobody listens", () => {
    const stream = make();
    const changed = vi.fn();
    stream.watchRefusals(changed);
    const leave = stream.subscribe(book, () => undefined);
    stream.subscribe({ feed: "status" }, () => undefined);
    socket(0).accept();
    changed.mockClear();
    const id = socket(0).sent[0]?.id;
    const error = {
      op: "error",
      code: "unknown_symbol",
      message: "not collected here",
      hint: "look elsewhere",
      id,
    };
    socket(0).say(error);
    expect(stream.refused).toEqual([
      { topic: book, code: "unknown_symbol", message: "not collected here", hint: "look elsewhere" },
    ]);
    expect(changed).toHaveBeenCalledOnce();
    const sent = socket(0).sent.length;
    leave();
    expect(stream.refused).toEqual([]);
    expect(socket(0).sent).toHaveLength(sent);
    socket(0).say(error);
    expect(stream.refused).toEqual([]);
    stream.subscribe(book, () => undefined);
    socket(0).say(error);
    socket(0).say({ op: "subscribed", ...book, id });
    expect(stream.refused).toEqual([]);
  });

  it("unsubscribes with the last listener, and survives text that is not JSON", () => {
    const stream = make();
    const leave = [
      stream.subscribe(book, () => undefined),
      stream.subscribe({ feed: "status" }, () => undefined),
    ];
    socket(0).accept();
    socket(0).onmessage?.({ data: "{" });
    leave[0]?.();
    expect(socket(0).sent.at(-1)).toMatchObject({ op: "unsubscribe", ...book });
    stream.close();
    vi.advanceTimersByTime(60_000);
    expect(FakeSocket.all).toHaveLength(1);
  });
});
