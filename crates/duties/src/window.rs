//! Closed windows as they are attested, whatever kind of source they are of.

use std::fmt;

use openmesh_ledger::ChunkClaim;
use openmesh_market::window::{ClosedWindow, Withdrawn};

/// Coordinates of a window: its source and its number there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowName {
    /// Id of the source.
    pub source: String,
    /// Number of the window: of a market its index, of a chain the number of the block.
    pub number: u64,
}

impl fmt::Display for WindowName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} window {}", self.source, self.number)
    }
}

/// A closed window of a source, ready to be attested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Source and number.
    pub name: WindowName,
    /// Claims about its chunks, each stream once, in any order.
    pub chunks: Vec<ChunkClaim>,
    /// Streams that were not covered, none of them claimed, in any order.
    pub abstained: Vec<String>,
}

impl Window {
    /// A market's window: its chunks are claimed, and of each stream that was closed with a reason instead of a chunk it
    /// abstains. `None` for a window before 1970, which is never attested.
    pub fn of_market(source: &str, closed: &ClosedWindow) -> Option<Window> {
        let number = u64::try_from(closed.index.0).ok()?;
        let chunks: Vec<ChunkClaim> = closed
            .chunks
            .iter()
            .map(|chunk| ChunkClaim {
                stream: chunk.header.stream.name(),
                cid: chunk.cid,
                bytes: chunk.bytes.len() as u64,
                events: chunk.events,
            })
            .collect();
        let abstained = closed.not_covered.iter().map(|(stream, _)| stream.name()).collect();
        Some(Window { name: WindowName { source: source.into(), number }, chunks, abstained })
    }

    /// A chain's block, which is a window with one chunk.
    pub fn of_chain(source: &str, number: u64, claim: ChunkClaim) -> Window {
        let name = WindowName { source: source.into(), number };
        Window { name, chunks: vec![claim], abstained: Vec::new() }
    }
}

/// A chunk that the collector vouched for and takes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// Source and number of the window.
    pub name: WindowName,
    /// The ledger's name of the stream.
    pub stream: String,
    /// The reason, as the collector's metrics name it.
    pub reason: &'static str,
}

impl Withdrawal {
    /// A withdrawal of a market's chunk; `None` for a window before 1970, which is never attested.
    pub fn of_market(source: &str, withdrawn: &Withdrawn) -> Option<Withdrawal> {
        Some(Withdrawal {
            name: WindowName { source: source.into(), number: u64::try_from(withdrawn.index.0).ok()? },
            stream: withdrawn.stream.name(),
            reason: withdrawn.reason.name(),
        })
    }
}
