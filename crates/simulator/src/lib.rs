//! Whole networks of validators in virtual time: the real algorithm of consensus, the real ledger, mempool and store, on a
//! network and on disks that fail as a seed says.
//!
//! # What is simulated
//! Messages are delayed, reordered, lost and doubled; the network parts; clocks differ; processes crash between two steps
//! and in the middle of a write, and disks then lose or tear what was not synced. In half of the runs one of four
//! validators is a liar: it signs two votes or proposals for one step, sends each to whom it likes, and attests data that
//! nobody else saw. After a while everything heals, and the network must go on.
//!
//! In each fourth of the usual runs hardly any room of a block is reserved for attestations, and accounts stamp hashes beside their transfers.
//!
//! In runs with upgrades validators plan two rule sets one after the other, withdraw now and then and plan again; some run a program
//! that knows them, others are stopped by their height and get one later, crash around it, or were never there before it.
//!
//! # What is checked ([`Violation`])
//! No two honest validators commit different blocks or states at a height; no committed block is gone after a crash; after
//! the network has healed the height grows on every honest validator; every block carries the commit of its parent;
//! every block's part in the beacon follows from the blocks before it; only what the honest ones saw is accepted as a chunk, once; nobody
//! honest is ever named in an incident for lying; no program commits a block by rules that it does not know, and the root after each
//! migration is the one that was predicted from the state before; no agreed chunk is missing from the tables without being awaited or
//! counted; the sum of all balances stays the supply.
//!
//! # Why it can be trusted, and how far
//! [`openmesh_engine::machine`] is what is driven, with the host's decisions, and the cores of [`openmesh_duties`] and [`openmesh_ingest`] beside it:
//! the same code as in a node up to the actors, sockets and gossip, which the tests with real processes exercise. A run depends on nothing but its seed, so a failing one can be replayed as it
//! was: the test says how.

mod check;
mod event;
mod history;
mod network;
mod plan;
mod random;
pub mod soak;
mod tables;
mod upgrades;
mod upgrading;
mod work;
mod workload;
mod world;

pub use check::{Report, Violation};
pub use random::Random;
pub use world::{
    run, run_calm, run_long, run_quiet, run_upgrades, run_with_a_copier, run_with_forgetful_disks, run_year,
};
