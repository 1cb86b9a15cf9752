//! The HTTP and WebSocket contract: what goes over the wire between a node and everybody else.
//!
//! Types, [paths](path), query parameters, [limits] and [codes of refusals](ErrorCode); no behaviour. The gateway serves
//! them, the OpenAPI file and Studio's TypeScript types are generated from them, so a change here is a change of the contract
//! and shows in a diff of `openapi/openmesh.json`. A closed set is an enum; what grows with the network (exchanges, feeds of
//! sources, kinds of actions) is text.
//!
//! Conventions: decimals, amounts and integers that may pass 2^53 are strings; times are RFC 3339 in UTC; hashes and
//! keys are hexadecimal; addresses carry the checksum of EIP-55. Lists are [`Page`]s.

mod account;
mod agreement;
mod chunk;
mod error;
mod event;
mod explorer;
mod ledger;
mod ledger_event;
pub mod limits;
mod market;
mod operator;
pub mod path;
mod query;
mod rpc;
mod sql;
mod stamp;
mod stream;
mod supply;
mod upgrade;

pub use account::*;
pub use agreement::*;
pub use chunk::*;
pub use error::*;
pub use event::*;
pub use explorer::*;
pub use ledger::*;
pub use ledger_event::*;
pub use market::*;
pub use operator::*;
pub use query::*;
pub use rpc::*;
pub use sql::*;
pub use stamp::*;
pub use stream::*;
pub use supply::*;
pub use upgrade::*;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Name of the header that says on every answer where the data comes from.
pub const ORIGIN_HEADER: &str = "openmesh-origin";

/// Provenance of data. Said in every answer and on every page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// From the venues themselves.
    Live,
    /// From this product's own market simulation: not real prices.
    Simulated,
    /// From recordings of real traffic.
    Replay,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items, newest first unless said otherwise. A page of a filtered list may hold fewer than asked for, even none,
    /// and still have a next one: how far a node looks for one answer has a limit.
    pub items: Vec<T>,
    /// Pass as `cursor` for the next page; `null` at the end.
    pub next: Option<String>,
}
