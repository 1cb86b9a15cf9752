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
use crate::views::words;

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
    let source = node.source_of(exchange.name(), symbol);
    let origin = source.as_ref().map_or(node.origin(), |source| words::origin(source.origin));
    // One source alone: two of one venue would be two books in one.
    let source = source.map_or_else(|| Arc::from(""), |source| Arc::from(source.id));
    let filter = Filter { sources: [Arc::clone(&source)].into(), ..filter };
    let mut updates = node.deps().collector.subscribe(filter);
    let mut heard = node.memory().live().heard();
    let (mut fresh, mut book) = (true, Defined::default());
    loop {
        let json = tokio::select! {
            update = updates.next() => {
                let ends = update.is_none();
                let json = told(&topic, origin, &mut book, update);
                if ends {
                    say(&sender, json).await;
                    return;
                }
                json
            }
            // A stream in which nothing comes does not say by itself whether nothing happens or nobody listens.
            changed = other(&mut heard, &source, fresh) => {
                let Some(changed) = changed else { return };
                fresh = changed;
                serde_json::to_string(&freshness(&node, exchange, &source, fresh))
            }
        };
        if !say(&sender, json).await {
            return;
        }
    }
}

/// An update of an instrument as it is sent; the end of the collector's updates is the end of the subscription.
fn told(topic: &Topic, origin: api::Origin, book: &mut Defined, update: Option<Update>) -> Json {
    match update {
        Some(Update::Event { event, .. }) => serde_json::to_string(&Labelled { origin, event: &book.event(event) }),
        Some(Update::Missed { events, .. }) => dropped(topic, events),
        None => {
            let reason = "this node collects it no longer, or never did".to_string();
            serde_json::to_string(&StreamMessage::Ended { topic: topic.clone(), reason })
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

/// Waits until a source is heard (`true`) or not (`false`), other than before; `None` where the memory is gone.
async fn other(heard: &mut watch::Receiver<BTreeSet<Arc<str>>>, source: &str, before: bool) -> Option<bool> {
    heard.wait_for(|heard| heard.contains(source) != before).await.ok().map(|_| !before)
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

fn freshness(node: &Node, exchange: Exchange, source: &str, fresh: bool) -> StreamMessage {
    let name = exchange.name();
    match fresh {
        true => StreamMessage::Fresh { exchange: name.into() },
        false => {
            let silent_ms = node.memory().live().activity(source).silent_ms;
            StreamMessage::Stale { exchange: name.into(), silent_ms }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_api::Feed;

    #[tokio::test]
    async fn a_subscription_that_the_collector_does_not_feed_says_that_it_ends() {
        let topic = Topic { exchange: Some("kraken".into()), symbol: Some("BTC.USD".into()), ..Topic::all(Feed::Book) };
        let mut updates = openmesh_collector::Handle::idle().subscribe(Filter::default());
        let json = told(&topic, api::Origin::Live, &mut Defined::default(), updates.next().await).unwrap();
        match serde_json::from_str(&json).unwrap() {
            StreamMessage::Ended { topic: ended, .. } => assert_eq!(ended, topic),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_listener_that_is_too_slow_is_told_which_topic_it_missed() {
        let (news, receiver) = tokio::sync::broadcast::channel(1);
        for _ in 0..3 {
            news.send(Arc::new(Item::default())).unwrap();
        }
        drop(news);
        let (sender, mut queue) = tokio::sync::mpsc::channel(8);
        follow_news(Topic::all(Feed::Blocks), receiver, Wanted::default(), sender).await;
        let first: StreamMessage = serde_json::from_str(queue.recv().await.unwrap().as_str()).unwrap();
        assert_eq!(first, StreamMessage::Dropped { topic: Topic::all(Feed::Blocks), messages: 2 });
    }
}
