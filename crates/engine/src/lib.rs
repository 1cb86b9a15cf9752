//! Runs the ledger under consensus: Malachite's host, the mempool, the only writer of the chain.
//!
//! # What it owns
//! Malachite (a Tendermint consensus in Rust, embedded) and everything that it leaves to its user: the types and bytes
//! of its messages, signed streaming of blocks, the mempool, pacing, serving and taking decided blocks. The rules of the
//! ledger are elsewhere (`openmesh-ledger`), and so is the disk (`openmesh-storage`). Transactions are announced and asked for by
//! the rules of [`relay`]: whoever composes the node joins [`Handle::gossip_out`], [`Handle::bodies`] and [`Handle::take_bodies`] with
//! a network.
//!
//! # How a block comes about
//! A proposer that is told to go on ([`pace`]) takes candidates from the [`mempool`], builds, executes and stores the
//! block ([`chain`]), then streams it in signed parts ([`consensus`]). The others assemble, execute and store it and only
//! then let consensus vote. The decision commits the execution that is there already, and [`Handle::committed`] tells
//! everybody. A node that was away gets decided blocks with their certificates and executes them.
//!
//! # On failure
//! The task of [`start`] ends with an error; the process must end then, and a supervisor may start it again. After
//! [`EngineError::Safety`] (the write-ahead log could not be written) a person should look at the disk first: a node
//! whose log is incomplete could vote twice. Nothing in here retries by restarting a height, for the same reason.

mod admission;
mod chain;
mod committed;
mod config;
mod consensus;
mod error;
mod fill;
#[doc(hidden)]
pub mod fuzz;
mod handle;
mod host;
mod keyfile;
mod known;
pub mod machine;
mod mempool;
mod metrics;
mod pace;
pub mod relay;
mod serve;
mod start;

pub use admission::AdmissionLimits;
pub use committed::CommittedBlock;
pub use config::{Config, MempoolConfig, Pauses, Timeouts};
pub use error::EngineError;
pub use handle::{Bodies, EngineStatus, Handle};
pub use mempool::Submission;
pub use mempool::error::{PoolError, SubmitError};
pub use mempool::verdict::GossipVerdict;
pub use start::start;
