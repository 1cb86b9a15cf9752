//! News of the ledger and the node for listeners of the stream.
//!
//! Each feed has a channel of its own, so that a busy one pushes nothing out of a quiet one, and what nobody listens to is
//! never made: [`News::say`] takes a function.

use std::sync::Arc;

use openmesh_api::{Feed, StreamMessage};
use openmesh_primitives::Address;
use tokio::sync::broadcast::{Receiver, Sender};

/// News of a feed that wait for a slow listener before it is told that it missed some.
const NEWS_MAX: usize = 1_024;
/// The same of receipts, stamps and events: a full block alone has thousands.
const RECEIPTS_MAX: usize = 8_192;

/// A message for all listeners of a feed, serialised once.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Item {
    /// The source that it is about, where it is about one.
    pub source: Option<String>,
    /// The accounts that it is about.
    pub accounts: Vec<Address>,
    /// The validators that it is about.
    pub validators: Vec<Address>,
    /// Its kind in the words of its feed, where the feed has kinds.
    pub kind: Option<String>,
    /// Topic of the stamp that it is about.
    pub stamp_topic: Option<String>,
    /// The message as JSON.
    pub json: String,
}

impl Item {
    /// A message about a source or about none. A message that does not serialise would be a bug of its type: it comes out empty.
    pub fn new(message: &StreamMessage, source: Option<&str>) -> Item {
        let json = serde_json::to_string(message).unwrap_or_default();
        Item { source: source.map(String::from), json, ..Item::default() }
    }

    /// The same about accounts.
    #[must_use]
    pub fn of_accounts(self, accounts: Vec<Address>) -> Item {
        Item { accounts, ..self }
    }

    /// The same about validators.
    #[must_use]
    pub fn of_validators(self, validators: Vec<Address>) -> Item {
        Item { validators, ..self }
    }

    /// The same of a kind.
    #[must_use]
    pub fn of_kind(self, kind: &str) -> Item {
        Item { kind: Some(kind.into()), ..self }
    }

    /// The same about a stamp under a topic.
    #[must_use]
    pub fn of_stamp_topic(self, topic: &str) -> Item {
        Item { stamp_topic: Some(topic.into()), ..self }
    }
}

/// Channels of news, one for each feed that is not of an instrument.
#[derive(Debug)]
pub struct News {
    blocks: Sender<Arc<Item>>,
    chunks: Sender<Arc<Item>>,
    incidents: Sender<Arc<Item>>,
    receipts: Sender<Arc<Item>>,
    stamps: Sender<Arc<Item>>,
    events: Sender<Arc<Item>>,
    status: Sender<Arc<Item>>,
    upgrades: Sender<Arc<Item>>,
}

impl Default for News {
    fn default() -> News {
        let channel = || Sender::new(NEWS_MAX);
        let (blocks, chunks, incidents, status) = (channel(), channel(), channel(), channel());
        let many = || Sender::new(RECEIPTS_MAX);
        let (receipts, stamps, events, upgrades) = (many(), many(), many(), channel());
        News { blocks, chunks, incidents, status, receipts, stamps, events, upgrades }
    }
}

impl News {
    fn channel(&self, feed: Feed) -> Option<&Sender<Arc<Item>>> {
        match feed {
            Feed::Blocks => Some(&self.blocks),
            Feed::Chunks => Some(&self.chunks),
            Feed::Incidents => Some(&self.incidents),
            Feed::Receipts => Some(&self.receipts),
            Feed::Stamps => Some(&self.stamps),
            Feed::Events => Some(&self.events),
            Feed::Status => Some(&self.status),
            Feed::Upgrades => Some(&self.upgrades),
            _ => None,
        }
    }

    /// News of a feed from now on; `None` for a feed of instruments.
    pub fn subscribe(&self, feed: Feed) -> Option<Receiver<Arc<Item>>> {
        self.channel(feed).map(Sender::subscribe)
    }

    /// Tells the listeners of a feed what `make` makes, one message after the other. Without listeners nothing is made.
    pub fn say<I: IntoIterator<Item = Item>>(&self, feed: Feed, make: impl FnOnce() -> I) {
        let Some(channel) = self.channel(feed).filter(|channel| channel.receiver_count() > 0) else { return };
        for item in make() {
            // The last listener may have left meanwhile.
            let _ = channel.send(Arc::new(item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_listens_to_is_not_made() {
        let news = News::default();
        let mut made = 0;
        let item = |text: &str| Item { json: text.into(), ..Item::default() };
        news.say(Feed::Status, || {
            made += 1;
            [item("unheard")]
        });
        let mut listener = news.subscribe(Feed::Status).unwrap();
        let _other = news.subscribe(Feed::Blocks).unwrap();
        news.say(Feed::Status, || {
            made += 1;
            [item("heard")]
        });
        assert_eq!(made, 1);
        assert_eq!(listener.try_recv().unwrap().json, "heard");
        assert!(news.subscribe(Feed::Trades).is_none(), "instruments' feeds come from the collector");
    }
}
