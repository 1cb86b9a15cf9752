//! The live stream: snapshot first, decimals as strings, refusals by name, and never silently stale.

use futures::{SinkExt, StreamExt};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::network::{Network, PATIENCE, signal};

const EXCHANGE: &str = "kraken";
const SYMBOL: &str = "BTC.USD";

/// A client of the stream.
pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn open(network: &Network) -> Client {
        let url = network.apis[0].replacen("http", "ws", 1) + "/v1/stream";
        Client(connect_async(url).await.expect("a WebSocket").0)
    }

    pub async fn say(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.expect("sent");
    }

    async fn subscribe(&mut self, feed: &str) {
        let request = json!({ "op": "subscribe", "feed": feed, "exchange": EXCHANGE, "symbol": SYMBOL });
        self.say(request.to_string()).await;
    }

    async fn message(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.expect("in time").expect("open").expect("a message")
    }

    /// The next message of which this is true.
    pub async fn until(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let search = async {
            loop {
                if let Message::Text(text) = self.message().await {
                    let value: Value = serde_json::from_str(&text).expect("JSON");
                    if wanted(&value) {
                        return value;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, search).await.unwrap_or_else(|_| panic!("{what} did not come"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_says_what_it_is_and_when_it_is_old() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    let book = format!("/v1/books/{EXCHANGE}/{SYMBOL}");
    network.until(0, &book, "a book in step", |b| b["stale"] == false).await;
    snapshot_first(&network).await;
    refusals(&network).await;
    silence(&network).await;
    assert_eq!(network.stop().await, 0);
}

async fn snapshot_first(network: &Network) {
    let mut client = Client::open(network).await;
    client.subscribe("book").await;
    let first = client.until("an event", |m| m["type"].is_string()).await;
    assert_eq!((&first["type"], &first["origin"]), (&json!("book_snapshot"), &json!("simulated")), "{first}");
    assert!(first["bids"][0][0].is_string() && first["asks"][0][1].is_string(), "decimals are strings: {first}");
    let second = client.until("a second event", |m| m["type"].is_string()).await;
    assert_eq!(second["type"], "book_delta");
    client.subscribe("trades").await;
    let trade = client.until("a trade", |m| m["type"] == "trade").await;
    assert!(trade["price"].is_string() && trade["size"].is_string(), "{trade}");
}

async fn refusals(network: &Network) {
    let mut client = Client::open(network).await;
    for (request, expected) in [
        ("{", "bad_request"),
        (r#"{"op":"subscribe","feed":"weather"}"#, "unknown_feed"),
        (r#"{"op":"subscribe","feed":"trades"}"#, "no_exchange"),
        (r#"{"op":"subscribe","feed":"trades","exchange":"nowhere","symbol":"BTC.USD"}"#, "unknown_exchange"),
        (r#"{"op":"subscribe","feed":"trades","exchange":"kraken","symbol":"no symbol"}"#, "bad_symbol"),
        (r#"{"op":"subscribe","feed":"trades","exchange":"kraken","symbol":"AAA.BBB"}"#, "unknown_symbol"),
        (r#"{"op":"subscribe","feed":"blocks","exchange":"kraken"}"#, "not_filtered"),
        (r#"{"op":"subscribe","feed":"chunks","exchange":"nowhere"}"#, "unknown_exchange"),
        (r#"{"op":"unsubscribe","feed":"blocks"}"#, "not_subscribed"),
    ] {
        client.say(request).await;
        let answer = client.until("a refusal", |m| m["op"] == "error").await;
        assert_eq!(answer["code"], expected, "{request}: {answer}");
    }
    client.say("x".repeat(10_000)).await;
    match client.message().await {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Size, "{frame}"),
        other => panic!("a request that is too long ends the connection with a reason, not {other:?}"),
    }
}

/// The venues' process stands still: its sockets stay open, and nothing comes.
async fn silence(network: &Network) {
    let mut client = Client::open(network).await;
    client.subscribe("ticker").await;
    client.until("the subscription", |m| m["op"] == "subscribed").await;
    let venues = network.children().into_iter().find(|pid| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        command.split(|byte| *byte == 0).any(|word| word == b"venues")
    });
    let venues = venues.expect("the simulated venues are a process of their own");

    signal(venues, Signal::STOP);
    let stale = client.until("word of the silence", |m| m["op"] == "stale").await;
    assert_eq!(stale["exchange"], EXCHANGE);
    assert!(stale["silent_ms"].as_u64() > Some(10_000), "{stale}");
    // Whoever comes meanwhile is told too.
    let mut late = Client::open(network).await;
    late.subscribe("book").await;
    late.until("word of the silence", |m| m["op"] == "stale").await;
    match network.try_get(0, &format!("/v1/books/{EXCHANGE}/{SYMBOL}")).await.expect("an answer") {
        (200, book) => {
            assert_eq!(book["stale"], true, "{book}");
            assert!(book["age_ms"].as_u64() > Some(10_000), "a book that nothing changes grows old: {book}");
        }
        (status, body) => assert_eq!((status, &body["error"]["code"]), (503, &json!("book_out_of_step")), "{body}"),
    }

    let trades = network.get(0, &format!("/v1/trades/{EXCHANGE}/{SYMBOL}")).await;
    assert_eq!(trades["stale"], true, "{trades}");

    signal(venues, Signal::CONT);
    client.until("word that it speaks again", |m| m["op"] == "fresh").await;
    late.until("a book again", |m| m["type"] == "book_snapshot" || m["type"] == "book_delta").await;
}
