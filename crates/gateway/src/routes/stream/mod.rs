//! The WebSocket at `/v1/stream`.
//!
//! Each subscription is a task that moves updates to one writer. A client that reads slowly fills only its own queue; the
//! collector then tells how many events it missed, which the client is told, and a book starts anew with a snapshot.

mod book;
mod feeds;
mod subject;

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::response::Response;
use futures::StreamExt;
use openmesh_api::limits::{STREAM_REQUEST_BYTES_MAX, STREAM_SILENCE_SECONDS_MAX, STREAM_SUBSCRIPTIONS_MAX};
use openmesh_api::{self as api, ErrorCode, StreamMessage, StreamRequest, Topic};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::feeds::{Sender, follow_market, follow_news};
use self::subject::{Refused, Subject};
use crate::error::Refusal;
use crate::http::socket::{MESSAGE_BYTES_MAX, PING_SECONDS, leave, no_place, send};
use crate::node::Node;
use crate::peer;

/// Messages that wait for one client: some seconds of a busy book.
const QUEUE_MAX: usize = 1_024;

/// A WebSocket: subscriptions to market feeds, blocks, chunks, incidents, receipts, stamps, events and the status.
#[utoipa::path(get, path = api::path::STREAM, tag = "market", responses((status = 101, description = "WebSocket: StreamRequest in; StreamMessage and MarketEvent out"), (status = 426, description = "Not asked for as a WebSocket"), (status = 503, description = "This node has no place for another stream")))]
pub async fn connect(State(node): State<Node>, upgrade: WebSocketUpgrade) -> Result<Response, Refusal> {
    let place = node.streams().take(peer::current()).ok_or_else(no_place)?;
    Ok(upgrade.max_message_size(MESSAGE_BYTES_MAX).on_upgrade(async move |socket| {
        serve(node, socket).await;
        drop(place);
    }))
}

