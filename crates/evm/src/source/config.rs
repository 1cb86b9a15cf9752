//! Configuration of a source.

use std::time::Duration;

use openmesh_chain::Hash;

use crate::DOCUMENT_BYTES_MAX;

/// Node to follow, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node: `http://` or `https://`. It may hold a key and is never printed.
    pub url: String,
    /// First block.
    pub start: Start,
    /// Number of blocks that must stand on a block before it goes out. Not heeded with `sparse`.
    pub confirmations: u64,
    /// Wait for a new head.
    pub poll: Duration,
    /// The node replays a recording: numbers that it does not have are skipped ([`SourceEvent::Skipped`]), and blocks of
    /// which it has only parts go out with what was verified of them.
    pub sparse: bool,
    /// Number of the chain (EIP-155); unchecked where none.
    pub chain_id: Option<u64>,
    /// Longest answer that is read.
    pub body_bytes_max: usize,
}

/// First block of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the head.
    Latest,
    /// At this height.
    Number(u64),
    /// After a block that went out in an earlier run; where it is no longer part of the chain, it is taken back first.
    After {
        /// Height.
        number: u64,
        /// Hash.
        hash: Hash,
    },
}

impl Config {
    /// Of a live node: from the head on, two confirmations, asked each four seconds (a third of Ethereum's slot).
    pub fn new(url: impl Into<String>) -> Config {
        Config {
            url: url.into(),
            start: Start::Latest,
            confirmations: 2,
            poll: Duration::from_secs(4),
            sparse: false,
            chain_id: None,
            body_bytes_max: DOCUMENT_BYTES_MAX,
        }
    }

    /// Of a server that replays recorded blocks: all of them, asked often.
    pub fn replay(url: impl Into<String>) -> Config {
        let (start, poll) = (Start::Number(0), Duration::from_millis(250));
        Config { start, confirmations: 0, poll, sparse: true, ..Config::new(url) }
    }
}
