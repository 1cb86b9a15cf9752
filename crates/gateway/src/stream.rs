//! The WebSocket at `/v1/stream`.
//!
//! Each subscription is a task that moves updates to one writer. A client that reads slowly fills only its own queue; the
//! collector then tells how many events it missed, which the client is told, and a book starts anew with a snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::stream::SplitSink;
use futures::{Sink, SinkExt, StreamExt};
use openmesh_api::{self as api, StreamMessage, StreamRequest};
use openmesh_collector::{Filter, Update};
use openmesh_market::{Event, Exchange, Feed};
use openmesh_primitives::Symbol;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::error::Refusal;
use crate::live::News;
use crate::node::Node;

/// Messages that wait for one client.
const QUEUE_MAX: usize = 1_024;
/// Streams open at once at this node: each holds a queue and tasks, and they are no longer counted among the connections.
pub const STREAMS_MAX: usize = 256;
/// Longest time in which a client takes no message before it is left: its own buffer and the system's are full by then.
const SEND_SECONDS_MAX: u64 = 20;
/// Subscriptions of one client.
pub const SUBSCRIPTIONS_MAX: usize = 256;
/// Largest message of a client, in bytes: its longest request is far shorter.
pub const REQUEST_BYTES_MAX: usize = 4_096;
/// Longest message that is read to its end, to say what is wrong with it.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest reason in a frame that closes.
const REASON_BYTES_MAX: usize = 123;
/// A client that answers no ping for this long is gone.
pub const SILENCE_SECONDS_MAX: u64 = 60;
/// Time between two pings.
const PING_SECONDS: u64 = 20;
/// Feeds of the ledger and the node.
const NEWS: [&str; 4] = ["blocks", "chunks", "incidents", "status"];
/// Those that are of sources, and so can be of one exchange.
const NEWS_OF_SOURCES: [&str; 2] = ["chunks", "incidents"];
/// What to do about words of a market subscription that are not understood.
const SOURCES_HINT: &str = "/v1/sources lists what is collected";

type Sender = mpsc::Sender<Utf8Bytes>;
/// Code, message and hint.
type Refused = (&'static str, String, &'static str);
type Key = (String, Option<String>, Option<String>);

/// A WebSocket: subscriptions to market feeds, blocks, chunks, incidents and the status.
#[utoipa::path(get, path = "/v1/stream", tag = "market", responses((status = 101, description = "WebSocket: StreamRequest in; StreamMessage and MarketEvent out"), (status = 426, description = "Not asked for as a WebSocket"), (status = 503, description = "This node has no place for another stream")))]
pub async fn connect(State(node): State<Node>, upgrade: WebSocketUpgrade) -> Result<Response, Refusal> {
    let place = node.streams().try_acquire_owned().map_err(|_| {
        let message = format!("this node has {STREAMS_MAX} streams open, and no place for another");
        Refusal::unavailable("too_many_streams", message, "try again in a minute, or ask another node")
    })?;
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        serve(node, socket).await;
        drop(place);
    }))
}

/// Sends; `false` where the client has gone, or takes nothing.
async fn send(sink: &mut (impl Sink<Message> + Unpin), message: Message) -> bool {
    send_within(Duration::from_secs(SEND_SECONDS_MAX), sink, message).await
}

async fn send_within(longest: Duration, sink: &mut (impl Sink<Message> + Unpin), message: Message) -> bool {
    matches!(tokio::time::timeout(longest, sink.send(message)).await, Ok(Ok(())))
}