async fn serve(node: Node, socket: WebSocket) {
    let (mut sink, mut source) = socket.split();
    let (sender, mut queue) = mpsc::channel::<Utf8Bytes>(QUEUE_MAX);
    let mut subscriptions = Subscriptions::default();
    let mut ping = tokio::time::interval(Duration::from_secs(PING_SECONDS));
    let mut heard = tokio::time::Instant::now();
    loop {
        let message = tokio::select! {
            text = queue.recv() => match text {
                Some(text) => Message::Text(text),
                None => return,
            },
            message = source.next() => {
                heard = tokio::time::Instant::now();
                match heed(&node, message, &mut subscriptions, &sender) {
                    Heeded::Answer(answer) => Message::Text(serde_json::to_string(&answer).unwrap_or_default().into()),
                    Heeded::Nothing => continue,
                    Heeded::Leave(code, reason) => return leave(sink, code, reason).await,
                    Heeded::Gone => return,
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > Duration::from_secs(STREAM_SILENCE_SECONDS_MAX) {
                    return;
                }
                Message::Ping(Vec::new().into())
            }
        };
        if !send(&mut sink, message).await {
            return;
        }
    }
}

/// Reaction to a message of the client.
enum Heeded {
    Answer(Box<StreamMessage>),
    Nothing,
    Leave(u16, String),
    Gone,
}

fn heed(
    node: &Node,
    message: Option<Result<Message, axum::Error>>,
    subscriptions: &mut Subscriptions,
    sender: &Sender,
) -> Heeded {
    match message {
        Some(Ok(Message::Text(text))) if text.len() > STREAM_REQUEST_BYTES_MAX => {
            Heeded::Leave(close_code::SIZE, format!("a request has at most {STREAM_REQUEST_BYTES_MAX} bytes"))
        }
        Some(Ok(Message::Text(text))) => Heeded::Answer(Box::new(answer(node, text.as_str(), subscriptions, sender))),
        Some(Ok(Message::Binary(_))) => Heeded::Answer(Box::new(StreamMessage::Error {
            code: ErrorCode::NotText,
            message: "binary messages are not understood".into(),
            hint: "send JSON as text".into(),
            id: None,
        })),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Heeded::Nothing,
        Some(Err(error)) => Heeded::Leave(close_code::PROTOCOL, error.to_string()),
        Some(Ok(Message::Close(_))) | None => Heeded::Gone,
    }
}

/// Subscriptions of one connection by their topics in the usual form.
type Subscriptions = BTreeMap<Topic, AbortOnDropHandle<()>>;

fn error(refused: Refused, id: Option<String>) -> StreamMessage {
    StreamMessage::Error { code: refused.code, message: refused.message, hint: refused.hint.into(), id }
}

fn answer(node: &Node, text: &str, subscriptions: &mut Subscriptions, sender: &Sender) -> StreamMessage {
    let request = match subject::parse(text) {
        Ok(request) => request,
        Err((refused, id)) => return error(refused, id),
    };
    match request {
        StreamRequest::Ping { id } => StreamMessage::Pong { id },
        StreamRequest::Unsubscribe { feed, exchange, symbol, account, validator, kind, stamp_topic, id } => {
            let topic = Topic { feed, exchange, symbol, account, validator, kind, stamp_topic };
            match unsubscribe(topic, subscriptions) {
                Ok(topic) => StreamMessage::Unsubscribed { topic, id },
                Err(refused) => error(refused, id),
            }
        }
        StreamRequest::Subscribe { feed, exchange, symbol, account, validator, kind, stamp_topic, id } => {
            let topic = Topic { feed, exchange, symbol, account, validator, kind, stamp_topic };
            match subscribe(node, topic, subscriptions, sender) {
                Ok(topic) => StreamMessage::Subscribed { topic, id },
                Err(refused) => error(refused, id),
            }
        }
    }
}

fn unsubscribe(topic: Topic, subscriptions: &mut Subscriptions) -> Result<Topic, Refused> {
    let topic = subject::usual(topic)?;
    match subscriptions.remove(&topic) {
        Some(_) => Ok(topic),
        None => Err(Refused {
            code: ErrorCode::NotSubscribed,
            message: "there is no such subscription".into(),
            hint: "use the words of the subscription",
        }),
    }
}

fn subscribe(node: &Node, topic: Topic, subscriptions: &mut Subscriptions, sender: &Sender) -> Result<Topic, Refused> {
    let topic = subject::usual(topic)?;
    // One that has ended by itself may begin again.
    subscriptions.retain(|_, task| !task.is_finished());
    if subscriptions.contains_key(&topic) {
        let message = "there is such a subscription already".into();
        return Err(Refused { code: ErrorCode::SubscribedAlready, message, hint: "it goes on" });
    }
    if subscriptions.len() >= STREAM_SUBSCRIPTIONS_MAX {
        let message = format!("at most {STREAM_SUBSCRIPTIONS_MAX} on one connection");
        let hint = "unsubscribe, or open another connection";
        return Err(Refused { code: ErrorCode::TooManySubscriptions, message, hint });
    }
    let task = match subject::subject(&topic, &node.memory().register())? {
        Subject::Market(exchange, filter) => {
            tokio::spawn(follow_market(node.clone(), topic.clone(), exchange, filter, sender.clone()))
        }
        Subject::News(feed, wanted) => {
            // Every feed that is not of an instrument has news.
            let Some(news) = node.memory().news().subscribe(feed) else { return Ok(topic) };
            tokio::spawn(follow_news(topic.clone(), news, wanted, sender.clone()))
        }
    };
    subscriptions.insert(topic.clone(), AbortOnDropHandle::new(task));
    Ok(topic)
}

#[cfg(test)]
mod tests {
    use super::feeds::Labelled;
    use super::*;
    use openmesh_market::event::{
        BookDelta, BookSnapshot, Candle, Funding, Incident, IncidentKind, Liquidation, OpenInterest, Price, Ticker,
        Trade,
    };
    use openmesh_market::{Event, EventKind, Exchange, Feed, Side};
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
