//! The WebSocket at `/v1/stream`.
//!
//! Market events are sent as the event schema has them (`docs/spec/events.md`) with an `origin` field besides
//! ([`crate::MarketEvent`]); what is here are the client's operations and the server's own messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ErrorCode;

/// Feed of a stream: the first ones are of instruments, the others of the ledger and the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Feed {
    /// Trades of an instrument.
    Trades,
    /// Order book of an instrument: a snapshot, then changed levels.
    Book,
    /// Best prices of an instrument.
    Ticker,
    /// Candles as the venue makes them.
    Candles,
    /// Funding rates of an instrument.
    Funding,
    /// Open interest of an instrument.
    OpenInterest,
    /// Forced orders of an instrument.
    Liquidations,
    /// Mark price of an instrument.
    MarkPrice,
    /// Index price of an instrument.
    IndexPrice,
    /// Committed blocks; those of one proposer where a validator is named.
    Blocks,
    /// Chunks as they are accepted, disputed or uncovered; those of one exchange where one is named.
    Chunks,
    /// Incidents of the ledger and of this site; those of one exchange, about one validator or of one kind where such is named.
    Incidents,
    /// Committed transactions of accounts; those that one account sent or received, or of one kind, where such is named.
    Receipts,
    /// Stamps as they are committed; those of one account, or under one topic, where such is named.
    Stamps,
    /// Every event of the ledger, block by block; those of one exchange, account, validator or kind where such is named.
    Events,
    /// Status of the node, about each second.
    Status,
    /// Plans of upgrades, approvals, and rules that came into force.
    Upgrades,
}

impl Feed {
    /// Every feed.
    pub const ALL: [Feed; 17] = [
        Feed::Trades,
        Feed::Book,
        Feed::Ticker,
        Feed::Candles,
        Feed::Funding,
        Feed::OpenInterest,
        Feed::Liquidations,
        Feed::MarkPrice,
        Feed::IndexPrice,
        Feed::Blocks,
        Feed::Chunks,
        Feed::Incidents,
        Feed::Receipts,
        Feed::Stamps,
        Feed::Events,
        Feed::Status,
        Feed::Upgrades,
    ];

    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Feed::Trades => "trades",
            Feed::Book => "book",
            Feed::Ticker => "ticker",
            Feed::Candles => "candles",
            Feed::Funding => "funding",
            Feed::OpenInterest => "open_interest",
            Feed::Liquidations => "liquidations",
            Feed::MarkPrice => "mark_price",
            Feed::IndexPrice => "index_price",
            Feed::Blocks => "blocks",
            Feed::Chunks => "chunks",
            Feed::Incidents => "incidents",
            Feed::Receipts => "receipts",
            Feed::Stamps => "stamps",
            Feed::Events => "events",
            Feed::Status => "status",
            Feed::Upgrades => "upgrades",
        }
    }

    /// The feed of a word; `None` where there is none.
    pub fn of(word: &str) -> Option<Feed> {
        Feed::ALL.into_iter().find(|feed| feed.as_str() == word)
    }
}

/// Subject of a subscription. Its words are compared after exchange, symbol and account were brought into their usual form, so
/// `btc.usd` and `BTC.USD` are one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Topic {
    /// Feed.
    pub feed: Feed,
    /// Exchange; needed by feeds of instruments.
    #[serde(default)]
    pub exchange: Option<String>,
    /// Symbol; needed by feeds of instruments.
    #[serde(default)]
    pub symbol: Option<String>,
    /// Address of an account; of `receipts`, `stamps` and `events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Address of a validator; of `blocks`, `incidents` and `events`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validator: Option<String>,
    /// Kind; of `incidents`, `receipts` and `events`, each in its own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Topic of stamps; of `stamps` only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stamp_topic: Option<String>,
}

impl Topic {
    /// A feed without anything to filter by.
    pub const fn all(feed: Feed) -> Topic {
        Topic { feed, exchange: None, symbol: None, account: None, validator: None, kind: None, stamp_topic: None }
    }
}

