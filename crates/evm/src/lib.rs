//! Ethereum chains as a source of data that need not be believed: what a node answers is checked against the block's hash
//! before anything is made of it.
//!
//! - [`verify`] recomputes hashes, roots and blooms. It is pure, and everything else stands on it.
//! - [`decode`] turns a node's JSON into verified rows ([`openmesh_chain`]) and token transfers and swaps.
//! - [`canonical_block`] is the byte form on which validators agree; [`decode_canonical`] reads and verifies it again
//!   without any node.
//! - [`source`] follows a node's head over HTTP, through reorganisations and bad answers.
//! - [`replay`] answers JSON-RPC from recorded blocks, so that the source can be run without a chain.
//!
//! What verification does *not* say: that the block belongs to the chain. A hash binds a block's contents together and to
//! its parent; whether the block is canonical rests on the consensus layer, and here on the node that was asked, on
//! confirmations, and on several validators asking different nodes. Nor can a state root be recomputed without the state.

mod assemble;
mod canonical;
mod consensus;
mod decode;
mod derive;
mod file;
#[cfg(test)]
mod receipts_only;
pub mod replay;
mod report;
mod rpc;
pub mod source;
pub mod verify;

pub use canonical::{CANONICAL_VERSION, CanonicalError, canonical_block, decode_canonical};
pub use decode::{Decoded, decode, decode_block, write_checks, write_json_lines};
pub use file::{FileError, read_maybe_gz};
pub use report::{Check, NotVerified, Report, VerifyError};
pub use verify::Rows;

/// Longest JSON document (and file, unpacked) that is read. The fullest mainnet blocks take about 10 MB as JSON; blocks of
/// chains with higher gas limits some times that.
pub const DOCUMENT_BYTES_MAX: usize = 96 << 20;
