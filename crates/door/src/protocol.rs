//! Words between an agent and a door.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::document::Document;
use crate::report::Report;

/// A request of the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Serve this document.
    Configure(Box<Document>),
    /// Say the state.
    Report,
    /// Say the state now and whenever it changes.
    Follow,
    /// Leave.
    Retire {
        /// Time for connections to end, milliseconds.
        within_ms: u64,
    },
    /// Hand the listeners over to the asker, which is a door; bytes and descriptors of `takeover` follow.
    HandOver,
}

/// An answer to the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Tell {
    /// The document is served.
    Configured(Report),
    /// The state.
    Report(Report),
    /// The door leaves.
    Retiring(Report),
    /// The document has problems; the one before is served.
    Refused(Vec<SaidProblem>),
    /// An address of the document cannot be had; nothing has changed. The rest may be served without it.
    Unbound {
        /// The address.
        address: SocketAddr,
        /// Reason.
        text: String,
    },
    /// Something else failed; nothing has changed.
    Failed(String),
}

/// A problem in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaidProblem {
    /// Place in the document.
    pub path: String,
    /// The problem, and advice.
    pub text: String,
}