async fn serve(node: Node, socket: WebSocket) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Utf8Bytes>(QUEUE_MAX);
    let mut subscriptions: BTreeMap<Key, AbortOnDropHandle<()>> = BTreeMap::new();
    let mut ping = tokio::time::interval(Duration::from_secs(PING_SECONDS));
    let mut heard = tokio::time::Instant::now();
    loop {
        tokio::select! {
            text = queue.recv() => {
                let Some(text) = text else { return };
                if !send(&mut sink, Message::Text(text)).await {
                    return;
                }
            }
            message = source.next() => {
                heard = tokio::time::Instant::now();
                match message {
                    Some(Ok(Message::Text(text))) if text.len() > REQUEST_BYTES_MAX => {
                        let reason = format!("a request has at most {REQUEST_BYTES_MAX} bytes");
                        return leave(sink, close_code::SIZE, reason).await;
                    }
                    Some(Ok(Message::Text(text))) => {
                        let answer = request(&node, text.as_str(), &mut subscriptions, &sender);
                        let json = serde_json::to_string(&answer).unwrap_or_default();
                        if !send(&mut sink, Message::Text(json.into())).await {
                            return;
                        }
                    }
                    Some(Ok(Message::Binary(_))) => {
                        let answer = refuse("not_text", "binary messages are not understood", "send JSON as text", None);
                        let json = serde_json::to_string(&answer).unwrap_or_default();
                        if !send(&mut sink, Message::Text(json.into())).await {
                            return;
                        }
                    }
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                    Some(Err(error)) => return leave(sink, close_code::PROTOCOL, error.to_string()).await,
                    Some(Ok(Message::Close(_))) | None => return,
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > Duration::from_secs(SILENCE_SECONDS_MAX) || !send(&mut sink, Message::Ping(Vec::new().into())).await {
                    return;
                }
            }
        }
    }
}

/// Leaves a client, and says why; that it may have left already is fine. A reason has at most 123 bytes (RFC 6455).
async fn leave(mut sink: SplitSink<WebSocket, Message>, code: u16, reason: String) {
    let end = reason.floor_char_boundary(REASON_BYTES_MAX);
    let reason = reason[..end].into();
    let _ = send(&mut sink, Message::Close(Some(CloseFrame { code, reason }))).await;
}

fn refuse(code: &str, message: impl Into<String>, hint: &str, id: Option<String>) -> StreamMessage {
    StreamMessage::Error { code: code.into(), message: message.into(), hint: hint.into(), id }
}

fn request(
    node: &Node,
    text: &str,
    subscriptions: &mut BTreeMap<Key, AbortOnDropHandle<()>>,
    sender: &Sender,
) -> StreamMessage {
    let request: StreamRequest = match serde_json::from_str(text) {
        Ok(request) => request,
        Err(error) => {
            let hint = r#"such as {"op":"subscribe","feed":"trades","exchange":"kraken","symbol":"BTC.USD"}"#;
            return refuse("bad_request", format!("not a request of this stream: {error}"), hint, None);
        }
    };
    match request {
        StreamRequest::Ping { id } => StreamMessage::Pong { id },
        StreamRequest::Unsubscribe { feed, exchange, symbol, id } => {
            match subscriptions.remove(&(feed.clone(), exchange.clone(), symbol.clone())) {
                Some(_) => StreamMessage::Unsubscribed { feed, exchange, symbol, id },
                None => {
                    refuse("not_subscribed", "there is no such subscription", "use the words of the subscription", id)
                }
            }
        }
        StreamRequest::Subscribe { feed, exchange, symbol, id } => {
            let key = (feed.clone(), exchange.clone(), symbol.clone());
            if subscriptions.contains_key(&key) {
                return refuse("subscribed_already", "there is such a subscription already", "it goes on", id);
            }
            if subscriptions.len() >= SUBSCRIPTIONS_MAX {
                let message = format!("at most {SUBSCRIPTIONS_MAX} on one connection");
                return refuse("too_many_subscriptions", message, "unsubscribe, or open another connection", id);
            }
            let task = if let Some(feed) = NEWS.into_iter().find(|f| *f == feed) {
                match news_filter(feed, exchange.as_deref(), symbol.as_deref(), |name| node.sources_of(name)) {
                    Ok(sources) => tokio::spawn(follow_news(node.clone(), feed, sources, sender.clone())),
                    Err((code, message, hint)) => return refuse(code, message, hint, id),
                }
            } else {
                match filter(node, &feed, exchange.as_deref(), symbol.as_deref()) {
                    Ok((exchange, filter)) => {
                        tokio::spawn(follow_market(node.clone(), exchange, filter, sender.clone()))
                    }
                    Err((code, message)) => return refuse(code, message, SOURCES_HINT, id),
                }
            };
            subscriptions.insert(key, AbortOnDropHandle::new(task));
            StreamMessage::Subscribed { feed, exchange, symbol, id }
        }
    }
}

