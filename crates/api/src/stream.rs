//! The WebSocket at `/v1/stream`.
//!
//! Market events are sent as the event schema has them (`docs/spec/events.md`) with an `origin` field besides
//! ([`crate::MarketEvent`]); what is here are the client's operations and the server's own messages.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a client may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
pub enum StreamRequest {
    /// Begin a subscription. `feed` is a market feed (with `exchange` and `symbol`), or one of `blocks`, `chunks`,
    /// `incidents`, `status`; of `chunks` and `incidents` those of one `exchange` can be had.
    Subscribe {
        /// Feed.
        feed: String,
        /// Exchange.
        #[serde(default)]
        exchange: Option<String>,
        /// Symbol.
        #[serde(default)]
        symbol: Option<String>,
        /// Echoed in answers.
        #[serde(default)]
        id: Option<String>,
    },
    /// End a subscription with the same words.
    Unsubscribe {
        /// Feed.
        feed: String,
        /// Exchange.
        #[serde(default)]
        exchange: Option<String>,
        /// Symbol.
        #[serde(default)]
        symbol: Option<String>,
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

/// What the server sends besides market events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "op", rename_all = "snake_case")]
pub enum StreamMessage {
    /// A subscription has begun.
    Subscribed {
        /// Feed.
        feed: String,
        /// Exchange.
        exchange: Option<String>,
        /// Symbol.
        symbol: Option<String>,
        /// From the request.
        id: Option<String>,
    },
    /// A subscription has ended.
    Unsubscribed {
        /// Feed.
        feed: String,
        /// Exchange.
        exchange: Option<String>,
        /// Symbol.
        symbol: Option<String>,
        /// From the request.
        id: Option<String>,
    },
    /// A request was refused.
    Error {
        /// Stable word for programs.
        code: String,
        /// For people.
        message: String,
        /// For people: what to do about it.
        hint: String,
        /// From the request.
        id: Option<String>,
    },
    /// Answer to `ping`.
    Pong {
        /// From the request.
        id: Option<String>,
    },
    /// The client reads too slowly: this many messages were left out, and a book starts anew with a snapshot.
    Dropped {
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
    /// A chunk was accepted or disputed.
    Chunk {
        /// The chunk.
        chunk: crate::ChunkInfo,
    },
    /// An incident.
    Incident {
        /// The incident.
        incident: crate::IncidentInfo,
    },
    /// The node's status, about each second.
    Status {
        /// The status.
        status: crate::Status,
    },
}