/// Operation of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamRequest {
    /// Begin a subscription. A feed of an instrument needs `exchange` and `symbol`; `blocks` can be had of one `validator`, `chunks`
    /// of one `exchange`, `incidents` of one `exchange`, `validator` and `kind`, `receipts` of one `account` and `kind`, `stamps` of one
    /// `account` and `stamp_topic`, `events` of one `exchange`, `account`, `validator` and `kind`.
    Subscribe {
        /// Feed.
        feed: Feed,
        /// Exchange.
        #[serde(default)]
        exchange: Option<String>,
        /// Symbol.
        #[serde(default)]
        symbol: Option<String>,
        /// Address of an account.
        #[serde(default)]
        account: Option<String>,
        /// Address of a validator.
        #[serde(default)]
        validator: Option<String>,
        /// Kind of incidents, of actions or of events.
        #[serde(default)]
        kind: Option<String>,
        /// Topic of stamps.
        #[serde(default)]
        stamp_topic: Option<String>,
        /// Echoed in answers.
        #[serde(default)]
        id: Option<String>,
    },
    /// End a subscription of the same topic.
    Unsubscribe {
        /// Feed.
        feed: Feed,
        /// Exchange.
        #[serde(default)]
        exchange: Option<String>,
        /// Symbol.
        #[serde(default)]
        symbol: Option<String>,
        /// Address of an account.
        #[serde(default)]
        account: Option<String>,
        /// Address of a validator.
        #[serde(default)]
        validator: Option<String>,
        /// Kind of incidents, of actions or of events.
        #[serde(default)]
        kind: Option<String>,
        /// Topic of stamps.
        #[serde(default)]
        stamp_topic: Option<String>,
        /// Echoed in answers.
        #[serde(default)]
        id: Option<String>,
    },
    /// Asks for a `pong`.
    Ping {
        /// Echoed in the answer.
        #[serde(default)]
        id: Option<String>,
    },
}

/// Message of the server besides market events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum StreamMessage {
    /// A subscription has begun.
    Subscribed {
        /// Its topic.
        #[serde(flatten)]
        topic: Topic,
        /// From the request.
        id: Option<String>,
    },
    /// A subscription has ended on request.
    Unsubscribed {
        /// Its topic.
        #[serde(flatten)]
        topic: Topic,
        /// From the request.
        id: Option<String>,
    },
    /// A subscription has ended although nobody asked for it: what it was fed from is gone.
    Ended {
        /// Its topic.
        topic: Topic,
        /// Reason, for people.
        reason: String,
    },
    /// A request was refused.
    Error {
        /// Stable word for programs.
        code: ErrorCode,
        /// For people.
        message: String,
        /// Remedy, for people.
        hint: String,
        /// From the request.
        id: Option<String>,
    },
    /// Answer to `ping`.
    Pong {
        /// From the request.
        id: Option<String>,
    },
    /// Messages of a subscription were left out because the client reads too slowly; a book starts anew with a snapshot.
    Dropped {
        /// Topic of the subscription.
        topic: Topic,
        /// Number of messages.
        messages: u64,
    },
    /// The source of a market subscription has gone silent: what was sent last is old. Said on subscribing too.
    Stale {
        /// Exchange.
        exchange: String,
        /// Milliseconds since it was last heard; absent where it never was.
        silent_ms: Option<u64>,
    },
    /// The source of a market subscription speaks again.
    Fresh {
        /// Exchange.
        exchange: String,
    },
    /// A new block.
    Block {
        /// The block.
        block: crate::BlockSummary,
    },
    /// A chunk was accepted, or its window closed without: disputed or uncovered.
    Chunk {
        /// The chunk.
        chunk: crate::ChunkInfo,
    },
    /// An incident.
    Incident {
        /// The incident.
        incident: crate::IncidentInfo,
    },
    /// A transaction of an account was committed: it took effect or was refused.
    Receipt {
        /// The transaction.
        transaction: crate::TransactionSummary,
    },
    /// A hash was stamped.
    Stamp {
        /// The stamp.
        stamp: crate::StampInfo,
    },
    /// An event of the ledger.
    Event {
        /// The event.
        event: crate::EventInfo,
    },
    /// The node's status, about each second.
    Status {
        /// The status.
        status: crate::Status,
    },
    /// Something happened to a plan, or to the rules.
    Upgrade {
        /// The news.
        news: crate::UpgradeNews,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_feeds_are_those_of_the_wire() {
        for feed in Feed::ALL {
            assert_eq!(serde_json::to_value(feed).unwrap(), feed.as_str());
            assert_eq!(Feed::of(feed.as_str()), Some(feed));
        }
        assert_eq!(Feed::of("weather"), None);
    }

    #[test]
    fn an_answer_to_a_subscription_has_its_words_beside_the_operation() {
        let topic = Topic { exchange: Some("kraken".into()), ..Topic::all(Feed::Chunks) };
        let message = StreamMessage::Subscribed { topic, id: None };
        let json = serde_json::json!({"op":"subscribed","feed":"chunks","exchange":"kraken","symbol":null,"id":null});
        assert_eq!(serde_json::to_value(&message).unwrap(), json);
        assert_eq!(serde_json::from_value::<StreamMessage>(json).unwrap(), message);
    }
}