/// The sources whose news are wanted; `None`: all there is. What cannot be filtered by is refused: whoever names it would
/// take the news of all for those of one.
fn news_filter(
    feed: &str,
    exchange: Option<&str>,
    symbol: Option<&str>,
    sources_of: impl FnOnce(&str) -> BTreeSet<String>,
) -> Result<Option<BTreeSet<String>>, Refused> {
    match (exchange, symbol) {
        (None, None) => Ok(None),
        (Some(exchange), None) if NEWS_OF_SOURCES.contains(&feed) => match sources_of(exchange) {
            none if none.is_empty() => {
                Err(("unknown_exchange", format!("there is no source of {exchange:.40?}"), SOURCES_HINT))
            }
            sources => Ok(Some(sources)),
        },
        _ => {
            let hint = "leave symbol away; exchange is for chunks and incidents";
            Err(("not_filtered", format!("{feed} cannot be had of one exchange or symbol so"), hint))
        }
    }
}

fn filter(
    node: &Node,
    feed: &str,
    exchange: Option<&str>,
    symbol: Option<&str>,
) -> Result<(Exchange, Filter), (&'static str, String)> {
    let feed: Feed = feed.parse().map_err(|e| ("unknown_feed", format!("{e}; and {}", NEWS.join(", "))))?;
    let exchange: Exchange = exchange
        .ok_or_else(|| ("no_exchange", "name an exchange".to_string()))?
        .parse()
        .map_err(|e| ("unknown_exchange", format!("{e}")))?;
    let symbol: Symbol = symbol
        .ok_or_else(|| ("no_symbol", "name a symbol".to_string()))?
        .parse()
        .map_err(|e| ("bad_symbol", format!("{e}")))?;
    if !node.collects(exchange.name(), &symbol.to_string()) {
        return Err(("unknown_symbol", format!("{symbol} of {exchange} is not collected here")));
    }
    Ok((exchange, Filter::one(exchange, symbol, feed)))
}

/// An event as it is sent: with its origin.
#[derive(serde::Serialize)]
struct Labelled<'a> {
    origin: api::Origin,
    #[serde(flatten)]
    event: &'a Event,
}

async fn follow_market(node: Node, exchange: Exchange, filter: Filter, sender: Sender) {
    let origin = node.origin();
    let mut updates = node.collector().subscribe(filter);
    let mut heard = node.live().heard();
    let mut fresh = true;
    loop {
        let json = tokio::select! {
            update = updates.next() => match update {
                Some(Update::Event(event)) => serde_json::to_string(&Labelled { origin, event: &event }),
                Some(Update::Missed { events, .. }) => serde_json::to_string(&StreamMessage::Dropped { messages: events }),
                None => return,
            },
            // A stream in which nothing comes does not say by itself whether nothing happens or nobody listens.
            changed = heard.wait_for(|heard| heard.contains(exchange.name()) != fresh) => {
                let Ok(exchanges) = changed else { return };
                fresh = exchanges.contains(exchange.name());
                drop(exchanges);
                serde_json::to_string(&freshness(&node, exchange, fresh))
            }
        };
        // Waiting here is what makes only this subscription lag.
        let Ok(json) = json else { continue };
        if sender.send(json.into()).await.is_err() {
            return;
        }
    }
}

fn freshness(node: &Node, exchange: Exchange, fresh: bool) -> StreamMessage {
    let name = exchange.name();
    match fresh {
        true => StreamMessage::Fresh { exchange: name.into() },
        false => StreamMessage::Stale { exchange: name.into(), silent_ms: node.site_of_exchange(name).silent_ms },
    }
}

async fn follow_news(node: Node, feed: &'static str, sources: Option<BTreeSet<String>>, sender: Sender) {
    let mut news = node.live().news();
    loop {
        let json = match news.recv().await {
            Ok(news) if news.feed == feed && wanted(&news, sources.as_ref()) => news.json.clone(),
            Ok(_) => continue,
            Err(RecvError::Lagged(messages)) => {
                serde_json::to_string(&StreamMessage::Dropped { messages }).unwrap_or_default()
            }
            Err(RecvError::Closed) => return,
        };
        if sender.send(json.into()).await.is_err() {
            return;
        }
    }
}

