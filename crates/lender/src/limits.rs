//! Bounds of the lender, each with the reason for its number.

use std::time::Duration;

/// Connections at once: each has a thread, 64 KiB of an object, and a file.
pub const CONNECTIONS_MAX: usize = 64;
/// Connections of one address of IPv4 or /64 of IPv6: several guests behind one router, and never all places for one stranger.
pub const CONNECTIONS_OF_ADDRESS_MAX: usize = 16;
/// Connections of one loan: a guest uses one for each of its acts, and keeps four that rest.
pub const CONNECTIONS_OF_LOAN_MAX: usize = 12;
/// Time between two requests of a connection, after which it ends.
pub const IDLE: Duration = Duration::from_secs(60);
/// Time for an answer to be taken.
pub const ANSWER: Duration = Duration::from_secs(60);
/// Bytes between two looks whether the loan still is one, while an object comes.
pub const LOOK_BYTES: u64 = 1 << 20;

/// Loans of one lender: a person names each of them.
pub const LOANS_MAX: usize = 64;
/// Keys of one loan: a guest's machine, the one that takes its place, and some more.
pub const KEYS_MAX: usize = 8;
/// Days for which removed objects are withheld, at most.
pub const HELD_DAYS_MAX: u32 = 365;
/// Packs of one loan: 64 TiB of full ones.
pub const PACKS_MAX: u64 = 1 << 22;
/// Objects of each other kind in one loan: years of nightly backups of a hundred applications. A page of a list reads the names of all of them.
pub const OTHERS_MAX: u64 = 100_000;
/// Room that an object takes is a multiple of this, bytes: the block of a file system, so that millions of tiny objects are not free.
pub const BLOCK_BYTES: u64 = 4 << 10;

/// A day of a lender, milliseconds: time in which it runs.
pub const DAY_MS: u64 = 86_400_000;
/// Time between two looks at the configuration: a loan that ends does so within it.
pub const LOOK: Duration = Duration::from_secs(1);
/// Time between two notes of the time in which it has run.
pub const NOTE: Duration = Duration::from_secs(60);
/// Time for requests that are under way when it leaves.
pub const LEAVE: Duration = Duration::from_secs(30);
/// Time for the lender before to give up its lock.
pub const LOCK: Duration = Duration::from_secs(40);
/// Largest file of the agent that is read, bytes: some hundred keys.
pub const FILE_BYTES_MAX: u64 = 1 << 20;
