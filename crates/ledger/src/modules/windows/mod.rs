//! Windows of market data: attestations, the rule by which a chunk is accepted, and the closing of windows. Clauses A, K, Q
//! and W of `docs/spec/transactions.md`.
//!
//! A window is opened by its first commitment, decided stream by stream as attestations open the commitments, and closed some blocks later.

mod apply;
mod attestation;
mod check;
mod close;
mod commitment;
mod error;
mod events;
mod facts;
pub mod keys;
mod limits;
mod params;
mod phases;
mod prune;
mod quorum;
mod records;

pub(crate) use apply::{apply, apply_commitment};
pub use attestation::{Attestation, ChunkClaim};
pub(crate) use check::{check, check_commitment};
pub(crate) use close::close_due;
pub use commitment::Commitment;
pub use error::WindowsError;
pub use events::WindowsEvent;
pub use facts::WindowsFact;
pub use limits::*;
pub use params::WindowsParams;
pub(crate) use prune::{detail_keys, prune};
pub use records::{
    Abstention, AcceptedChunk, Differing, Said, SourceProgress, WindowRecord, chunk, pinned_epoch, said,
    source_progress, window,
};