fn wanted(news: &News, sources: Option<&BTreeSet<String>>) -> bool {
    sources.is_none_or(|sources| news.source.as_ref().is_some_and(|source| sources.contains(source)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_market::event::{
        BookDelta, BookSnapshot, Candle, Funding, Incident, IncidentKind, Liquidation, OpenInterest, Price, Ticker,
        Trade,
    };
    use openmesh_market::{EventKind, Side};
    use openmesh_primitives::{Decimal, Timestamp};

    fn kinds() -> Vec<EventKind> {
        let (one, at) = (Decimal::new(15, 1), Timestamp::from_millis(1_500));
        let level = vec![(one, one)];
        vec![
            EventKind::Trade(Trade { side: Side::Buy, price: one, size: one, id: Some("7".into()), snapshot: false }),
            EventKind::Trade(Trade { side: Side::Sell, price: one, size: one, id: None, snapshot: true }),
            EventKind::BookSnapshot(BookSnapshot {
                bids: level.clone(),
                asks: level.clone(),
                sequence: Some(1),
                checksum: Some(-1),
            }),
            EventKind::BookDelta(BookDelta { bids: level, asks: Vec::new(), sequence: None, checksum: None }),
            EventKind::Ticker(Ticker { bid: Some(one), ..Ticker::default() }),
            EventKind::Candle(Candle {
                start: at,
                stop: Some(at),
                interval: "1m".into(),
                open: one,
                high: one,
                low: one,
                close: one,
                volume: one,
                trades: Some(2),
                closed: None,
            }),
            EventKind::Funding(Funding {
                rate: one,
                next_funding: Some(at),
                mark_price: None,
                predicted_rate: Some(one),
            }),
            EventKind::OpenInterest(OpenInterest { open_interest: one }),
            EventKind::Liquidation(Liquidation { side: Side::Sell, price: one, size: one, id: None }),
            EventKind::MarkPrice(Price { price: one }),
            EventKind::IndexPrice(Price { price: one }),
            EventKind::Incident(Incident { kind: IncidentKind::Gap, feed: Some(Feed::Book), detail: "d".into() }),
        ]
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_is_left() {
        let (mut sink, _unread) = futures::channel::mpsc::channel::<Message>(0);
        let message = || Message::Text("x".into());
        let longest = Duration::from_millis(50);
        // What the buffers between take is sent.
        while send_within(longest, &mut sink, message()).await {}
        let (mut gone, receiver) = futures::channel::mpsc::channel::<Message>(0);
        drop(receiver);
        assert!(!send_within(Duration::from_secs(60), &mut gone, message()).await);
    }

    #[test]
    fn news_are_of_those_that_were_named_or_refused() {
        let sources_of = |name: &str| match name {
            "kraken" => BTreeSet::from(["kraken-spot".to_string()]),
            _ => BTreeSet::new(),
        };
        let code =
            |feed, exchange, symbol| news_filter(feed, exchange, symbol, sources_of).map_err(|(code, _, _)| code);
        assert_eq!(code("blocks", None, None), Ok(None));
        assert_eq!(code("chunks", Some("kraken"), None), Ok(Some(BTreeSet::from(["kraken-spot".to_string()]))));
        assert_eq!(code("incidents", Some("nowhere"), None), Err("unknown_exchange"));
        for (feed, exchange, symbol) in [
            ("blocks", Some("kraken"), None),
            ("status", None, Some("BTC.USD")),
            ("chunks", Some("kraken"), Some("BTC.USD")),
        ] {
            assert_eq!(code(feed, exchange, symbol), Err("not_filtered"), "{feed}");
        }
        let news =
            |source: Option<&str>| News { feed: "chunks", source: source.map(String::from), json: String::new() };
        let named = BTreeSet::from(["kraken-spot".to_string()]);
        assert!(wanted(&news(Some("kraken-spot")), Some(&named)) && wanted(&news(None), None));
        assert!(!wanted(&news(Some("okx")), Some(&named)) && !wanted(&news(None), Some(&named)));
    }

    /// The contract's type is written by hand beside the events: what is sent must be it, field by field.
    #[test]
    fn events_are_those_of_the_contract() {
        for kind in kinds() {
            let event = Event {
                exchange: Exchange::Kraken,
                symbol: "BTC.USD".parse().ok(),
                ts_exchange: Some(Timestamp::from_millis(1_000)),
                ts_capture: Timestamp::from_millis(2_000),
                kind,
            };
            let sent = serde_json::to_value(Labelled { origin: api::Origin::Replay, event: &event }).unwrap();
            let read: api::MarketEvent = serde_json::from_value(sent.clone()).unwrap_or_else(|e| panic!("{sent}: {e}"));
            assert_eq!(serde_json::to_value(&read).unwrap(), sent);
        }
    }
}
