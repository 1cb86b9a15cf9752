//! Tasks of subscriptions: each moves updates of one topic to the writer of its connection.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmesh_api::{self as api, StreamMessage, Topic};
use openmesh_collector::{Filter, Update};
use openmesh_market::{Event, Exchange};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;

use super::book::Defined;
use super::subject::Wanted;
use crate::memory::Item;
use crate::node::Node;

/// An event as it is sent: with its origin.
#[derive(serde::Serialize)]
pub struct Labelled<'a> {
    /// Provenance of the data.
    pub origin: api::Origin,
    /// The event.
    #[serde(flatten)]
    pub event: &'a Event,
}

/// Queue of a connection's writer.
pub type Sender = tokio::sync::mpsc::Sender<axum::extract::ws::Utf8Bytes>;

/// Follows an instrument until the connection or the source ends; the end of the source is said.
pub async fn follow_market(node: Node, topic: Topic, exchange: Exchange, filter: Filter, sender: Sender) {
    let symbol = topic.symbol.as_deref().unwrap_or_default();
    let origin = node.origin_of(exchange.name(), symbol);
    let mut updates = node.deps().collector.subscribe(filter);
    let mut heard = node.memory().live().heard();
    let (mut fresh, mut book) = (true, Defined::default());
    loop {
        let json = tokio::select! {
            update = updates.next() => match update {
                Some(Update::Event { event, .. }) => serde_json::to_string(&Labelled { origin, event: &book.event(event) }),
                Some(Update::Missed { events, .. }) => dropped(&topic, events),
                None => {
                    say(&sender, ended(topic)).await;
                    return;
                }
            },
            // A stream in which nothing comes does not say by itself whether nothing happens or nobody listens.
            changed = other(&mut heard, exchange.name(), fresh) => {
                let Some(changed) = changed else { return };
                fresh = changed;
                serde_json::to_string(&freshness(&node, exchange, fresh))
            }
        };
        if !say(&sender, json).await {
            return;
        }
    }
}

/// Follows news until the connection ends.
pub async fn follow_news(topic: Topic, mut news: Receiver<Arc<Item>>, wanted: Wanted, sender: Sender) {
    loop {
        let json = match news.recv().await {
            Ok(item) if wanted.fits(&item) => Ok(item.json.clone()),
            Ok(_) => continue,
            Err(RecvError::Lagged(messages)) => dropped(&topic, messages),
            Err(RecvError::Closed) => return,
        };
        if !say(&sender, json).await {
            return;
        }
    }
}

/// Waits until a venue is heard (`true`) or not (`false`), other than before; `None` where the memory is gone.
async fn other(heard: &mut watch::Receiver<BTreeSet<&'static str>>, exchange: &str, before: bool) -> Option<bool> {
    heard.wait_for(|heard| heard.contains(exchange) != before).await.ok().map(|_| !before)
}

type Json = serde_json::Result<String>;

/// Waiting here is what makes only this subscription lag. Returns false where the connection has ended.
async fn say(sender: &Sender, json: Json) -> bool {
    match json {
        Ok(json) => sender.send(json.into()).await.is_ok(),
        Err(_) => true,
    }
}

fn dropped(topic: &Topic, messages: u64) -> Json {
    serde_json::to_string(&StreamMessage::Dropped { topic: topic.clone(), messages })
}

fn ended(topic: Topic) -> Json {
    let reason = "this node collects it no longer, or never did".to_string();
    serde_json::to_string(&StreamMessage::Ended { topic, reason })
}

fn freshness(node: &Node, exchange: Exchange, fresh: bool) -> StreamMessage {
    let name = exchange.name();
    match fresh {
        true => StreamMessage::Fresh { exchange: name.into() },
        false => {
            let silent_ms = node.memory().live().liveness(name).silent_ms;
            StreamMessage::Stale { exchange: name.into(), silent_ms }
        }
    }
}
