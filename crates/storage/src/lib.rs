//! The store of the ledger's state and blocks: one embedded database file for each node.
//!
//! # What it owns
//! The files of the state, of its history as a Merkle tree, of the blocks with their certificates, receipts and events,
//! and of proposals that are not decided yet. Nobody else knows the database (redb) or the tree (a Jellyfish Merkle
//! tree, crate `jmt`, over SHA-256). The layout is written down in `docs/spec/state.md`.
//!
//! # Why it is shaped so
//! The state is kept twice. A flat table of keys and values serves reads and scans, because the ledger reads far more
//! than anybody proves, and a tree walk for each read would cost ten times as much. The tree holds only hashes, one
//! version for each height, and serves roots and proofs. Both change in the same transaction of the database, so they
//! cannot drift apart.
//!
//! A block is committed in **one** durable transaction: state, tree, block, receipts, events, index, validators, and the
//! removal of the height's undecided proposals. A crash leaves the store before or after the block, never between.
//!
//! [`Store::prepare`] computes the root without writing, so that a caller may know it before it commits.
//!
//! # Limits
//! Proofs can be made for the last [`StoreConfig::proof_heights`] heights; older tree nodes are removed a bounded
//! number at a time. Blocks, receipts, their indices and facts are kept for
//! [`StoreConfig::retain_ms`] of the chain's time, or for ever; older ones go some at a time beside the commits, and the file
//! is made smaller when it is opened. Headers and certificates of heights at which the validators changed stay for ever, and
//! so do the sets. The calls block on the disk: from async code use `spawn_blocking`.
//!
//! # On failure
//! An error of [`StoreError::Database`] means that the disk or the file is broken: stop the node. Everything else is the
//! caller's mistake and leaves the store as it was.

mod accounts;
mod blocks;
mod bulk;
mod carry;
mod chunk;
mod disk;
mod error;
mod facts;
pub mod files;
mod format;
mod history;
mod leftovers;
mod migrated;
mod parts;
mod proof;
mod prune;
mod rehearsal;
mod restore;
mod snapshot;
mod sorter;
mod stamps;
mod store;
mod tables;
mod tree;
mod view;

pub use blocks::StoredBlock;
pub use chunk::{
    CHUNK_BYTES_MAX, ChunkError, DEPTH_MAX as SNAPSHOT_DEPTH_MAX, SnapshotChunk, count as chunk_count, verify_chunk,
};
pub use disk::VirtualDisk;
pub use error::StoreError;
pub use facts::stamp_fact_key;
pub use migrated::MigratedRoot;
pub use parts::ChunkParts;
pub use proof::{ProofError, StateProof, verify_proof};
pub use restore::{Restore, RestoreError, SnapshotTarget, check_chunk};
pub use stamps::StampFact;
pub use store::{BLOCKS_READ_MAX, Prepared, Store, StoreConfig, TRANSACTIONS_READ_MAX};
pub use view::StateView;
