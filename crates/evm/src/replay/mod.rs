//! Answers JSON-RPC from recorded blocks, so that a source can run against real data without a chain.
//!
//! Pure but for [`ReplayChain::load`]: [`ReplayChain::answer`] takes a request's body and gives the response's; the
//! listener is somebody else's. Recorded blocks are far apart (10000000, 15000000, ...). The head stands on one of them
//! and [`ReplayChain::advance`] moves it to the next; numbers in between, and those after the head, are answered with
//! null, as by a node that does not have them. Because no caller can try five million numbers, the extension method
//! `openmesh_nextBlockNumber` names the first recorded number from a given one on, as far as the head.

mod answer;
mod chain;
mod dispatch;
mod filter;
mod methods;

pub use chain::{NEXT_BLOCK_METHOD, ReplayChain, ReplayError};
pub use dispatch::{BATCH_MAX, REQUEST_BYTES_MAX};
pub use methods::LOGS_MAX;
